//! Values that are made once, by whoever needs them first.

#![expect(unsafe_code, reason = "a value is written behind a shared reference, once")]

use super::Once;
use core::cell::{Cell, UnsafeCell};
use core::fmt;
use core::ops::Deref;

/// A cell that is written once and then only read.
pub struct OnceLock<T> {
    once: Once,
    value: UnsafeCell<Option<T>>,
}

// SAFETY: the value is written by one thread, inside `once`, before any reference to it is given out; then it is only read
// (`Sync`) or taken out by the owner (`Send`).
unsafe impl<T: Send + Sync> Sync for OnceLock<T> {}
// SAFETY: as for an `Option<T>`.
unsafe impl<T: Send> Send for OnceLock<T> {}

impl<T> OnceLock<T> {
    /// An empty cell.
    #[must_use]
    pub const fn new() -> Self {
        OnceLock { once: Once::new(), value: UnsafeCell::new(None) }
    }

    /// The value, if it has been written.
    pub fn get(&self) -> Option<&T> {
        if !self.once.is_completed() {
            return None;
        }
        // SAFETY: the value is written before `once` completes and never again while `self` is shared.
        unsafe { (*self.value.get()).as_ref() }
    }

    /// The value, by way of exclusive access to the cell.
    pub fn get_mut(&mut self) -> Option<&mut T> {
        self.value.get_mut().as_mut()
    }

    /// Writes the value.
    ///
    /// # Errors
    /// Gives `value` back when there is one already.
    pub fn set(&self, value: T) -> Result<(), T> {
        let mut value = Some(value);
        self.get_or_init(|| value.take().expect("a closure is called once"));
        value.map_or(Ok(()), Err)
    }

    /// The value; made by `make` if there is none, while others who ask wait. When a `make` ends by a fault, the next one is
    /// called.
    pub fn get_or_init(&self, make: impl FnOnce() -> T) -> &T {
        if let Some(value) = self.get() {
            return value;
        }
        self.once.call_once_force(|| {
            let value = make();
            // SAFETY: `once` lets one closure run, and no reference is given out before it is done.
            unsafe { *self.value.get() = Some(value) };
        });
        self.get().expect("the closure of `once` has written the value")
    }

    /// The value, back.
    pub fn into_inner(self) -> Option<T> {
        self.value.into_inner()
    }

    /// Takes the value out and leaves an empty cell.
    pub fn take(&mut self) -> Option<T> {
        core::mem::take(self).into_inner()
    }
}

impl<T> Default for OnceLock<T> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T> From<T> for OnceLock<T> {
    fn from(value: T) -> Self {
        let cell = Self::new();
        cell.get_or_init(|| value);
        cell
    }
}

impl<T: fmt::Debug> fmt::Debug for OnceLock<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("OnceLock").field(&self.get()).finish()
    }
}

/// A value that makes itself when it is first used.
pub struct LazyLock<T, F = fn() -> T> {
    cell: OnceLock<T>,
    make: Cell<Option<F>>,
}

// SAFETY: `make` is touched by the one thread that `cell` lets run, which may be another than the owner (`F: Send`).
unsafe impl<T: Send + Sync, F: Send> Sync for LazyLock<T, F> {}

impl<T, F: FnOnce() -> T> LazyLock<T, F> {
    /// A value that `make` will make.
    pub const fn new(make: F) -> Self {
        LazyLock { cell: OnceLock::new(), make: Cell::new(Some(make)) }
    }

    /// The value, made now if this is its first use.
    ///
    /// # Panics
    /// When the making has ended by a fault.
    pub fn force(this: &Self) -> &T {
        this.cell.get_or_init(|| {
            this.make.take().expect("a lazy value is made once, and the thread that made it ended by a fault")()
        })
    }
}

impl<T, F: FnOnce() -> T> Deref for LazyLock<T, F> {
    type Target = T;

    fn deref(&self) -> &T {
        Self::force(self)
    }
}

impl<T: fmt::Debug, F> fmt::Debug for LazyLock<T, F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("LazyLock").field(&self.cell.get()).finish()
    }
}
