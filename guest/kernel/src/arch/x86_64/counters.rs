//! What each core counts of itself, where all can read it.

use super::local::{self, CoreId};
use super::smp;
use core::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// What is counted. Times are nanoseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(usize)]
pub enum Counter {
    /// Sleeps.
    Sleeps,
    /// Time asleep by `hlt`.
    HaltedNs,
    /// Time asleep by `mwait`.
    MwaitedNs,
    /// Time awake without work.
    PolledNs,
    /// How often something came meanwhile.
    PollHits,
    /// How often nothing did.
    PollMisses,
    /// Letters of other cores.
    Letters,
    /// Interrupts that other cores sent to end a sleep.
    WokenByCores,
    /// Sleeps that the timer ended, for a deadline that nobody had any more.
    TimerStale,
    /// The same, for one of a thread.
    TimerThreads,
    /// The same, for one of the network.
    TimerNetwork,
    /// The same, for one of the kernel's own.
    TimerKernel,
}

/// Counters there are.
pub const COUNTERS: usize = Counter::TimerKernel as usize + 1;

/// Their names.
pub const NAMES: [&str; COUNTERS] = [
    "sleeps",
    "halted_ns",
    "mwaited_ns",
    "polled_ns",
    "poll_hits",
    "poll_misses",
    "letters",
    "woken_by_cores",
    "timer.stale",
    "timer.threads",
    "timer.network",
    "timer.kernel",
];

/// A core's counters.
pub(super) type Counters = [AtomicU64; COUNTERS];

/// Adds to a counter of this core, which nobody else writes.
#[inline]
pub fn add(counter: Counter, count: u64) {
    let counter = &local::header().counters[counter as usize];
    counter.store(counter.load(Relaxed) + count, Relaxed);
}

/// Counts one more for another core: one of the counters that `add` is not used on.
pub fn add_for(core: CoreId, counter: Counter) {
    if let Some(header) = smp::header_of(core) {
        header.counters[counter as usize].fetch_add(1, Relaxed);
    }
}

/// What `core` has counted so far of the [`Counter`] with this number.
#[must_use]
pub fn of(core: CoreId, counter: usize) -> u64 {
    smp::header_of(core).map_or(0, |header| header.counters[counter].load(Relaxed))
}
