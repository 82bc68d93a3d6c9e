//! Mutual exclusion. Needed only around what stays locked over a scheduling point.

#![expect(unsafe_code, reason = "a lock lends out what it guards")]

use super::WaitQueue;
use crate::sched::{self, ThreadId};
use core::cell::{Cell, UnsafeCell};
use core::fmt;
use core::marker::PhantomData;
use core::ops::{Deref, DerefMut};

/// A value that one thread at a time may use.
pub struct Mutex<T: ?Sized> {
    locked: Cell<bool>,
    /// Who holds the lock: only to tell a thread that it waits for itself.
    owner: Cell<Option<ThreadId>>,
    waiters: WaitQueue,
    value: UnsafeCell<T>,
}

// SAFETY: threads share one core and switch only inside the scheduler, so `locked` is never changed by two at once, and it
// admits one user of the value at a time. The value itself may move between threads, hence `Send`.
unsafe impl<T: ?Sized + Send> Sync for Mutex<T> {}
// SAFETY: as for a plain `T`; nobody waits on a mutex that is moved, for waiting borrows it.
unsafe impl<T: ?Sized + Send> Send for Mutex<T> {}

/// The right to use a [`Mutex`]'s value, until dropped.
#[must_use = "dropping the guard unlocks at once"]
pub struct MutexGuard<'a, T: ?Sized> {
    mutex: &'a Mutex<T>,
    /// The thread that locked unlocks.
    not_send: PhantomData<*mut ()>,
}

// SAFETY: a shared guard gives no more than `&T`.
unsafe impl<T: ?Sized + Sync> Sync for MutexGuard<'_, T> {}

/// The lock is held by another thread.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WouldBlock;

impl fmt::Display for WouldBlock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the lock is held by another thread")
    }
}

impl core::error::Error for WouldBlock {}

impl<T> Mutex<T> {
    /// An unlocked mutex around `value`.
    #[must_use]
    pub const fn new(value: T) -> Self {
        Mutex {
            locked: Cell::new(false),
            owner: Cell::new(None),
            waiters: WaitQueue::new(),
            value: UnsafeCell::new(value),
        }
    }

    /// The value, back.
    pub fn into_inner(self) -> T {
        self.value.into_inner()
    }
}

impl<T: ?Sized> Mutex<T> {
    /// Waits for the lock, behind those who came before.
    ///
    /// # Panics
    /// When the running thread holds the lock already: it would wait for ever.
    #[track_caller]
    pub fn lock(&self) -> MutexGuard<'_, T> {
        if self.locked.replace(true) {
            let owner = self.owner.get();
            assert!(owner.is_none() || owner != sched::current(), "a thread waits for a lock that it holds");
            self.waiters.wait(None); // whoever unlocked has left it locked, for us
        }
        self.guard()
    }

    /// The lock, if it is free.
    ///
    /// # Errors
    /// [`WouldBlock`] when it is not.
    pub fn try_lock(&self) -> Result<MutexGuard<'_, T>, WouldBlock> {
        if self.locked.replace(true) { Err(WouldBlock) } else { Ok(self.guard()) }
    }

    /// The value, by way of exclusive access to the mutex.
    pub fn get_mut(&mut self) -> &mut T {
        self.value.get_mut()
    }

    fn guard(&self) -> MutexGuard<'_, T> {
        self.owner.set(sched::current());
        MutexGuard { mutex: self, not_send: PhantomData }
    }

    /// Hands the lock to the first waiter, or frees it.
    fn unlock(&self) {
        self.owner.set(None);
        if !self.waiters.wake_one() {
            self.locked.set(false);
        }
    }
}

impl<'a, T: ?Sized> MutexGuard<'a, T> {
    pub(super) fn mutex(guard: &Self) -> &'a Mutex<T> {
        guard.mutex
    }
}

impl<T: ?Sized> Drop for MutexGuard<'_, T> {
    fn drop(&mut self) {
        self.mutex.unlock();
    }
}

impl<T: ?Sized> Deref for MutexGuard<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        // SAFETY: this guard holds the lock, so no other thread has a reference, and `self` is borrowed shared.
        unsafe { &*self.mutex.value.get() }
    }
}

impl<T: ?Sized> DerefMut for MutexGuard<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        // SAFETY: this guard holds the lock, and `self` is borrowed exclusively.
        unsafe { &mut *self.mutex.value.get() }
    }
}

impl<T: Default> Default for Mutex<T> {
    fn default() -> Self {
        Self::new(T::default())
    }
}

impl<T> From<T> for Mutex<T> {
    fn from(value: T) -> Self {
        Self::new(value)
    }
}

impl<T: ?Sized + fmt::Debug> fmt::Debug for Mutex<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut out = f.debug_struct("Mutex");
        match self.try_lock() {
            Ok(guard) => out.field("value", &&*guard),
            Err(WouldBlock) => out.field("value", &"<locked>"),
        };
        out.finish()
    }
}

impl<T: ?Sized + fmt::Debug> fmt::Debug for MutexGuard<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}

impl<T: ?Sized + fmt::Display> fmt::Display for MutexGuard<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}
