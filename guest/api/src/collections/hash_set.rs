//! A hash set with `std`'s ways to make one; everything else is `hashbrown`'s.

use super::RandomState;
use core::fmt;
use core::hash::Hash;
use core::ops::{Deref, DerefMut};

type Inner<T> = hashbrown::HashSet<T, RandomState>;

/// A hash set, keyed at random. Its methods are those of [`hashbrown::HashSet`], which are `std`'s.
pub struct HashSet<T> {
    inner: Inner<T>,
}

impl<T> HashSet<T> {
    /// An empty set; allocates nothing.
    #[must_use]
    pub fn new() -> Self {
        HashSet { inner: Inner::with_hasher(RandomState::new()) }
    }

    /// An empty set with room for `capacity` values.
    #[must_use]
    pub fn with_capacity(capacity: usize) -> Self {
        HashSet { inner: Inner::with_capacity_and_hasher(capacity, RandomState::new()) }
    }
}

impl<T> Deref for HashSet<T> {
    type Target = Inner<T>;

    fn deref(&self) -> &Inner<T> {
        &self.inner
    }
}

impl<T> DerefMut for HashSet<T> {
    fn deref_mut(&mut self) -> &mut Inner<T> {
        &mut self.inner
    }
}

impl<T> Default for HashSet<T> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T: Clone> Clone for HashSet<T> {
    fn clone(&self) -> Self {
        HashSet { inner: self.inner.clone() }
    }
}

impl<T: fmt::Debug> fmt::Debug for HashSet<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.inner.fmt(f)
    }
}

impl<T: Eq + Hash> PartialEq for HashSet<T> {
    fn eq(&self, other: &Self) -> bool {
        self.inner == other.inner
    }
}

impl<T: Eq + Hash> Eq for HashSet<T> {}

impl<T: Eq + Hash> FromIterator<T> for HashSet<T> {
    fn from_iter<I: IntoIterator<Item = T>>(values: I) -> Self {
        HashSet { inner: values.into_iter().collect() }
    }
}

impl<T: Eq + Hash, const COUNT: usize> From<[T; COUNT]> for HashSet<T> {
    fn from(values: [T; COUNT]) -> Self {
        values.into_iter().collect()
    }
}

impl<T: Eq + Hash> Extend<T> for HashSet<T> {
    fn extend<I: IntoIterator<Item = T>>(&mut self, values: I) {
        self.inner.extend(values);
    }
}

impl<T> IntoIterator for HashSet<T> {
    type Item = T;
    type IntoIter = hashbrown::hash_set::IntoIter<T>;

    fn into_iter(self) -> Self::IntoIter {
        self.inner.into_iter()
    }
}

impl<'a, T> IntoIterator for &'a HashSet<T> {
    type Item = &'a T;
    type IntoIter = hashbrown::hash_set::Iter<'a, T>;

    fn into_iter(self) -> Self::IntoIter {
        self.inner.iter()
    }
}
