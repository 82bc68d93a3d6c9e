//! What a core has done so far, for programs.

use crate::arch::cores::CoreId;
use crate::arch::counters::{self, Counter};

/// What a core has done so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CoreStatistics {
    /// Whether it sleeps now, or is about to.
    pub asleep: bool,
    /// How often it went to sleep because nothing was to be done.
    pub sleeps: u64,
    /// How often another core's interrupt ended its sleep.
    pub interrupts: u64,
    /// How many letters it got: wake-ups, new threads and calls from other cores.
    pub letters: u64,
}

/// What `core` has done so far, as seen from here.
#[must_use]
pub fn statistics(core: CoreId) -> CoreStatistics {
    let asleep = super::is_asleep(core);
    let counted = |counter| counters::of(core, counter as usize);
    CoreStatistics {
        asleep,
        sleeps: counted(Counter::Sleeps),
        interrupts: counted(Counter::WokenByCores),
        letters: counted(Counter::Letters),
    }
}
