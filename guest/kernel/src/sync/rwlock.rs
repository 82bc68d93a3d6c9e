//! Many readers or one writer, in order of arrival.

#![expect(unsafe_code, reason = "a lock lends out what it guards")]

use super::{WaitQueue, WouldBlock};
use core::cell::{Cell, UnsafeCell};
use core::fmt;
use core::marker::PhantomData;
use core::ops::{Deref, DerefMut};

/// A value that many threads may read, or one change.
///
/// A reader that comes while a writer waits queues behind it, so neither side can starve the other; hence a thread must not
/// read-lock twice at a time.
pub struct RwLock<T: ?Sized> {
    state: Cell<State>,
    readers: WaitQueue,
    writers: WaitQueue,
    value: UnsafeCell<T>,
}

#[derive(Clone, Copy)]
enum State {
    /// 0 readers: free.
    Read(usize),
    Written,
}

// SAFETY: threads share one core and switch only inside the scheduler, so `state` is never changed by two at once; it
// admits readers (`T: Sync`) or one writer, which may move the value (`T: Send`).
unsafe impl<T: ?Sized + Send + Sync> Sync for RwLock<T> {}
// SAFETY: as for a plain `T`; nobody waits on a lock that is moved, for waiting borrows it.
unsafe impl<T: ?Sized + Send> Send for RwLock<T> {}

/// The right to read an [`RwLock`]'s value, until dropped.
#[must_use = "dropping the guard unlocks at once"]
pub struct RwLockReadGuard<'a, T: ?Sized> {
    lock: &'a RwLock<T>,
    not_send: PhantomData<*mut ()>,
}

/// The right to change an [`RwLock`]'s value, until dropped.
#[must_use = "dropping the guard unlocks at once"]
pub struct RwLockWriteGuard<'a, T: ?Sized> {
    lock: &'a RwLock<T>,
    not_send: PhantomData<*mut ()>,
}

impl<T> RwLock<T> {
    /// An unlocked lock around `value`.
    #[must_use]
    pub const fn new(value: T) -> Self {
        RwLock {
            state: Cell::new(State::Read(0)),
            readers: WaitQueue::new(),
            writers: WaitQueue::new(),
            value: UnsafeCell::new(value),
        }
    }

    /// The value, back.
    pub fn into_inner(self) -> T {
        self.value.into_inner()
    }
}

impl<T: ?Sized> RwLock<T> {
    /// Waits until the value may be read.
    pub fn read(&self) -> RwLockReadGuard<'_, T> {
        self.try_read().unwrap_or_else(|WouldBlock| {
            self.readers.wait(None); // whoever let us in has counted us
            self.read_guard()
        })
    }

    /// Waits until the value may be changed.
    pub fn write(&self) -> RwLockWriteGuard<'_, T> {
        self.try_write().unwrap_or_else(|WouldBlock| {
            self.writers.wait(None); // whoever let us in has left the lock to us
            self.write_guard()
        })
    }

    /// The right to read, if no writer holds the lock or waits for it.
    ///
    /// # Errors
    /// [`WouldBlock`] when one does.
    pub fn try_read(&self) -> Result<RwLockReadGuard<'_, T>, WouldBlock> {
        match self.state.get() {
            State::Read(readers) if self.writers.is_empty() => {
                self.state.set(State::Read(readers + 1));
                Ok(self.read_guard())
            }
            _ => Err(WouldBlock),
        }
    }

    /// The right to change, if the lock is free.
    ///
    /// # Errors
    /// [`WouldBlock`] when it is not.
    pub fn try_write(&self) -> Result<RwLockWriteGuard<'_, T>, WouldBlock> {
        match self.state.get() {
            State::Read(0) => {
                self.state.set(State::Written);
                Ok(self.write_guard())
            }
            _ => Err(WouldBlock),
        }
    }

    /// The value, by way of exclusive access to the lock.
    pub fn get_mut(&mut self) -> &mut T {
        self.value.get_mut()
    }

    fn read_guard(&self) -> RwLockReadGuard<'_, T> {
        RwLockReadGuard { lock: self, not_send: PhantomData }
    }

    fn write_guard(&self) -> RwLockWriteGuard<'_, T> {
        RwLockWriteGuard { lock: self, not_send: PhantomData }
    }

    fn end_read(&self) {
        let State::Read(readers) = self.state.get() else {
            unreachable!("a reader's lock is held by readers");
        };
        let last = readers == 1;
        let written = last && self.writers.wake_one();
        self.state.set(if written { State::Written } else { State::Read(readers - 1) });
    }

    /// Lets the readers in that queued meanwhile, all together; without any, the next writer.
    fn end_write(&self) {
        let mut readers = 0;
        while self.readers.wake_one() {
            readers += 1;
        }
        let written = readers == 0 && self.writers.wake_one();
        self.state.set(if written { State::Written } else { State::Read(readers) });
    }
}

impl<T: ?Sized> Drop for RwLockReadGuard<'_, T> {
    fn drop(&mut self) {
        self.lock.end_read();
    }
}

impl<T: ?Sized> Drop for RwLockWriteGuard<'_, T> {
    fn drop(&mut self) {
        self.lock.end_write();
    }
}

impl<T: ?Sized> Deref for RwLockReadGuard<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        // SAFETY: while this guard lives the lock admits readers only.
        unsafe { &*self.lock.value.get() }
    }
}

impl<T: ?Sized> Deref for RwLockWriteGuard<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        // SAFETY: while this guard lives nobody else has a reference, and `self` is borrowed shared.
        unsafe { &*self.lock.value.get() }
    }
}

impl<T: ?Sized> DerefMut for RwLockWriteGuard<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        // SAFETY: while this guard lives nobody else has a reference, and `self` is borrowed exclusively.
        unsafe { &mut *self.lock.value.get() }
    }
}

impl<T: Default> Default for RwLock<T> {
    fn default() -> Self {
        Self::new(T::default())
    }
}

impl<T: ?Sized + fmt::Debug> fmt::Debug for RwLock<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut out = f.debug_struct("RwLock");
        match self.try_read() {
            Ok(guard) => out.field("value", &&*guard),
            Err(WouldBlock) => out.field("value", &"<locked>"),
        };
        out.finish()
    }
}

impl<T: ?Sized + fmt::Debug> fmt::Debug for RwLockReadGuard<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}

impl<T: ?Sized + fmt::Debug> fmt::Debug for RwLockWriteGuard<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}
