//! Time as the rest of the kernel speaks of it: deadlines in nanoseconds since boot.

use crate::arch::{self, depth};
use core::time::Duration;

/// Time since boot; never goes back, and goes on while the machine idles.
#[must_use]
pub fn since_boot() -> Duration {
    let _kernel = depth::enter();
    Duration::from_nanos(arch::time::now_ns_here())
}

/// The processor's cycle counter: finer and cheaper than [`since_boot`], in a unit that only it knows.
#[inline]
#[must_use]
pub fn cycles() -> u64 {
    arch::cpu::ticks()
}

/// How many thousand [`cycles`] pass in a second, as far as that is known.
#[must_use]
pub fn cycles_khz() -> Option<u64> {
    arch::time::ticks_khz()
}

/// Time since 1970-01-01 00:00 UTC; `None` when neither the machine nor the command line told it.
#[must_use]
pub fn since_epoch() -> Option<Duration> {
    let _kernel = depth::enter();
    arch::wall::now_ns().map(Duration::from_nanos)
}

/// The deadline that lies `duration` ahead. One beyond the clock's range (584 years) is the end of that range.
#[must_use]
pub fn deadline_after(duration: Duration) -> u64 {
    deadline_at(since_boot().saturating_add(duration))
}

/// The deadline at `since_boot`.
#[must_use]
pub fn deadline_at(since_boot: Duration) -> u64 {
    u64::try_from(since_boot.as_nanos()).unwrap_or(u64::MAX)
}
