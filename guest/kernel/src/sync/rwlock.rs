//! Many readers or one writer, in order of arrival.

#![expect(unsafe_code, reason = "a lock lends out what it guards")]

use super::{Guarded, WaitList, WouldBlock};
use core::cell::UnsafeCell;
use core::fmt;
use core::marker::PhantomData;
use core::ops::{Deref, DerefMut};

/// A value that many threads may read, or one change.
///
/// A reader that comes while a writer waits queues behind it, so neither side can starve the other; hence a thread must not
/// read-lock twice at a time.
pub struct RwLock<T: ?Sized> {
    state: Guarded<State>,
    value: UnsafeCell<T>,
}

struct State {
    used: Use,
    readers: WaitList,
    writers: WaitList,
}

#[derive(Clone, Copy)]
enum Use {
    /// 0 readers: free.
    Read(usize),
    Written,
}

impl State {
    fn read(&mut self) -> Option<()> {
        match self.used {
            Use::Read(readers) if self.writers.is_empty() => {
                self.used = Use::Read(readers + 1);
                Some(())
            }
            _ => None,
        }
    }

    fn write(&mut self) -> Option<()> {
        match self.used {
            Use::Read(0) => {
                self.used = Use::Written;
                Some(())
            }
            _ => None,
        }
    }
}

// SAFETY: `used` is changed by one at a time, and admits readers (`T: Sync`) or one writer, which may move the value
// (`T: Send`); passing it on under the state's lock, or by a letter, makes what was done seen by the next.
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
            state: Guarded::new(State { used: Use::Read(0), readers: WaitList::new(), writers: WaitList::new() }),
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
        // Counted now, or by whoever let us in.
        let _either = self.state.wait(|state| &mut state.readers, None, |state, _| state.read());
        self.read_guard()
    }

    /// Waits until the value may be changed.
    pub fn write(&self) -> RwLockWriteGuard<'_, T> {
        // Taken now, or left to us by whoever let us in.
        let _either = self.state.wait(|state| &mut state.writers, None, |state, _| state.write());
        self.write_guard()
    }

    /// The right to read, if no writer holds the lock or waits for it.
    ///
    /// # Errors
    /// [`WouldBlock`] when one does.
    pub fn try_read(&self) -> Result<RwLockReadGuard<'_, T>, WouldBlock> {
        self.state.with(|state, _| state.read()).map(|()| self.read_guard()).ok_or(WouldBlock)
    }

    /// The right to change, if the lock is free.
    ///
    /// # Errors
    /// [`WouldBlock`] when it is not.
    pub fn try_write(&self) -> Result<RwLockWriteGuard<'_, T>, WouldBlock> {
        self.state.with(|state, _| state.write()).map(|()| self.write_guard()).ok_or(WouldBlock)
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
        self.state.with(|state, wakes| {
            let Use::Read(readers) = state.used else {
                unreachable!("a reader's lock is held by readers");
            };
            let written = readers == 1 && state.writers.wake_one(wakes);
            state.used = if written { Use::Written } else { Use::Read(readers - 1) };
        });
    }

    /// Lets the readers in that queued meanwhile, all together; without any, the next writer.
    fn end_write(&self) {
        self.state.with(|state, wakes| {
            let readers = state.readers.wake_all(wakes);
            let written = readers == 0 && state.writers.wake_one(wakes);
            state.used = if written { Use::Written } else { Use::Read(readers) };
        });
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
