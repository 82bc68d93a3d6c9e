//! Mutual exclusion. Needed only around what stays locked over a scheduling point.

#![expect(unsafe_code, reason = "a lock lends out what it guards")]

use super::{Guarded, WaitList};
use crate::sched;
use core::cell::UnsafeCell;
use core::fmt;
use core::marker::PhantomData;
use core::ops::{Deref, DerefMut};
use core::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// A value that one thread at a time may use.
pub struct Mutex<T: ?Sized> {
    state: Guarded<State>,
    /// The thread that holds the lock, or 0: only to tell a thread that it waits for itself.
    owner: AtomicU64,
    value: UnsafeCell<T>,
}

struct State {
    locked: bool,
    waiters: WaitList,
}

impl State {
    fn take(&mut self) -> bool {
        !core::mem::replace(&mut self.locked, true)
    }
}

// SAFETY: `locked` is changed by one at a time and admits one user of the value at a time; passing it on under the state's
// lock, or by a letter, makes what the last user did seen by the next. The value may move between threads, hence `Send`.
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
            state: Guarded::new(State { locked: false, waiters: WaitList::new() }),
            owner: AtomicU64::new(0),
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
    pub fn lock(&self) -> MutexGuard<'_, T> {
        if !self.state.with(|state, _| state.take()) {
            self.wait();
        }
        self.guard()
    }

    #[cold]
    fn wait(&self) {
        assert!(self.owner.load(Relaxed) != running(), "a thread waits for a lock that it holds");
        // Taken now, or left locked for us by whoever unlocked.
        let _either = self.state.wait(|state| &mut state.waiters, None, |state, _| state.take().then_some(()));
    }

    /// The lock, if it is free.
    ///
    /// # Errors
    /// [`WouldBlock`] when it is not.
    pub fn try_lock(&self) -> Result<MutexGuard<'_, T>, WouldBlock> {
        if self.state.with(|state, _| state.take()) { Ok(self.guard()) } else { Err(WouldBlock) }
    }

    /// The value, by way of exclusive access to the mutex.
    pub fn get_mut(&mut self) -> &mut T {
        self.value.get_mut()
    }

    fn guard(&self) -> MutexGuard<'_, T> {
        self.owner.store(running(), Relaxed);
        MutexGuard { mutex: self, not_send: PhantomData }
    }

    /// Hands the lock to the first waiter, or frees it.
    fn unlock(&self) {
        self.owner.store(0, Relaxed);
        self.state.with(|state, wakes| state.locked = state.waiters.wake_one(wakes));
    }
}

/// The running thread; 1 while there is none, as at boot. Thread 1 is `main`, which begins after boot.
fn running() -> u64 {
    sched::current_id().map_or(1, |id| id.as_u64().get())
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
