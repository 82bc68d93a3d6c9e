//! Mutual exclusion. Needed only around what stays locked over a scheduling point.

#![expect(unsafe_code, reason = "a lock lends out what it guards")]

use super::poison::{self, LockResult, PoisonError};
use super::{Guarded, WaitList};
use core::cell::UnsafeCell;
use core::fmt;
use core::marker::PhantomData;
use core::ops::{Deref, DerefMut};
use core::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// A value that one thread at a time may use.
///
/// When the thread that holds it ends by a fault, the next one gets it, *poisoned*: what it guards may be half changed.
pub struct Mutex<T: ?Sized> {
    state: Guarded<State>,
    /// The ticket of the thread that holds the lock; 0: nobody, or one that is about to be told.
    owner: AtomicU64,
    value: UnsafeCell<T>,
}

struct State {
    locked: bool,
    poisoned: bool,
    waiters: WaitList,
}

impl State {
    /// Takes the lock if it is free; whether it is poisoned.
    fn take(&mut self) -> Option<bool> {
        (!core::mem::replace(&mut self.locked, true)).then_some(self.poisoned)
    }

    /// The same, or takes it from a thread that has ended.
    fn take_or_inherit(&mut self, owner: &AtomicU64) -> Option<bool> {
        if self.locked && poison::is_dead(owner.load(Relaxed)) {
            owner.store(poison::me(), Relaxed);
            self.poisoned = true;
            return Some(true);
        }
        self.take()
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
            state: Guarded::new(State { locked: false, poisoned: false, waiters: WaitList::new() }),
            owner: AtomicU64::new(0),
            value: UnsafeCell::new(value),
        }
    }

    /// The value, back.
    ///
    /// # Panics
    /// When it is poisoned.
    pub fn into_inner(self) -> T {
        self.expect_sound();
        self.value.into_inner()
    }
}

impl<T: ?Sized> Mutex<T> {
    /// Waits for the lock, behind those who came before.
    ///
    /// # Panics
    /// When the running thread holds the lock already: it would wait for ever. And when it is poisoned: what it guards may be half
    /// changed, and a program that can mend it calls [`checked_lock`](Self::checked_lock).
    pub fn lock(&self) -> MutexGuard<'_, T> {
        match self.acquire() {
            (guard, false) => guard,
            (guard, true) => {
                drop(guard);
                poison::poisoned()
            }
        }
    }

    /// As [`lock`](Self::lock), for those who know what to do when it is poisoned.
    ///
    /// # Errors
    /// The lock all the same, when it is poisoned.
    ///
    /// # Panics
    /// When the running thread holds the lock already.
    pub fn checked_lock(&self) -> LockResult<MutexGuard<'_, T>> {
        match self.acquire() {
            (guard, false) => Ok(guard),
            (guard, true) => Err(PoisonError::new(guard)),
        }
    }

    /// Waits for the lock; whether it is poisoned.
    fn acquire(&self) -> (MutexGuard<'_, T>, bool) {
        let poisoned = self.state.with(|state, _| state.take()).unwrap_or_else(|| self.wait());
        (self.guard(), poisoned)
    }

    #[cold]
    fn wait(&self) -> bool {
        let owner = self.owner.load(Relaxed);
        assert!(owner == 0 || owner != poison::me(), "a thread waits for a lock that it holds");
        // Taken now, or left locked for us by whoever unlocked.
        let ask = |state: &mut State, _: &mut _| state.take_or_inherit(&self.owner);
        let taken = self.state.wait_for_holder(|state| &mut state.waiters, ask);
        taken.unwrap_or_else(|| self.state.with(|state, _| state.poisoned))
    }

    /// The lock, if it is free.
    ///
    /// # Errors
    /// [`WouldBlock`] when it is not.
    ///
    /// # Panics
    /// When it is poisoned.
    pub fn try_lock(&self) -> Result<MutexGuard<'_, T>, WouldBlock> {
        match self.try_acquire() {
            Some((guard, false)) => Ok(guard),
            Some((guard, true)) => {
                drop(guard);
                poison::poisoned()
            }
            None => Err(WouldBlock),
        }
    }

    fn try_acquire(&self) -> Option<(MutexGuard<'_, T>, bool)> {
        let poisoned = self.state.with(|state, _| state.take_or_inherit(&self.owner))?;
        Some((self.guard(), poisoned))
    }

    /// Whether a thread that held the lock has ended by a fault.
    pub fn is_poisoned(&self) -> bool {
        self.state.with(|state, _| state.poisoned || state.locked && poison::is_dead(self.owner.load(Relaxed)))
    }

    /// Says that what it guards is whole: whoever locks next need not know.
    pub fn clear_poison(&self) {
        self.state.with(|state, wakes| {
            state.poisoned = false;
            if state.locked && poison::is_dead(self.owner.load(Relaxed)) {
                self.owner.store(0, Relaxed);
                state.locked = state.waiters.wake_one(wakes);
            }
        });
    }

    /// The value, by way of exclusive access to the mutex.
    ///
    /// # Panics
    /// When it is poisoned.
    pub fn get_mut(&mut self) -> &mut T {
        self.expect_sound();
        self.value.get_mut()
    }

    fn expect_sound(&self) {
        if self.is_poisoned() {
            poison::poisoned();
        }
    }

    fn guard(&self) -> MutexGuard<'_, T> {
        self.owner.store(poison::me(), Relaxed);
        MutexGuard { mutex: self, not_send: PhantomData }
    }

    /// Hands the lock to the first waiter, or frees it.
    fn unlock(&self) {
        self.owner.store(0, Relaxed);
        self.state.with(|state, wakes| state.locked = state.waiters.wake_one(wakes));
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
        match self.try_acquire() {
            Some((guard, _)) => out.field("value", &&*guard),
            None => out.field("value", &"<locked>"),
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
