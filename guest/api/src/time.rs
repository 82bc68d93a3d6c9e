//! Clocks: one that never goes back, and the time of day where it is known.

use core::fmt;
use core::ops::{Add, AddAssign, Sub, SubAssign};
use toro_kernel::time;

pub use core::time::Duration;
pub use toro_kernel::time::{cycles, cycles_khz};

/// A moment on the machine's own clock, which starts at boot, never goes back and goes on while the machine idles.
///
/// ```no_run
/// # fn example() {
/// let start = toro::time::Instant::now();
/// toro::println!("{:?}", start.elapsed());
/// # }
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Instant {
    since_boot: Duration,
}

/// A time of day, in UTC.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SystemTime {
    since_epoch: Duration,
}

/// 1970-01-01 00:00:00 UTC.
pub const UNIX_EPOCH: SystemTime = SystemTime::UNIX_EPOCH;

/// The machine does not know what time it is: it has no clock, and the host passed none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UnknownTime;

/// A time lies after the other, by this much.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SystemTimeError(Duration);

impl Instant {
    /// When the machine started.
    pub const BOOT: Self = Instant { since_boot: Duration::ZERO };

    /// Now.
    #[must_use]
    pub fn now() -> Self {
        Instant { since_boot: time::since_boot() }
    }

    /// How long ago it was.
    #[must_use]
    pub fn elapsed(&self) -> Duration {
        Self::now().duration_since(*self)
    }

    /// How much later than `earlier` it is; zero if it is not.
    #[must_use]
    pub fn duration_since(&self, earlier: Self) -> Duration {
        self.since_boot.saturating_sub(earlier.since_boot)
    }

    /// How much later than `earlier` it is, if it is.
    #[must_use]
    pub fn checked_duration_since(&self, earlier: Self) -> Option<Duration> {
        self.since_boot.checked_sub(earlier.since_boot)
    }

    /// How much later than `earlier` it is; zero if it is not.
    #[must_use]
    pub fn saturating_duration_since(&self, earlier: Self) -> Duration {
        self.duration_since(earlier)
    }

    /// The moment `duration` later, if the clock can show it.
    #[must_use]
    pub fn checked_add(&self, duration: Duration) -> Option<Self> {
        self.since_boot.checked_add(duration).map(|since_boot| Instant { since_boot })
    }

    /// The moment `duration` earlier, if the machine was up.
    #[must_use]
    pub fn checked_sub(&self, duration: Duration) -> Option<Self> {
        self.since_boot.checked_sub(duration).map(|since_boot| Instant { since_boot })
    }

    /// From nanoseconds after [`BOOT`](Self::BOOT).
    #[must_use]
    pub const fn from_nanos(nanos: u64) -> Self {
        Instant { since_boot: Duration::from_nanos(nanos) }
    }

    /// Nanoseconds after [`BOOT`](Self::BOOT), as many as a number holds.
    #[must_use]
    pub fn as_nanos(self) -> u64 {
        self.as_deadline()
    }

    pub(crate) fn as_deadline(self) -> u64 {
        time::deadline_at(self.since_boot)
    }
}

impl SystemTime {
    /// 1970-01-01 00:00:00 UTC.
    pub const UNIX_EPOCH: Self = SystemTime { since_epoch: Duration::ZERO };

    /// What time it is, if the machine or the host told.
    ///
    /// # Errors
    /// [`UnknownTime`]: nobody told. `toro run` always does.
    pub fn now() -> Result<Self, UnknownTime> {
        time::since_epoch().map(|since_epoch| SystemTime { since_epoch }).ok_or(UnknownTime)
    }

    /// How much later than `earlier` it is.
    ///
    /// # Errors
    /// It is not; the error holds how much earlier it is.
    pub fn duration_since(&self, earlier: Self) -> Result<Duration, SystemTimeError> {
        self.since_epoch
            .checked_sub(earlier.since_epoch)
            .ok_or_else(|| SystemTimeError(earlier.since_epoch - self.since_epoch))
    }

    /// The time `duration` later, if it can be written.
    #[must_use]
    pub fn checked_add(&self, duration: Duration) -> Option<Self> {
        self.since_epoch.checked_add(duration).map(|since_epoch| SystemTime { since_epoch })
    }

    /// The time `duration` earlier, if that is not before 1970.
    #[must_use]
    pub fn checked_sub(&self, duration: Duration) -> Option<Self> {
        self.since_epoch.checked_sub(duration).map(|since_epoch| SystemTime { since_epoch })
    }
}

impl SystemTimeError {
    /// By how much the second time lies after the first.
    #[must_use]
    pub fn duration(&self) -> Duration {
        self.0
    }
}

impl Add<Duration> for Instant {
    type Output = Instant;

    fn add(self, duration: Duration) -> Instant {
        self.checked_add(duration).expect("the moment is beyond what the clock can show")
    }
}

impl Sub<Duration> for Instant {
    type Output = Instant;

    fn sub(self, duration: Duration) -> Instant {
        self.checked_sub(duration).expect("the moment is before the machine's start")
    }
}

impl Sub for Instant {
    type Output = Duration;

    fn sub(self, earlier: Instant) -> Duration {
        self.duration_since(earlier)
    }
}

impl AddAssign<Duration> for Instant {
    fn add_assign(&mut self, duration: Duration) {
        *self = *self + duration;
    }
}

impl SubAssign<Duration> for Instant {
    fn sub_assign(&mut self, duration: Duration) {
        *self = *self - duration;
    }
}

impl Add<Duration> for SystemTime {
    type Output = SystemTime;

    fn add(self, duration: Duration) -> SystemTime {
        self.checked_add(duration).expect("the time is beyond what can be written")
    }
}

impl Sub<Duration> for SystemTime {
    type Output = SystemTime;

    fn sub(self, duration: Duration) -> SystemTime {
        self.checked_sub(duration).expect("the time is before 1970")
    }
}

impl fmt::Display for UnknownTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the machine does not know what time it is")
    }
}

impl fmt::Display for SystemTimeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the second time is later than the first")
    }
}

impl core::error::Error for UnknownTime {}
impl core::error::Error for SystemTimeError {}
