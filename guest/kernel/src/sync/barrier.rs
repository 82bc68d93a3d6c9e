//! A point that threads pass together.

use super::{Guarded, WaitList, collective};
use crate::arch::cores::{self, CoreId};

/// Lets threads wait until all of them have come: so many, or one on each core.
#[derive(Debug)]
pub struct Barrier(Kind);

#[derive(Debug)]
enum Kind {
    Threads { threads: usize, state: Guarded<State> },
    Cores,
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
        Barrier(Kind::Threads { threads, state: Guarded::new(State { arrived: 0, waiters: WaitList::new() }) })
    }

    /// The barrier for one thread on each core that runs: an operation of all cores, as `broadcast` is, so cheaper than
    /// [`new`](Self::new) with as many threads, and to be called in the same order on all of them. The boot core's thread is
    /// the leader.
    #[must_use]
    pub const fn of_cores() -> Self {
        Barrier(Kind::Cores)
    }

    /// Waits until all threads have come, this one being one of them. Then the barrier is as new.
    ///
    /// # Panics
    /// A barrier [`of_cores`](Self::of_cores) when the cores do not call the same operation, and when another thread of this
    /// core is in one.
    pub fn wait(&self) -> BarrierWaitResult {
        match &self.0 {
            Kind::Threads { threads, state } => BarrierWaitResult(wait(*threads, state)),
            Kind::Cores => {
                collective::barrier();
                BarrierWaitResult(cores::current() == CoreId::BOOT)
            }
        }
    }
}

/// Whether this thread came last.
fn wait(threads: usize, state: &Guarded<State>) -> bool {
    let last = state.wait(
        |state| &mut state.waiters,
        None,
        |state, wakes| {
            state.arrived += 1;
            let last = state.arrived >= threads;
            if last {
                state.arrived = 0;
                state.waiters.wake_all(wakes);
            }
            last.then_some(())
        },
    );
    last.is_ok()
}
