//! Threads that wait for one thing, on whatever cores they live.

#![expect(unsafe_code, reason = "waiters lie on the stacks of their threads")]

use crate::mailbox::Node;
use crate::primitives::{UnsafeCell, const_fn};
use core::ptr::{self, NonNull};

/// A waiting thread's place on a list, and the letter that will wake it. Lies on the thread's stack while it waits.
#[derive(Debug)]
#[repr(C)] // the letter first
pub struct Waiter {
    node: Node,
    /// Whether it is on a list; touched under the list's lock.
    listed: UnsafeCell<bool>,
    /// Touched under the list's lock too; after that by the waker who took the waiter off.
    links: UnsafeCell<Links>,
    core: u32,
    thread: u32,
}

#[derive(Debug)]
struct Links {
    previous: *const Waiter,
    next: *const Waiter,
}

impl Waiter {
    const_fn! {
        /// A waiter for the thread `thread` of core `core`; when it reaches that core as a letter, `act` is called with it.
        #[must_use]
        pub fn new(core: u32, thread: u32, act: unsafe fn(NonNull<Node>)) -> Self {
            let links = UnsafeCell::new(Links { previous: ptr::null(), next: ptr::null() });
            Waiter { node: Node::new(act), listed: UnsafeCell::new(false), links, core, thread }
        }
    }

    /// The core on which the thread lives.
    #[must_use]
    pub fn core(&self) -> u32 {
        self.core
    }

    /// The thread, as its core calls it.
    #[must_use]
    pub fn thread(&self) -> u32 {
        self.thread
    }

    /// The letter to post to the thread's core. `letter.cast()` is the waiter again.
    #[must_use]
    pub fn letter(waiter: NonNull<Waiter>) -> NonNull<Node> {
        waiter.cast()
    }

    /// Whether it is listed; asked by the one who holds the list's lock.
    fn is_listed(&self) -> bool {
        // SAFETY: as the line above says.
        self.listed.with(|place| unsafe { *place })
    }

    /// Sets whether it is listed, by the one who holds the list's lock; whether it was.
    fn set_listed(&self, listed: bool) -> bool {
        // SAFETY: as the line above says.
        self.listed.with_mut(|place| unsafe { place.replace(listed) })
    }

    /// Gives access to the links, to the one who holds the lock of the list, or has taken the waiter off the list.
    fn with<R>(&self, f: impl FnOnce(&mut Links) -> R) -> R {
        // SAFETY: as the line above says.
        self.links.with_mut(|links| f(unsafe { &mut *links }))
    }
}

/// Those who wait for one thing, in order of arrival. Stands under the same lock as that thing.
#[derive(Debug)]
pub struct WaitList {
    first: *const Waiter,
    last: *const Waiter,
}

// SAFETY: waiters may be taken off by any core (`Waiter` is made for that), one at a time: `&mut self`.
unsafe impl Send for WaitList {}

impl WaitList {
    /// Nobody waits.
    #[must_use]
    pub const fn new() -> Self {
        WaitList { first: ptr::null(), last: ptr::null() }
    }

    /// Whether nobody waits.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.first.is_null()
    }

    /// Puts a waiter behind the others.
    ///
    /// # Safety
    /// The waiter stays where it is, and is on no other list, until [`remove`](Self::remove) says that it was on this one,
    /// or until it has come to its core as a letter.
    pub unsafe fn push(&mut self, waiter: &Waiter) {
        let last = core::mem::replace(&mut self.last, waiter);
        waiter.set_listed(true);
        waiter.with(|links| *links = Links { previous: last, next: ptr::null() });
        // SAFETY: by this function's contract the one before is alive.
        match unsafe { last.as_ref() } {
            None => self.first = waiter,
            Some(last) => last.with(|links| links.next = waiter),
        }
    }

    /// Takes a waiter off the list whose thread does not want to wait any longer. `false`: somebody has taken it already, and
    /// it comes as a letter.
    pub fn remove(&mut self, waiter: &Waiter) -> bool {
        if !waiter.set_listed(false) {
            return false;
        }
        let (previous, next) = waiter.with(|links| (links.previous, links.next));
        // SAFETY: by `push`'s contract those on the list are alive.
        match unsafe { previous.as_ref() } {
            None => self.first = next,
            Some(previous) => previous.with(|links| links.next = next),
        }
        // SAFETY: as above.
        match unsafe { next.as_ref() } {
            None => self.last = previous,
            Some(next) => next.with(|links| links.previous = previous),
        }
        true
    }

    /// Whether a waiter is on this list, on which it was put. `false`: somebody has taken it, and it comes as a letter.
    #[must_use]
    pub fn holds(&self, waiter: &Waiter) -> bool {
        waiter.is_listed()
    }

    /// Takes the one off that has waited longest, to be woken once the lock is released. `false`: nobody waits.
    pub fn wake_one(&mut self, wakes: &mut Wakes) -> bool {
        // SAFETY: by `push`'s contract a waiter on the list is alive.
        let Some(waiter) = (unsafe { self.first.as_ref() }) else { return false };
        self.remove(waiter);
        wakes.add(waiter);
        true
    }

    /// Takes all off, to be woken once the lock is released; how many there were.
    pub fn wake_all(&mut self, wakes: &mut Wakes) -> usize {
        let mut count = 0;
        while self.wake_one(wakes) {
            count += 1;
        }
        count
    }
}

impl Default for WaitList {
    fn default() -> Self {
        Self::new()
    }
}

/// Waiters that were taken off their list, and have to be sent to their threads.
#[derive(Debug)]
#[must_use = "a waiter that is not sent to its thread lets it wait for ever"]
pub struct Wakes {
    first: *const Waiter,
    last: *const Waiter,
}

impl Wakes {
    /// Nobody.
    pub const fn new() -> Self {
        Wakes { first: ptr::null(), last: ptr::null() }
    }

    fn add(&mut self, waiter: &Waiter) {
        waiter.with(|links| links.next = ptr::null());
        let last = core::mem::replace(&mut self.last, waiter);
        // SAFETY: a waiter off its list lives until it comes to its core as a letter, and it has not been sent.
        match unsafe { last.as_ref() } {
            None => self.first = waiter,
            Some(last) => last.with(|links| links.next = waiter),
        }
    }

    /// Takes the next one, in the order they were woken. The caller sends it.
    pub fn take(&mut self) -> Option<NonNull<Waiter>> {
        let waiter = NonNull::new(self.first.cast_mut())?;
        // SAFETY: as in `add`.
        self.first = unsafe { waiter.as_ref() }.with(|links| links.next);
        if self.first.is_null() {
            self.last = ptr::null();
        }
        Some(waiter)
    }
}

impl Default for Wakes {
    fn default() -> Self {
        Self::new()
    }
}
