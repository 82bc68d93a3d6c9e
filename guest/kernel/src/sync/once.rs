//! Something that happens once, whoever comes first.

use super::poison;
use super::{Guarded, WaitList};
use core::sync::atomic::Ordering::{Acquire, Relaxed, Release};
use core::sync::atomic::{AtomicU8, AtomicU64};

const NOT_YET: u8 = 0;
const RUNNING: u8 = 1;
const DONE: u8 = 2;

/// Runs a closure once; others who come meanwhile wait until it is done.
///
/// When the thread that runs it ends by a fault, it is *poisoned*: it has begun, and will not be done.
#[derive(Debug)]
pub struct Once {
    /// Changed under the lock of `waiters`, but read without it.
    state: AtomicU8,
    /// The ticket of the thread that runs the closure.
    runner: AtomicU64,
    waiters: Guarded<WaitList>,
}

/// What somebody who comes finds.
enum Found {
    /// It is his to run.
    Mine,
    Done,
    Poisoned,
}

impl Once {
    /// Nothing has happened yet.
    #[must_use]
    pub const fn new() -> Self {
        Once { state: AtomicU8::new(NOT_YET), runner: AtomicU64::new(0), waiters: Guarded::new(WaitList::new()) }
    }

    /// Runs `f` unless some call's closure has run, and returns when it has. A closure that calls the same `Once` waits for
    /// itself, for ever.
    ///
    /// # Panics
    /// When it is poisoned.
    #[inline]
    pub fn call_once(&self, f: impl FnOnce()) {
        if !self.is_completed() && !self.run_or_wait(f, false) {
            poison::poisoned();
        }
    }

    /// As [`call_once`](Self::call_once), but where another call's closure ended by a fault, this one's is run.
    #[inline]
    pub fn call_once_force(&self, f: impl FnOnce()) {
        if !self.is_completed() {
            self.run_or_wait(f, true);
        }
    }

    /// Whether the closure has run.
    #[inline]
    #[must_use]
    pub fn is_completed(&self) -> bool {
        self.state.load(Acquire) == DONE
    }

    /// `false`: it is poisoned.
    fn run_or_wait(&self, f: impl FnOnce(), inherits: bool) -> bool {
        let begin = || {
            self.state.store(RUNNING, Relaxed);
            self.runner.store(poison::me(), Relaxed);
            Some(Found::Mine)
        };
        let ask = |_: &mut WaitList, _: &mut _| match self.state.load(Relaxed) {
            NOT_YET => begin(),
            DONE => Some(Found::Done),
            _ if !poison::is_dead(self.runner.load(Relaxed)) => None,
            _ if inherits => begin(),
            _ => Some(Found::Poisoned),
        };
        match self.waiters.wait_for_holder(|list| list, ask) {
            Some(Found::Mine) => {
                f();
                self.waiters.with(|list, wakes| {
                    self.state.store(DONE, Release);
                    list.wake_all(wakes)
                });
            }
            Some(Found::Poisoned) => return false,
            Some(Found::Done) | None => {}
        }
        true
    }
}

impl Default for Once {
    fn default() -> Self {
        Self::new()
    }
}
