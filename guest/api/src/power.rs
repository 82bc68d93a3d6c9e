//! How the machine trades processor time for latency, and how it slept.
//!
//! A core without work first stays awake for a moment, as long as that has paid lately, and then sleeps until an interrupt. The
//! [`Mode`] says how much of the one and of the other: `toro run --power MODE` chooses it, and so does [`set_mode`].
//! `docs/power.md` has what each comes to, and what the hypervisors let a guest do.
//!
//! ```no_run
//! # fn example() {
//! use toro::power::{self, Mode};
//!
//! power::set_mode(Mode::Latency);
//! for core in toro::thread::cores() {
//!     let stats = power::stats(core);
//!     toro::println!("core {core} slept {:?} in {} sleeps", stats.halted + stats.mwaited, stats.sleeps);
//! }
//! # }
//! ```

use core::time::Duration;
use toro_kernel::arch::counters::{self, Counter};
use toro_kernel::arch::interrupt;
use toro_kernel::sched;

pub use toro_abi::power::Mode;
pub use toro_kernel::arch::cores::CoreId;
pub use toro_kernel::power::{Interface, interface, mode, set_mode, sleeps_by};

/// How a core has spent its time since boot. What is missing in the sum of the three it was awake and at work.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stats {
    /// Time asleep by `hlt`.
    pub halted: Duration,
    /// Time asleep by `mwait`.
    pub mwaited: Duration,
    /// Time awake without work.
    pub polled: Duration,
    /// How often it slept.
    pub sleeps: u64,
    /// How often it stayed awake without work, and something came.
    pub poll_hits: u64,
    /// How often it did in vain.
    pub poll_misses: u64,
    /// Letters of other cores: wake-ups, new threads, calls.
    pub letters: u64,
    /// Interrupts that other cores sent to wake it.
    pub woken_by_cores: u64,
    /// Sleeps that the timer ended, by whose deadline it was.
    pub timers: Timers,
}

/// Sleeps that the timer ended, by whose deadline it was.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Timers {
    /// Nobody's any more: whatever it was for had happened.
    pub stale: u64,
    /// A wait of a thread.
    pub threads: u64,
    /// One of the network: a retransmission, a delayed acknowledgement, a lease.
    pub network: u64,
    /// One of the kernel's own.
    pub kernel: u64,
}

/// How `core` has spent its time.
#[must_use]
pub fn stats(core: CoreId) -> Stats {
    let count = |counter| counters::of(core, counter as usize);
    let time = |counter| Duration::from_nanos(count(counter));
    Stats {
        halted: time(Counter::HaltedNs),
        mwaited: time(Counter::MwaitedNs),
        polled: time(Counter::PolledNs),
        sleeps: count(Counter::Sleeps),
        poll_hits: count(Counter::PollHits),
        poll_misses: count(Counter::PollMisses),
        letters: count(Counter::Letters),
        woken_by_cores: count(Counter::WokenByCores),
        timers: Timers {
            stale: count(Counter::TimerStale),
            threads: count(Counter::TimerThreads),
            network: count(Counter::TimerNetwork),
            kernel: count(Counter::TimerKernel),
        },
    }
}

/// How often `core` has taken each interrupt: `timer`, `wake` (another core's) and the devices', by name.
pub fn interrupts(core: CoreId) -> impl Iterator<Item = (&'static str, u64)> {
    interrupt::counts(core)
}

/// The most by which waits of the running thread end late: sleeps, and time-outs of sockets and locks. Waits that end close
/// to each other then end by one wake-up.
#[must_use]
pub fn slack() -> Duration {
    sched::slack()
}

/// Gives waits of the running thread that begin from now on this slack; `None`: that of the machine's mode, which is a share
/// of the wait's length.
pub fn set_slack(slack: Option<Duration>) {
    sched::set_slack(slack);
}
