//! Locks whose holder ended by a fault: what they guard may be half changed, and is given out only to who says that it knows.

use crate::arch::running;
use crate::sched;
use core::fmt;

/// What a lock guards may be half changed, for the thread that held it ended by a fault. Here it is all the same.
pub struct PoisonError<T>(T);

/// What a lock gives, or a [`PoisonError`].
pub type LockResult<T> = Result<T, PoisonError<T>>;

impl<T> PoisonError<T> {
    pub(super) const fn new(inner: T) -> Self {
        PoisonError(inner)
    }

    /// What the lock gives.
    pub fn into_inner(self) -> T {
        self.0
    }

    /// What the lock gives.
    pub fn get_ref(&self) -> &T {
        &self.0
    }

    /// What the lock gives.
    pub fn get_mut(&mut self) -> &mut T {
        &mut self.0
    }
}

impl<T> fmt::Debug for PoisonError<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PoisonError").finish_non_exhaustive()
    }
}

impl<T> fmt::Display for PoisonError<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(POISONED)
    }
}

impl<T> core::error::Error for PoisonError<T> {}

const POISONED: &str = "a lock is poisoned: the thread that held it ended by a fault";

/// For those who do not expect it. The backtrace tells whose lock it is.
#[cold]
#[inline(never)]
pub(super) fn poisoned() -> ! {
    panic!("{POISONED}")
}

/// Whether a thread with this ticket held something and has ended; 0 is nobody's.
pub(super) fn is_dead(ticket: u64) -> bool {
    ticket != 0 && !sched::lives(ticket)
}

/// The running thread's ticket.
#[inline]
pub(super) fn me() -> u64 {
    running::ticket()
}
