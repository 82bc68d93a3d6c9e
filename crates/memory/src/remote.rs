//! Objects given back by cores that do not own them: a list through the objects themselves, without locks.
//!
//! Any core pushes, by compare-and-exchange; only the owner takes, and it takes all at once, so no push can mistake
//! one head for an earlier one at the same address (no ABA). Built a second time under loom, by `tests/loom.rs`.

#![expect(unsafe_code, reason = "the list goes through memory that is handed around")]

use crate::sync::{AtomicPtr, Link, Ordering};
use core::ptr;

/// An object that is nobody's, in a list.
pub struct Free {
    /// The object after it.
    pub(crate) next: Link<Free>,
}

/// What others gave back to one owner.
pub struct Remote {
    pub(crate) head: AtomicPtr<Free>,
}

impl Remote {
    /// Gives an object back.
    ///
    /// # Safety
    /// `object` is writable, holds and is aligned for a [`Free`], and is used by nobody until it is taken.
    pub unsafe fn push(&self, object: *mut Free) {
        let mut head = self.head.load(Ordering::Relaxed);
        loop {
            // SAFETY: by this function's contract the object is ours until the exchange succeeds.
            unsafe { (*object).next.set(head) };
            match self.head.compare_exchange_weak(head, object, Ordering::Release, Ordering::Relaxed) {
                Ok(_) => return,
                Err(now) => head = now,
            }
        }
    }

    /// All objects, linked, the last one given back first; null when there are none. One load then.
    pub fn take(&self) -> *mut Free {
        if self.head.load(Ordering::Relaxed).is_null() {
            return ptr::null_mut();
        }
        self.head.swap(ptr::null_mut(), Ordering::Acquire)
    }
}
