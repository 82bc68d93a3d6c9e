//! The machine's cores.
//!
//! Time: the counters of all cores are taken to agree, as virtual machines make them do; only the boot core measures
//! their rate.

pub use super::local::{CoreId, current};
use super::smp;

/// Most cores that are used.
pub const CORES_MAX: usize = 64;

/// How many cores there are: those that the machine's tables name and that were asked to start, whether they have come yet
/// or not. Fixed before the first thread runs.
#[inline]
#[must_use]
pub fn count() -> usize {
    smp::count()
}

/// Whether this core has come, and runs threads.
#[must_use]
pub fn is_running(core: CoreId) -> bool {
    smp::is_running(core)
}

/// Whether this core did not come when it was asked, so that nothing will ever run on it.
#[must_use]
pub fn is_given_up(core: CoreId) -> bool {
    smp::is_given_up(core)
}

/// All cores, the boot core first.
pub fn all() -> impl ExactSizeIterator<Item = CoreId> + Clone {
    (0..count()).map(|number| CoreId::new(number).expect("a core of the machine has a number"))
}
