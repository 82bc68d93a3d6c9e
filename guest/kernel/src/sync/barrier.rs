//! A point that threads pass together.

use super::WaitQueue;
use core::sync::atomic::{AtomicUsize, Ordering::Relaxed};

/// Lets threads wait until `threads` of them have come.
#[derive(Debug)]
pub struct Barrier {
    threads: usize,
    arrived: AtomicUsize,
    waiters: WaitQueue,
}

/// Tells one of the threads that pass together from the others.
#[derive(Clone, Copy, Debug)]
pub struct BarrierWaitResult(bool);

impl BarrierWaitResult {
    /// Exactly one of the threads that passed together is told `true`.
    #[must_use]
    pub fn is_leader(&self) -> bool {
        self.0
    }
}

impl Barrier {
    /// A barrier for `threads` threads.
    #[must_use]
    pub const fn new(threads: usize) -> Self {
        Barrier { threads, arrived: AtomicUsize::new(0), waiters: WaitQueue::new() }
    }

    /// Waits until enough threads have come, counting this one. Then the barrier is as new.
    pub fn wait(&self) -> BarrierWaitResult {
        let arrived = self.arrived.load(Relaxed) + 1;
        let last = arrived >= self.threads;
        self.arrived.store(if last { 0 } else { arrived }, Relaxed);
        if last {
            self.waiters.wake_all();
        } else {
            self.waiters.wait(None);
        }
        BarrierWaitResult(last)
    }
}
