//! State that belongs to one core.
//!
//! Ring 0 runs with interrupts off and threads are cooperative, so between two scheduling points a core
//! has its state to itself; what is left to rule out is re-entry, which [`CoreLocal::with`] checks.

#![expect(unsafe_code, reason = "one core's state is reached from a static")]

use core::cell::{Cell, UnsafeCell};

/// A value of the core that touches it.
#[repr(C)] // the value first: it may need its alignment's own pages
pub struct CoreLocal<T> {
    value: UnsafeCell<T>,
    busy: Cell<bool>,
}

// SAFETY: the machine runs one core, no interrupt handler touches a `CoreLocal`, and `with` admits one
// user at a time.
unsafe impl<T> Sync for CoreLocal<T> {}

impl<T> CoreLocal<T> {
    /// A value for a static.
    pub const fn new(value: T) -> Self {
        Self { busy: Cell::new(false), value: UnsafeCell::new(value) }
    }

    /// Runs `f` on the value. `f` must not block and not come back here.
    ///
    /// # Panics
    /// When called from inside `f`.
    #[inline]
    #[track_caller]
    pub fn with<R>(&self, f: impl FnOnce(&mut T) -> R) -> R {
        assert!(!self.busy.replace(true), "state of a core is entered while in use");
        // SAFETY: `busy` was false, so nobody else holds a reference to the value.
        let result = f(unsafe { &mut *self.value.get() });
        self.busy.set(false);
        result
    }

    /// Lets the next user in though one is inside: for the report that ends the machine, which interrupts whatever
    /// failed, and from which nobody returns.
    pub fn seize(&self) {
        self.busy.set(false);
    }

    /// Is somebody inside [`Self::with`]? For reports that must not fail.
    pub fn is_busy(&self) -> bool {
        self.busy.get()
    }
}
