//! The one way to wait: on a list, until woken or until a deadline.

use crate::table::{State, Timer};
use crate::{NONE, Threads};
use core::sync::atomic::{AtomicU32, Ordering::Relaxed};

/// How a wait ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WaitOutcome {
    /// Somebody woke the thread.
    Woken,
    /// The deadline passed first.
    TimedOut,
}

/// The threads that wait for one thing, in order of arrival.
///
/// Two indices into the table of its core, and a place for a static: atomic because a static must be, never contended,
/// because only that core touches them.
#[derive(Debug)]
pub struct Waiters {
    head: AtomicU32,
    tail: AtomicU32,
}

/// A thread's place on a list of waiters.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Waiting {
    listed: bool,
    previous: u32,
    next: u32,
}

impl Waiting {
    pub(crate) const NOWHERE: Self = Waiting { listed: false, previous: NONE, next: NONE };
}

impl Waiters {
    /// Nobody waits.
    #[must_use]
    pub const fn new() -> Self {
        Waiters { head: AtomicU32::new(NONE), tail: AtomicU32::new(NONE) }
    }

    /// Whether nobody waits.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.head.load(Relaxed) == NONE
    }
}

impl Default for Waiters {
    fn default() -> Self {
        Self::new()
    }
}

impl<P> Threads<P> {
    /// The running thread waits: it is on `waiters`, and is next chosen after a wake-up or after `deadline_ns`.
    /// Once it runs again it must call [`finish_wait`](Self::finish_wait) with the same list.
    pub fn wait(&mut self, waiters: &Waiters, deadline_ns: Option<u64>) {
        let index = self.current;
        let last = waiters.tail.load(Relaxed);
        self.slot(index).waiting = Waiting { listed: true, previous: last, next: NONE };
        match last {
            NONE => waiters.head.store(index, Relaxed),
            last => self.slot(last).waiting.next = index,
        }
        waiters.tail.store(index, Relaxed);
        self.suspend(deadline_ns);
    }

    /// How the running thread's wait on `waiters` ended; it is no longer on the list.
    pub fn finish_wait(&mut self, waiters: &Waiters) -> WaitOutcome {
        let index = self.current;
        if self.slot(index).waiting.listed {
            self.unlist(waiters, index);
        }
        self.outcome()
    }

    /// The running thread waits for [`resume`](Self::resume), until `deadline_ns` at most.
    pub fn suspend(&mut self, deadline_ns: Option<u64>) {
        let index = self.current;
        let deadline_ns = deadline_ns.unwrap_or(u64::MAX);
        let slot = self.slot(index);
        slot.state = State::Waiting;
        slot.deadline_ns = deadline_ns;
        let fires_ns = slot.timer.map_or(u64::MAX, |timer| timer.fires_ns);
        if deadline_ns < fires_ns {
            self.arm(index, deadline_ns, fires_ns);
        }
    }

    /// A wake-up reaches the thread at `place`, which waits or whose deadline has just ended its wait: it becomes ready.
    pub fn resume(&mut self, place: u32) {
        let slot = self.slot(place);
        slot.outcome = WaitOutcome::Woken;
        if slot.state == State::Waiting {
            self.make_ready(place);
        }
    }

    /// Ends the waits of those for which `ends` holds, as their deadlines would.
    pub fn end_waits(&mut self, mut ends: impl FnMut(&P) -> bool) {
        for index in 0..self.slots.len() as u32 {
            let slot = self.slot(index);
            if slot.state == State::Waiting && slot.payload.as_ref().is_some_and(&mut ends) {
                slot.outcome = WaitOutcome::TimedOut;
                self.make_ready(index);
            }
        }
    }

    /// How the running thread's wait ended.
    #[must_use]
    pub fn outcome(&mut self) -> WaitOutcome {
        self.slot(self.current).outcome
    }

    /// Wakes the thread that has waited longest. `false`: nobody waits.
    pub fn wake_one(&mut self, waiters: &Waiters) -> bool {
        let index = waiters.head.load(Relaxed);
        if index == NONE {
            return false;
        }
        self.unlist(waiters, index);
        self.resume(index);
        true
    }

    /// Wakes all threads that wait now.
    pub fn wake_all(&mut self, waiters: &Waiters) {
        while self.wake_one(waiters) {}
    }

    /// Makes the threads ready whose deadlines are at or before `now_ns`: all that may not wait longer, and of the others
    /// those that come first.
    pub fn expire(&mut self, now_ns: u64) {
        self.now_ns = now_ns;
        while let Some((fires_ns, &index)) = self.timers.first() {
            let slot = &self.slots[index as usize];
            if fires_ns > now_ns && (slot.state != State::Waiting || slot.deadline_ns > now_ns) {
                break;
            }
            self.timers.pop_due(u64::MAX);
            let slot = self.slot(index);
            slot.timer = None;
            if slot.state != State::Waiting {
                continue; // its wait has ended already
            }
            let deadline_ns = slot.deadline_ns;
            if deadline_ns <= now_ns {
                slot.outcome = WaitOutcome::TimedOut;
                self.make_ready(index);
            } else if deadline_ns < u64::MAX {
                self.arm(index, deadline_ns, u64::MAX);
            }
        }
    }

    /// When [`expire`](Self::expire) has something to do: the earliest of the latest ends of all waits, or before.
    #[must_use]
    pub fn next_deadline(&self) -> Option<u64> {
        self.timers.next_deadline()
    }

    /// Sets the thread's timer, which is set for `set_ns`, for the latest end of its wait, unless that is later. One that is
    /// set for earlier is left alone, for nearly every wait ends before its deadline, and the next one's deadline is later:
    /// thus a connection that waits a minute for each of its thousand requests a second sets one timer a minute.
    fn arm(&mut self, index: u32, deadline_ns: u64, set_ns: u64) {
        let slack = self.slots[index as usize].slack.unwrap_or(self.slack);
        let fires_ns = slack.latest_ns(self.now_ns, deadline_ns);
        if fires_ns >= set_ns && set_ns < u64::MAX {
            return;
        }
        // The old one first: as many timers are reserved as there are threads.
        if let Some(old) = self.slot(index).timer.take() {
            self.timers.cancel(old.key);
        }
        let key = self.timers.insert(fires_ns, index);
        self.slot(index).timer = Some(Timer { key, fires_ns });
    }

    fn unlist(&mut self, waiters: &Waiters, index: u32) {
        let place = core::mem::replace(&mut self.slot(index).waiting, Waiting::NOWHERE);
        match place.previous {
            NONE => waiters.head.store(place.next, Relaxed),
            previous => self.slot(previous).waiting.next = place.next,
        }
        match place.next {
            NONE => waiters.tail.store(place.previous, Relaxed),
            next => self.slot(next).waiting.previous = place.previous,
        }
    }
}
