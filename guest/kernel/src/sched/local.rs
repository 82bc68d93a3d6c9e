//! Thread-local values: each thread's own copy of a static, made at first use and dropped at the thread's end.
//!
//! Stable Rust has no thread-local statics without an operating system, so each thread carries a small table keyed by the
//! static's address. The table is searched from its end: a thread has few such values, and the last made is used most.

use super::CORE;
use alloc::rc::Rc;
use alloc::vec::Vec;
use core::any::Any;
use core::cell::{Cell, RefCell};
use core::fmt;

/// A static of which every thread has its own value; declared by the library's `thread_local!`.
pub struct LocalKey<T: 'static> {
    make: fn() -> T,
}

/// The values of one thread.
pub(super) struct Locals {
    values: Vec<Value>,
}

struct Value {
    /// The address of its static.
    key: usize,
    value: Rc<dyn Any>,
    /// It has a destructor.
    drops: bool,
}

impl Locals {
    pub(super) const fn new() -> Self {
        Locals { values: Vec::new() }
    }

    /// Drops the running thread's values, the last made first. A destructor may use others, and even make new ones. When the
    /// thread has ended in the middle of something, so may a value have been: one with a destructor is lost then.
    #[inline(never)]
    pub(super) fn end(is_lost: bool) {
        while let Some(value) = with_locals(|locals| locals.values.pop()) {
            if is_lost && value.drops {
                core::mem::forget(value);
            } else {
                drop(value);
            }
        }
        with_locals(|locals| locals.values = Vec::new());
    }

    fn find(&self, key: usize) -> Option<Rc<dyn Any>> {
        self.values.iter().rev().find(|value| value.key == key).map(|value| Rc::clone(&value.value))
    }
}

fn with_locals<R>(f: impl FnOnce(&mut Locals) -> R) -> R {
    CORE.with(|core| {
        let thread = core.threads.current_payload().expect("thread-local values are used by a running thread");
        f(&mut thread.locals)
    })
}

impl<T: 'static> LocalKey<T> {
    /// A key whose values are made by `make`.
    #[must_use]
    pub const fn new(make: fn() -> T) -> Self {
        LocalKey { make }
    }

    /// Calls `f` with the running thread's value, made now if this is its first use.
    pub fn with<R>(&'static self, f: impl FnOnce(&T) -> R) -> R {
        let value = self.value();
        f(value.downcast_ref().expect("the key of a value is the address of its static"))
    }

    fn value(&'static self) -> Rc<dyn Any> {
        let key = core::ptr::from_ref(self).addr();
        if let Some(value) = with_locals(|locals| locals.find(key)) {
            return value;
        }
        let made: Rc<dyn Any> = Rc::new((self.make)());
        // `make` may have used this very key; then its value stays, so that all see the same one.
        if let Some(value) = with_locals(|locals| locals.find(key)) {
            return value;
        }
        // Values without a destructor go first, so that they are there as long as any destructor may want them.
        let drops = core::mem::needs_drop::<T>();
        let value = Value { key, value: Rc::clone(&made), drops };
        with_locals(|locals| locals.values.insert(if drops { locals.values.len() } else { 0 }, value));
        made
    }
}

impl<T: 'static> LocalKey<Cell<T>> {
    /// Replaces the value.
    pub fn set(&'static self, value: T) {
        self.with(|cell| cell.set(value));
    }

    /// A copy of the value.
    pub fn get(&'static self) -> T
    where
        T: Copy,
    {
        self.with(Cell::get)
    }

    /// Takes the value, leaving the default one.
    pub fn take(&'static self) -> T
    where
        T: Default,
    {
        self.with(Cell::take)
    }

    /// Replaces the value and returns the old one.
    pub fn replace(&'static self, value: T) -> T {
        self.with(|cell| cell.replace(value))
    }
}

impl<T: 'static> LocalKey<RefCell<T>> {
    /// Calls `f` with the borrowed value.
    ///
    /// # Panics
    /// When it is borrowed mutably.
    pub fn with_borrow<R>(&'static self, f: impl FnOnce(&T) -> R) -> R {
        self.with(|cell| f(&cell.borrow()))
    }

    /// Calls `f` with the mutably borrowed value.
    ///
    /// # Panics
    /// When it is borrowed.
    pub fn with_borrow_mut<R>(&'static self, f: impl FnOnce(&mut T) -> R) -> R {
        self.with(|cell| f(&mut cell.borrow_mut()))
    }

    /// Replaces the value.
    ///
    /// # Panics
    /// When it is borrowed.
    pub fn set(&'static self, value: T) {
        self.with(|cell| *cell.borrow_mut() = value);
    }

    /// Takes the value, leaving the default one.
    ///
    /// # Panics
    /// When it is borrowed.
    pub fn take(&'static self) -> T
    where
        T: Default,
    {
        self.with(RefCell::take)
    }

    /// Replaces the value and returns the old one.
    ///
    /// # Panics
    /// When it is borrowed.
    pub fn replace(&'static self, value: T) -> T {
        self.with(|cell| cell.replace(value))
    }
}

impl<T: 'static> fmt::Debug for LocalKey<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LocalKey").finish_non_exhaustive()
    }
}
