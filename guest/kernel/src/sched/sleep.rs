//! How long a core without work stays awake for a letter, and how it sleeps.

use super::{CORE, letters};
use crate::arch::{cores, cpu, power, time};

/// How long a core stays awake for a letter before it sleeps: nothing at first. It has paid when a letter came meanwhile, or
/// would have, when one ended a short sleep.
#[derive(Clone, Copy)]
pub(super) struct Patience {
    window_ns: u64,
}

impl Patience {
    pub(super) const NONE: Patience = Patience { window_ns: 0 };
    const MAX_NS: u64 = 50_000;
    const MIN_NS: u64 = 1_000;

    /// A letter came after this time.
    fn paid(self, waited_ns: u64) -> Patience {
        if waited_ns > Self::MAX_NS {
            return self;
        }
        Patience { window_ns: (waited_ns * 2).clamp(Self::MIN_NS, Self::MAX_NS).max(self.window_ns) }
    }

    fn wasted(self) -> Patience {
        Patience { window_ns: if self.window_ns > Self::MIN_NS { self.window_ns / 2 } else { 0 } }
    }
}

/// Stays awake for a letter as long as has paid lately, and calls `poll` now and then meanwhile. Whether there is something
/// to do.
#[inline]
pub(super) fn linger(poll: impl Fn() -> bool) -> bool {
    let patience = CORE.with(|core| core.patience);
    patience.window_ns > 0 && stay_awake(patience, poll)
}

#[inline(never)]
fn stay_awake(patience: Patience, poll: impl Fn() -> bool) -> bool {
    const LOOKS_PER_POLL: u32 = 16;
    let start_ns = time::now_ns();
    let mut waited_ns = 0;
    let mut looks = 0;
    let (came, patience) = loop {
        if letters::have_come() {
            break (true, patience.paid(waited_ns));
        }
        if waited_ns > patience.window_ns {
            break (false, patience.wasted());
        }
        looks += 1;
        if looks % LOOKS_PER_POLL == 0 && poll() {
            return true; // no letter: this says nothing about letters
        }
        cpu::relax();
        waited_ns = time::now_ns().saturating_sub(start_ns);
    };
    CORE.with(|core| core.patience = patience);
    came
}

/// Sleeps until an interrupt or until what `prepare` answers, unless there are letters, or that is 0: there is something to
/// do. `prepare` is asked when others already know that this core sleeps.
#[inline]
pub(super) fn sleep(prepare: impl FnOnce() -> Option<u64>) {
    if cores::count() > 1 {
        sleep_until_told(prepare);
    } else if !letters::have_come() {
        // A core that is alone need not say that it sleeps; it may have written to itself.
        halt_until(prepare());
    }
}

#[inline(never)]
fn sleep_until_told(prepare: impl FnOnce() -> Option<u64>) {
    if !letters::listen() {
        return;
    }
    let deadline_ns = prepare();
    let start_ns = time::now_ns();
    if halt_until(deadline_ns) && letters::have_come() {
        CORE.with(|core| core.patience = core.patience.paid(time::now_ns().saturating_sub(start_ns)));
    }
    letters::take();
}

/// `false`: the deadline is 0, there is something to do.
fn halt_until(deadline_ns: Option<u64>) -> bool {
    let halts = deadline_ns != Some(0);
    if halts {
        letters::count_sleep();
        power::idle_until(deadline_ns);
    }
    halts
}
