//! Waiting for a condition under a mutex.

use super::{Guarded, Mutex, MutexGuard, WaitList, WaitOutcome};
use crate::time;
use core::time::Duration;

/// Threads that wait until another tells them to look again.
#[derive(Debug)]
pub struct Condvar {
    waiters: Guarded<WaitList>,
}

/// Whether a wait ended because its time was over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WaitTimeoutResult(bool);

impl WaitTimeoutResult {
    /// The time was over before a notification came.
    #[must_use]
    pub fn timed_out(&self) -> bool {
        self.0
    }
}

impl Condvar {
    /// A condition for which nobody waits.
    #[must_use]
    pub const fn new() -> Self {
        Condvar { waiters: Guarded::new(WaitList::new()) }
    }

    /// Unlocks, waits for a notification, and locks again. No notification is lost: the thread is
    /// on the list before it unlocks.
    pub fn wait<'a, T>(&self, guard: MutexGuard<'a, T>) -> MutexGuard<'a, T> {
        self.wait_until(guard, None).0
    }

    /// [`wait`](Self::wait)s as long as `condition` is true.
    pub fn wait_while<'a, T>(
        &self,
        mut guard: MutexGuard<'a, T>,
        mut condition: impl FnMut(&mut T) -> bool,
    ) -> MutexGuard<'a, T> {
        while condition(&mut guard) {
            guard = self.wait(guard);
        }
        guard
    }

    /// As [`wait`](Self::wait), but for `duration` at most.
    pub fn wait_timeout<'a, T>(
        &self,
        guard: MutexGuard<'a, T>,
        duration: Duration,
    ) -> (MutexGuard<'a, T>, WaitTimeoutResult) {
        self.wait_until(guard, Some(time::deadline_after(duration)))
    }

    /// As [`wait_while`](Self::wait_while), but for `duration` at most: `timed_out()` says that the condition is still true.
    pub fn wait_timeout_while<'a, T>(
        &self,
        mut guard: MutexGuard<'a, T>,
        duration: Duration,
        mut condition: impl FnMut(&mut T) -> bool,
    ) -> (MutexGuard<'a, T>, WaitTimeoutResult) {
        let deadline = Some(time::deadline_after(duration));
        let mut result = WaitTimeoutResult(false);
        while condition(&mut guard) {
            if result.timed_out() {
                return (guard, result);
            }
            (guard, result) = self.wait_until(guard, deadline);
        }
        (guard, WaitTimeoutResult(false))
    }

    /// Wakes the thread that has waited longest.
    pub fn notify_one(&self) {
        self.waiters.with(|list, wakes| list.wake_one(wakes));
    }

    /// Wakes all threads that wait now.
    pub fn notify_all(&self) {
        self.waiters.with(|list, wakes| list.wake_all(wakes));
    }

    fn wait_until<'a, T>(
        &self,
        guard: MutexGuard<'a, T>,
        deadline_ns: Option<u64>,
    ) -> (MutexGuard<'a, T>, WaitTimeoutResult) {
        let mutex: &'a Mutex<T> = MutexGuard::mutex(&guard);
        let wait = self.waiters.wait_after(|list| list, deadline_ns, |_, _| None::<()>, || drop(guard));
        (mutex.lock(), WaitTimeoutResult(wait == Err(WaitOutcome::TimedOut)))
    }
}

impl Default for Condvar {
    fn default() -> Self {
        Self::new()
    }
}
