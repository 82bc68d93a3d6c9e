//! Many readers or one writer, in order of arrival.

#![expect(unsafe_code, reason = "a lock lends out what it guards")]

use super::poison::{self, LockResult, PoisonError};
use super::{Guarded, WaitList, Wakes, WouldBlock};
use crate::arch::depth;
use alloc::vec::Vec;
use core::cell::UnsafeCell;
use core::fmt;
use core::marker::PhantomData;
use core::ops::{Deref, DerefMut};

/// A value that many threads may read, or one change.
///
/// A reader that comes while a writer waits queues behind it, so neither side can starve the other; hence a thread must not
/// read-lock twice at a time. When a thread that writes ends by a fault, the lock is *poisoned*, as a [`Mutex`](super::Mutex) is;
/// one that reads has changed nothing.
pub struct RwLock<T: ?Sized> {
    state: Guarded<State>,
    value: UnsafeCell<T>,
}

struct State {
    /// The threads that read.
    readers: Tickets,
    /// Readers that were let in, and have not come home yet.
    arriving: usize,
    /// Readers that wait, or are about to.
    queued: usize,
    /// The thread that writes; 0: nobody; [`ARRIVING`]: one that was let in, and has not come home yet.
    writer: u64,
    poisoned: bool,
    waiting_readers: WaitList,
    waiting_writers: WaitList,
}

const ARRIVING: u64 = u64::MAX;

/// Tickets of threads; memory of the kernel.
struct Tickets(Vec<u64>);

impl Drop for Tickets {
    fn drop(&mut self) {
        let _kernel = depth::enter();
        drop(core::mem::take(&mut self.0));
    }
}

/// What came of a wish to read.
enum Wish {
    /// It reads; whether what it reads is poisoned.
    Granted(bool),
    /// It has to wait, for which there is room.
    Queued,
    /// The list of readers must become larger first: this many places.
    Grow(usize),
}

impl State {
    const fn new() -> Self {
        let (waiting_readers, waiting_writers) = (WaitList::new(), WaitList::new());
        let readers = Tickets(Vec::new());
        State { readers, arriving: 0, queued: 0, writer: 0, poisoned: false, waiting_readers, waiting_writers }
    }

    /// Forgets those who have ended.
    fn forget_dead(&mut self) {
        if self.writer != ARRIVING && poison::is_dead(self.writer) {
            (self.writer, self.poisoned) = (0, true);
        }
        self.readers.0.retain(|reader| !poison::is_dead(*reader));
    }

    /// Lets the running thread read, if it may now; whether it is poisoned.
    fn read(&mut self) -> Option<bool> {
        let may = self.writer == 0 && self.waiting_writers.is_empty();
        may.then(|| {
            self.readers.0.push(poison::me());
            self.poisoned
        })
    }

    fn wish_to_read(&mut self) -> Wish {
        let places = self.readers.0.len() + self.arriving + self.queued + 1;
        if places > self.readers.0.capacity() {
            return Wish::Grow(places);
        }
        self.read().map_or_else(
            || {
                self.queued += 1;
                Wish::Queued
            },
            Wish::Granted,
        )
    }

    /// Lets the running thread write, if it may now; whether it is poisoned.
    fn write(&mut self) -> Option<bool> {
        let may = self.writer == 0 && self.readers.0.is_empty() && self.arriving == 0;
        may.then(|| {
            self.writer = poison::me();
            self.poisoned
        })
    }
}

// SAFETY: the state is changed by one at a time, and admits readers (`T: Sync`) or one writer, which may move the value
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
        RwLock { state: Guarded::new(State::new()), value: UnsafeCell::new(value) }
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

