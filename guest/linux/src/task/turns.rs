//! How long a thread of the program has its core: as long as it likes while nobody else wants it, else for a slice.

use core::time::Duration;
use toro::thread;
use toro::time::Instant;
use toro::user;

/// How long a thread goes on while others wait.
pub(crate) const SLICE_NS: u64 = 2_000_000;

/// A thread's use of its core.
#[derive(Debug)]
pub(crate) struct Turns {
    /// When the slice is over, while somebody waits; 0: nobody was seen to.
    until_ns: u64,
    /// CPU time before the present turn, and when that began.
    used_ns: u64,
    since_ns: u64,
}

impl Turns {
    /// A turn that begins now.
    pub(crate) fn new() -> Self {
        Turns { until_ns: 0, used_ns: 0, since_ns: Instant::now().as_nanos() }
    }

    /// A turn that begins now, after others of `used_ns` in all.
    pub(crate) fn after(used_ns: u64) -> Self {
        Turns { used_ns, ..Turns::new() }
    }

    /// The program is about to go on: if others want the core, the clock will end that.
    #[inline]
    pub(crate) fn before_program(&mut self) {
        if user::others_are_ready() && self.until_ns == 0 {
            self.until_ns = Instant::now().as_nanos() + SLICE_NS;
            user::interrupt_after(Duration::from_nanos(SLICE_NS));
        }
    }

    /// The program was interrupted: whether others want their turn, and this one's is over.
    pub(crate) fn is_over(&mut self) -> bool {
        if !user::others_are_ready() {
            return false;
        }
        let now_ns = Instant::now().as_nanos();
        if self.until_ns == 0 {
            self.until_ns = now_ns + SLICE_NS;
        }
        if now_ns < self.until_ns {
            user::interrupt_after(Duration::from_nanos(self.until_ns - now_ns));
        }
        now_ns >= self.until_ns
    }

    /// Lets others run.
    pub(crate) fn give_way(&mut self) {
        self.end();
        thread::yield_now();
        self.begin();
    }

    /// The thread stops using its core.
    pub(crate) fn end(&mut self) {
        self.used_ns = self.cpu_ns();
    }

    /// The thread uses its core again.
    pub(crate) fn begin(&mut self) {
        self.since_ns = Instant::now().as_nanos();
        self.until_ns = 0;
    }

    /// CPU time used until the present turn began.
    pub(crate) fn used_ns(&self) -> u64 {
        self.used_ns
    }

    /// CPU time used until now, while it runs.
    pub(crate) fn cpu_ns(&self) -> u64 {
        self.used_ns + Instant::now().as_nanos().saturating_sub(self.since_ns)
    }
}
