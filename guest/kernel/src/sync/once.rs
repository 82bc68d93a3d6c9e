//! Something that happens once, whoever comes first.

use super::{Guarded, WaitList};
use core::sync::atomic::{AtomicU8, Ordering};

const NOT_YET: u8 = 0;
const RUNNING: u8 = 1;
const DONE: u8 = 2;

/// Runs a closure once; others who come meanwhile wait until it is done.
#[derive(Debug)]
pub struct Once {
    /// Changed under the lock of `waiters`, but read without it.
    state: AtomicU8,
    waiters: Guarded<WaitList>,
}

impl Once {
    /// Nothing has happened yet.
    #[must_use]
    pub const fn new() -> Self {
        Once { state: AtomicU8::new(NOT_YET), waiters: Guarded::new(WaitList::new()) }
    }

    /// Runs `f` unless some call's closure has run, and returns when it has. A closure that calls the same `Once` waits for
    /// itself, for ever.
    #[inline]
    pub fn call_once(&self, f: impl FnOnce()) {
        if !self.is_completed() {
            self.run_or_wait(f);
        }
    }

    /// Whether the closure has run.
    #[inline]
    #[must_use]
    pub fn is_completed(&self) -> bool {
        self.state.load(Ordering::Acquire) == DONE
    }

    fn run_or_wait(&self, f: impl FnOnce()) {
        let ask = |_: &mut WaitList| match self.state.load(Ordering::Relaxed) {
            NOT_YET => {
                self.state.store(RUNNING, Ordering::Relaxed);
                Some(true)
            }
            RUNNING => None,
            _ => Some(false),
        };
        if self.waiters.wait(|list| list, None, |list, _| ask(list)) == Ok(true) {
            f();
            self.waiters.with(|list, wakes| {
                self.state.store(DONE, Ordering::Release);
                list.wake_all(wakes)
            });
        }
    }
}

impl Default for Once {
    fn default() -> Self {
        Self::new()
    }
}
