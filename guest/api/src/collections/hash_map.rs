//! A hash map with `std`'s ways to make one; everything else is `hashbrown`'s.

use super::RandomState;
use core::fmt;
use core::hash::Hash;
use core::ops::{Deref, DerefMut};

type Inner<K, V> = hashbrown::HashMap<K, V, RandomState>;

/// A place in a [`HashMap`], filled or not.
pub type Entry<'a, K, V> = hashbrown::hash_map::Entry<'a, K, V, RandomState>;

/// A hash map, keyed at random. Its methods are those of [`hashbrown::HashMap`], which are `std`'s.
pub struct HashMap<K, V> {
    inner: Inner<K, V>,
}

impl<K, V> HashMap<K, V> {
    /// An empty map; allocates nothing.
    #[must_use]
    pub fn new() -> Self {
        HashMap { inner: Inner::with_hasher(RandomState::new()) }
    }

    /// An empty map with room for `capacity` entries.
    #[must_use]
    pub fn with_capacity(capacity: usize) -> Self {
        HashMap { inner: Inner::with_capacity_and_hasher(capacity, RandomState::new()) }
    }

    /// The keys, without the map.
    pub fn into_keys(self) -> impl Iterator<Item = K> {
        self.inner.into_keys()
    }

    /// The values, without the map.
    pub fn into_values(self) -> impl Iterator<Item = V> {
        self.inner.into_values()
    }
}

impl<K, V> Deref for HashMap<K, V> {
    type Target = Inner<K, V>;

    fn deref(&self) -> &Inner<K, V> {
        &self.inner
    }
}

impl<K, V> DerefMut for HashMap<K, V> {
    fn deref_mut(&mut self) -> &mut Inner<K, V> {
        &mut self.inner
    }
}

impl<K, V> Default for HashMap<K, V> {
    fn default() -> Self {
        Self::new()
    }
}

impl<K: Clone, V: Clone> Clone for HashMap<K, V> {
    fn clone(&self) -> Self {
        HashMap { inner: self.inner.clone() }
    }
}

impl<K: fmt::Debug, V: fmt::Debug> fmt::Debug for HashMap<K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.inner.fmt(f)
    }
}

impl<K: Eq + Hash, V: PartialEq> PartialEq for HashMap<K, V> {
    fn eq(&self, other: &Self) -> bool {
        self.inner == other.inner
    }
}

impl<K: Eq + Hash, V: Eq> Eq for HashMap<K, V> {}

impl<K: Eq + Hash, V> FromIterator<(K, V)> for HashMap<K, V> {
    fn from_iter<I: IntoIterator<Item = (K, V)>>(entries: I) -> Self {
        HashMap { inner: entries.into_iter().collect() }
    }
}

impl<K: Eq + Hash, V, const COUNT: usize> From<[(K, V); COUNT]> for HashMap<K, V> {
    fn from(entries: [(K, V); COUNT]) -> Self {
        entries.into_iter().collect()
    }
}

impl<K: Eq + Hash, V> Extend<(K, V)> for HashMap<K, V> {
    fn extend<I: IntoIterator<Item = (K, V)>>(&mut self, entries: I) {
        self.inner.extend(entries);
    }
}

impl<K, V> IntoIterator for HashMap<K, V> {
    type Item = (K, V);
    type IntoIter = hashbrown::hash_map::IntoIter<K, V>;

    fn into_iter(self) -> Self::IntoIter {
        self.inner.into_iter()
    }
}

impl<'a, K, V> IntoIterator for &'a HashMap<K, V> {
    type Item = (&'a K, &'a V);
    type IntoIter = hashbrown::hash_map::Iter<'a, K, V>;

    fn into_iter(self) -> Self::IntoIter {
        self.inner.iter()
    }
}

impl<'a, K, V> IntoIterator for &'a mut HashMap<K, V> {
    type Item = (&'a K, &'a mut V);
    type IntoIter = hashbrown::hash_map::IterMut<'a, K, V>;

    fn into_iter(self) -> Self::IntoIter {
        self.inner.iter_mut()
    }
}
