//! State of the whole machine, used by one core at a time.

#![expect(unsafe_code, reason = "a lock lends out what it guards")]

use super::x86_64::local::tag;
use super::{cpu, smp};
use core::cell::UnsafeCell;
use core::sync::atomic::{AtomicU8, Ordering};

/// A value that all cores share. For short sections: a core that waits for it does nothing else, so nothing inside waits
/// for another core, gives way to another thread, or runs what the application wrote.
#[repr(C)] // the value first: it may need its alignment's own pages
pub struct SpinLock<T> {
    value: UnsafeCell<T>,
    /// Number of the core inside, plus one; 0: nobody.
    holder: AtomicU8,
}

// SAFETY: `with` admits one user at a time, from any core, hence `Send`.
unsafe impl<T: Send> Sync for SpinLock<T> {}

impl<T> SpinLock<T> {
    /// A value for a static.
    pub const fn new(value: T) -> Self {
        Self { holder: AtomicU8::new(0), value: UnsafeCell::new(value) }
    }

    /// Runs `f` on the value, once no other core does. `f` must not come back here.
    ///
    /// # Panics
    /// When called from inside `f`.
    #[inline]
    pub fn with<R>(&self, f: impl FnOnce(&mut T) -> R) -> R {
        if self.holder.compare_exchange(0, tag(), Ordering::Acquire, Ordering::Relaxed).is_err() {
            wait(&self.holder);
        }
        // SAFETY: this core is the holder, and it was not before, so nobody else has a reference to the value.
        let result = f(unsafe { &mut *self.value.get() });
        self.holder.store(0, Ordering::Release);
        result
    }

    /// As [`with`](Self::with), for sections that are longer: a core that waits calls `meanwhile` again and again.
    ///
    /// # Panics
    /// As there.
    #[inline]
    pub fn with_meanwhile<R>(&self, meanwhile: fn(), f: impl FnOnce(&mut T) -> R) -> R {
        if self.holder.compare_exchange(0, tag(), Ordering::Acquire, Ordering::Relaxed).is_err() {
            while self.is_busy_elsewhere() {
                meanwhile();
                cpu::relax();
            }
            wait(&self.holder);
        }
        // SAFETY: as in `with`.
        let result = f(unsafe { &mut *self.value.get() });
        self.holder.store(0, Ordering::Release);
        result
    }

    /// Is another core inside, of those that still run?
    #[cold]
    fn is_busy_elsewhere(&self) -> bool {
        let now = self.holder.load(Ordering::Relaxed);
        now != 0 && now != tag() && !smp::is_alone()
    }

    /// Runs `f` while nobody uses the value, if that comes about soon; else all the same. When this core itself is inside,
    /// there is nobody to wait for.
    pub fn hold<R>(&self, f: impl FnOnce() -> R) -> R {
        const LOOKS_MAX: u32 = 1 << 20;
        let free = || self.holder.compare_exchange(0, tag(), Ordering::Acquire, Ordering::Relaxed);
        let mut now = free();
        for _ in 0..LOOKS_MAX {
            if now.is_ok() || now == Err(tag()) {
                break;
            }
            cpu::relax();
            now = free();
        }
        let result = f();
        if now.is_ok() {
            self.holder.store(0, Ordering::Release);
        }
        result
    }

    /// Lets the next user in though one is inside: for the report that ends the machine, which interrupts whatever
    /// failed, and from which nobody returns.
    pub fn seize(&self) {
        self.holder.store(0, Ordering::Relaxed);
    }

    /// Is this core inside [`Self::with`]? For reports.
    pub fn is_held_here(&self) -> bool {
        self.holder.load(Ordering::Relaxed) == tag()
    }

    /// Is somebody inside [`Self::with`]? For reports that must not fail.
    pub fn is_busy(&self) -> bool {
        self.holder.load(Ordering::Relaxed) != 0
    }
}

impl<T> core::fmt::Debug for SpinLock<T> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("SpinLock").finish_non_exhaustive()
    }
}

/// Out of line and without the place: there are many callers, and the backtrace tells.
#[cold]
#[inline(never)]
fn wait(holder: &AtomicU8) {
    let me = tag();
    loop {
        let now = holder.load(Ordering::Relaxed);
        assert!(now != me, "a lock is taken by the core that holds it");
        if now == 0 && holder.compare_exchange_weak(0, me, Ordering::Acquire, Ordering::Relaxed).is_ok() {
            return;
        }
        if smp::is_alone() {
            // Whoever is inside was stopped there, for the machine's end.
            holder.store(me, Ordering::Relaxed);
            return;
        }
        cpu::relax();
    }
}