impl<T: ?Sized> RwLock<T> {
    /// Waits until the value may be read.
    ///
    /// # Panics
    /// When it is poisoned; see [`checked_read`](Self::checked_read).
    pub fn read(&self) -> RwLockReadGuard<'_, T> {
        sound(self.checked_read())
    }

    /// As [`read`](Self::read), for those who know what to do when it is poisoned.
    ///
    /// # Errors
    /// The right to read all the same, when it is poisoned.
    pub fn checked_read(&self) -> LockResult<RwLockReadGuard<'_, T>> {
        let poisoned = match self.wish_to_read() {
            Wish::Granted(poisoned) => poisoned,
            _ => self.wait_to_read(),
        };
        checked(RwLockReadGuard { lock: self, not_send: PhantomData }, poisoned)
    }

    /// Granted, or queued: there is room.
    fn wish_to_read(&self) -> Wish {
        loop {
            match self.state.with(|state, _| state.wish_to_read()) {
                Wish::Grow(places) => self.make_room(places),
                wish => return wish,
            }
        }
    }

    #[cold]
    fn make_room(&self, places: usize) {
        let _kernel = depth::enter();
        let mut larger = Vec::with_capacity(places.next_power_of_two().max(4));
        let smaller = self.state.with(|state, _| {
            if larger.capacity() > state.readers.0.capacity() {
                larger.append(&mut state.readers.0);
                core::mem::swap(&mut state.readers.0, &mut larger);
            }
            larger
        });
        drop(smaller);
    }

    #[cold]
    fn wait_to_read(&self) -> bool {
        let ask = |state: &mut State, _: &mut _| {
            state.forget_dead();
            state.read()
        };
        let entered = self.state.wait_for_holder(|state| &mut state.waiting_readers, ask);
        self.state.with(|state, _| {
            state.queued -= 1;
            if entered.is_none() {
                state.arriving -= 1; // let in by whoever made way
                state.readers.0.push(poison::me());
            }
            state.poisoned
        })
    }

    /// Waits until the value may be changed.
    ///
    /// # Panics
    /// When it is poisoned; see [`checked_write`](Self::checked_write).
    pub fn write(&self) -> RwLockWriteGuard<'_, T> {
        sound(self.checked_write())
    }

    /// As [`write`](Self::write), for those who know what to do when it is poisoned.
    ///
    /// # Errors
    /// The right to change it all the same, when it is poisoned.
    pub fn checked_write(&self) -> LockResult<RwLockWriteGuard<'_, T>> {
        let poisoned = self.state.with(|state, _| state.write()).unwrap_or_else(|| self.wait_to_write());
        checked(RwLockWriteGuard { lock: self, not_send: PhantomData }, poisoned)
    }

    #[cold]
    fn wait_to_write(&self) -> bool {
        let ask = |state: &mut State, _: &mut _| {
            state.forget_dead();
            state.write()
        };
        let entered = self.state.wait_for_holder(|state| &mut state.waiting_writers, ask);
        entered.unwrap_or_else(|| {
            self.state.with(|state, _| {
                state.writer = poison::me(); // let in by whoever made way
                state.poisoned
            })
        })
    }

    /// The right to read, if no writer holds the lock or waits for it.
    ///
    /// # Errors
    /// [`WouldBlock`] when one does.
    ///
    /// # Panics
    /// When it is poisoned.
    pub fn try_read(&self) -> Result<RwLockReadGuard<'_, T>, WouldBlock> {
        self.try_checked_read().map(sound).ok_or(WouldBlock)
    }

    fn try_checked_read(&self) -> Option<LockResult<RwLockReadGuard<'_, T>>> {
        self.state.with(|state, _| state.forget_dead());
        let poisoned = match self.wish_to_read() {
            Wish::Granted(poisoned) => poisoned,
            _ => {
                self.state.with(|state, _| state.queued -= 1);
                return None;
            }
        };
        Some(checked(RwLockReadGuard { lock: self, not_send: PhantomData }, poisoned))
    }

    /// The right to change, if the lock is free.
    ///
    /// # Errors
    /// [`WouldBlock`] when it is not.
    ///
    /// # Panics
    /// When it is poisoned.
    pub fn try_write(&self) -> Result<RwLockWriteGuard<'_, T>, WouldBlock> {
        let poisoned = self.state.with(|state, _| {
            state.forget_dead();
            state.write()
        });
        let guard = |poisoned| checked(RwLockWriteGuard { lock: self, not_send: PhantomData }, poisoned);
        poisoned.map(guard).map(sound).ok_or(WouldBlock)
    }

    /// Whether a thread that held the lock to write has ended by a fault.
    pub fn is_poisoned(&self) -> bool {
        self.state.with(|state, _| {
            state.forget_dead();
            state.poisoned
        })
    }

    /// Says that the value is whole: whoever locks next need not know.
    pub fn clear_poison(&self) {
        self.state.with(|state, wakes| {
            state.forget_dead();
            state.poisoned = false;
            state.make_way(wakes);
        });
    }

    /// The value, by way of exclusive access to the lock.
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

    fn end_read(&self) {
        self.state.with(|state, wakes| {
            let me = poison::me();
            if let Some(place) = state.readers.0.iter().rposition(|reader| *reader == me) {
                state.readers.0.swap_remove(place);
            }
            state.make_way(wakes);
        });
    }

    /// Lets the readers in that queued meanwhile, all together; without any, the next writer.
    fn end_write(&self) {
        self.state.with(|state, wakes| {
            state.writer = 0;
            state.arriving += state.waiting_readers.wake_all(wakes);
            state.make_way(wakes);
        });
    }
}

impl State {
    /// Lets the next writer in, if nobody is inside.
    fn make_way(&mut self, wakes: &mut Wakes) {
        let is_free = self.writer == 0 && self.readers.0.is_empty() && self.arriving == 0;
        if is_free && self.waiting_writers.wake_one(wakes) {
            self.writer = ARRIVING;
        }
    }
}

fn checked<G>(guard: G, poisoned: bool) -> LockResult<G> {
    if poisoned { Err(PoisonError::new(guard)) } else { Ok(guard) }
}

fn sound<G>(lock: LockResult<G>) -> G {
    lock.unwrap_or_else(|error| {
        drop(error);
        poison::poisoned()
    })
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
        match self.try_checked_read() {
            Some(guard) => out.field("value", &&*guard.unwrap_or_else(PoisonError::into_inner)),
            None => out.field("value", &"<locked>"),
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
