//! A point that threads pass together.

use super::{Guarded, WaitList};

/// Lets threads wait until `threads` of them have come.
#[derive(Debug)]
pub struct Barrier {
    threads: usize,
    state: Guarded<State>,
}

struct State {
    arrived: usize,
    waiters: WaitList,
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
        Barrier { threads, state: Guarded::new(State { arrived: 0, waiters: WaitList::new() }) }
    }

    /// Waits until enough threads have come, counting this one. Then the barrier is as new.
    pub fn wait(&self) -> BarrierWaitResult {
        let last = self.state.wait(
            |state| &mut state.waiters,
            None,
            |state, wakes| {
                state.arrived += 1;
                let last = state.arrived >= self.threads;
                if last {
                    state.arrived = 0;
                    state.waiters.wake_all(wakes);
                }
                last.then_some(())
            },
        );
        BarrierWaitResult(last.is_ok())
    }
}
