//! What loom has its own of.

use core::cell::Cell;
pub(crate) use core::sync::atomic::{AtomicPtr, Ordering};

/// A pointer to the next object of a list.
pub(crate) struct Link<T>(Cell<*mut T>);

impl<T> Link<T> {
    #[inline]
    pub(crate) fn get(&self) -> *mut T {
        self.0.get()
    }

    #[inline]
    pub(crate) fn set(&self, next: *mut T) {
        self.0.set(next);
    }
}
