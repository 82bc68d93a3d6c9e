//! The clocks as the program knows them, by number.

use toro::time::{Instant, SystemTime, UNIX_EPOCH};
use toro_linux_abi::errno::Errno;
use toro_linux_abi::layout::Timespec;
use toro_linux_abi::raw;

/// Nanoseconds since boot.
pub(crate) fn now_ns() -> u64 {
    Instant::now().as_nanos()
}

/// Nanoseconds since 1970; since boot where nobody knows what time it is, which the kernel has warned of.
pub(crate) fn wall_ns() -> u64 {
    let since_epoch = SystemTime::now().ok().and_then(|now| now.duration_since(UNIX_EPOCH).ok());
    since_epoch.map_or_else(now_ns, |since_epoch| u64::try_from(since_epoch.as_nanos()).unwrap_or(u64::MAX))
}

/// What time it is, for files.
pub(crate) fn wall() -> Timespec {
    timespec(wall_ns())
}

/// A time in Linux's form.
pub(crate) fn timespec(ns: u64) -> Timespec {
    Timespec::from_ns(ns)
}

/// A clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Clock {
    /// Since 1970.
    Wall,
    /// Since boot.
    Boot,
    /// CPU time of all threads.
    Process,
    /// CPU time of the thread that asks.
    Thread,
}

impl Clock {
    /// The clock of that number.
    pub(crate) fn parse(number: u64) -> Result<Self, Errno> {
        match number as u32 {
            raw::CLOCK_REALTIME | raw::CLOCK_REALTIME_COARSE | raw::CLOCK_REALTIME_ALARM | raw::CLOCK_TAI => {
                Ok(Self::Wall)
            }
            raw::CLOCK_MONOTONIC
            | raw::CLOCK_MONOTONIC_RAW
            | raw::CLOCK_MONOTONIC_COARSE
            | raw::CLOCK_BOOTTIME
            | raw::CLOCK_BOOTTIME_ALARM => Ok(Self::Boot),
            raw::CLOCK_PROCESS_CPUTIME_ID => Ok(Self::Process),
            raw::CLOCK_THREAD_CPUTIME_ID => Ok(Self::Thread),
            _ => Err(Errno::INVAL),
        }
    }

    /// When that time of this clock is, in ns since boot, if it is one that goes by itself.
    pub(crate) fn to_boot_ns(self, ns: u64) -> Result<u64, Errno> {
        match self {
            Self::Boot => Ok(ns),
            // The wall clock is never set, so it stays this far from the other.
            Self::Wall => Ok(ns.saturating_sub(wall_ns().saturating_sub(now_ns()))),
            Self::Process | Self::Thread => Err(Errno::OPNOTSUPP),
        }
    }
}
