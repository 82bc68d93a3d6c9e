//! Threads: who runs on this core, and what the core does when nobody can.
//!
//! Threads are cooperative and stay on their core: one runs until it waits, yields or ends. There is no idle thread; a thread
//! that must wait looks for work itself, on its own stack (`turn`): the run queue first, then the other cores' letters, the
//! devices and the clock, and only then the processor sleeps until the next interrupt or deadline. What threads of several
//! cores share stands in a [`Guarded`], under which everything waits that can be waited for; a [`WaitQueue`] is the cheaper
//! one that never leaves a core. Which thread runs next is decided by the `toro-threads` crate, how a wake-up reaches another
//! core by `toro-mailbox`; each says why none can be lost.

mod counters;
mod ending;
mod guarded;
mod handle;
mod letters;
mod lives;
mod local;
mod notices;
mod poller;
mod program;
mod shortage;
mod slack;
mod sleep;
mod thread;
mod turn;
mod visible;
mod wait_queue;

pub use counters::{CoreStatistics, statistics};
pub use ending::{Ending, Share, ending};
pub use guarded::Guarded;
pub use handle::{Thread as ThreadHandle, ThreadId, park};
pub use letters::{call_on, is_asleep, ring, take_over};
pub use lives::lives;
pub use local::LocalKey;
pub use poller::{Poller, register};
pub use program::{before_program, interrupt_program_after, interrupted, others_are_ready};
pub use shortage::reclaim_elsewhere;
pub use slack::{set_slack, slack};
pub use thread::{
    Body, Builder, Plain, Role, SpawnError, current, current_id, drop_locals, in_stack_guard, is_at_work, is_running,
    run, spawn,
};
pub(crate) use thread::{FaultyEnd, abandon, count_panic, exit_by, role};
pub use toro_mailbox::{WaitList, Wakes};
pub use toro_threads::WaitOutcome;
pub use turn::{run_core, yield_now};
pub use wait_queue::{WaitQueue, sleep_until};

use crate::arch::context::Context;
use crate::arch::{core_local, power};
use sleep::Patience;
use thread::Thread;
use toro_power::Policy;
use toro_threads::{Slack, Threads};

core_local! {
    static CORE: Core = Core {
        threads: Threads::new(),
        ticket_room: 0,
        finished: None,
        turns_until_poll: 0,
        patience: Patience::NONE,
        policy: None,
        boot: Context::running(),
        has_loop: false,
        listens_until_ns: 0,
    };
}

/// Lets a report ask who runs, whatever the scheduler was in the middle of.
pub fn seize() {
    CORE.seize();
}

impl Core {
    /// Does from now on as the machine's mode says.
    #[inline]
    fn adopt(&mut self, policy: &'static Policy) {
        if !self.policy.is_some_and(|known| core::ptr::eq(known, policy)) {
            self.policy = Some(policy);
            self.threads.set_slack(Slack { shift: policy.slack_shift, max_ns: policy.slack_max_ns });
            power::forget();
        }
    }
}

/// What this core knows about its threads.
struct Core {
    threads: Threads<Thread>,
    /// As many tickets as `lives` has room for.
    ticket_room: usize,
    /// The thread that ended last, until the next one runs: a stack is not freed while it is stood on.
    finished: Option<Thread>,
    /// How many threads may still run before the devices are looked at, though others are ready.
    turns_until_poll: usize,
    patience: Patience,
    /// What the machine's mode came to when this core was last without work.
    policy: Option<&'static Policy>,
    /// Where the code that started this core was left: for good on the first core, on others in their loop.
    boot: Context,
    has_loop: bool,
    /// A program may run here: whatever concerns this core interrupts it, the clock not later than at this time; 0: not so.
    listens_until_ns: u64,
}
