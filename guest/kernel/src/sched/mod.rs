//! Threads: who runs on this core, and what the core does when nobody can.
//!
//! Threads are cooperative and stay on their core: one runs until it waits, yields or ends. There is no idle thread; a thread
//! that must wait looks for work itself, on its own stack (`turn`): the run queue first, then the devices and the clock,
//! and only then the processor sleeps until the next interrupt or deadline. All waiting goes through [`WaitQueue`] or
//! [`park`]. Which thread runs next is decided by the `toro-threads` crate, which also says why no wake-up can be lost.

mod local;
mod poller;
mod thread;
mod turn;
mod wait_queue;

pub use local::LocalKey;
pub use poller::{Poller, register};
pub use thread::{
    Builder, SpawnError, current, current_name, drop_locals, exit_thread, in_stack_guard, is_running, run, spawn,
};
pub use toro_threads::{ThreadId, WaitOutcome};
pub use turn::yield_now;
pub use wait_queue::{WaitQueue, park, sleep_until, unpark};

use crate::arch::context::Context;
use crate::arch::core_local;
use thread::Thread;
use toro_threads::Threads;

core_local! {
    static CORE: Core =
        Core { threads: Threads::new(), finished: None, turns_until_poll: 0, boot: Context::running() };
}

/// Lets a report ask who runs, whatever the scheduler was in the middle of.
pub fn seize() {
    CORE.seize();
}

/// What this core knows about its threads.
struct Core {
    threads: Threads<Thread>,
    /// The thread that ended last, until the next one runs: a stack is not freed while it is stood on.
    finished: Option<Thread>,
    /// How many threads may still run before the devices are looked at, though others are ready.
    turns_until_poll: usize,
    /// Where the boot code was left for good.
    boot: Context,
}
