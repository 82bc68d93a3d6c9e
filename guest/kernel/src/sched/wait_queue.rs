//! Waiting for what this core alone changes, without any lock.

use super::{CORE, WaitOutcome, turn};
use crate::arch::depth;
use toro_threads::Waiters;

/// The threads of one core that wait for something of that core, as its connections. What several cores may change stands in a
/// [`Guarded`](super::Guarded) instead.
///
/// ```ignore
/// while !self.ready() {                          // look at the condition ...
///     if self.queue.wait(deadline) == TimedOut { // ... and wait: nothing runs in between
///         return Err(..);
///     }
/// }
/// ```
/// Whoever makes the condition true calls [`wake_one`](Self::wake_one) or [`wake_all`](Self::wake_all) afterwards. The loop
/// is needed only where the condition may be gone again when the woken thread gets its turn.
#[derive(Debug)]
pub struct WaitQueue {
    waiters: Waiters,
}

impl WaitQueue {
    /// A queue in which nobody waits.
    #[must_use]
    pub const fn new() -> Self {
        WaitQueue { waiters: Waiters::new() }
    }

    /// Waits until woken, or until `deadline_ns` nanoseconds since boot.
    pub fn wait(&self, deadline_ns: Option<u64>) -> WaitOutcome {
        let _kernel = depth::enter();
        CORE.with(|core| core.threads.wait(&self.waiters, deadline_ns));
        turn::give_way();
        CORE.with(|core| core.threads.finish_wait(&self.waiters))
    }

    /// Makes the thread ready that has waited longest. `false`: nobody waits.
    pub fn wake_one(&self) -> bool {
        !self.is_empty() && CORE.with(|core| core.threads.wake_one(&self.waiters))
    }

    /// Makes all threads ready that wait now.
    pub fn wake_all(&self) {
        if !self.is_empty() {
            CORE.with(|core| core.threads.wake_all(&self.waiters));
        }
    }

    /// Whether nobody waits.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.waiters.is_empty()
    }
}

impl Default for WaitQueue {
    fn default() -> Self {
        Self::new()
    }
}

/// Waits until `deadline_ns` nanoseconds since boot.
pub fn sleep_until(deadline_ns: u64) {
    let _kernel = depth::enter();
    CORE.with(|core| core.threads.suspend(Some(deadline_ns)));
    turn::give_way();
}
