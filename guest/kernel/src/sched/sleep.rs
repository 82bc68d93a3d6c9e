//! How long a core without work stays awake for what may come, and how it sleeps.

use super::poller::Next;
use super::{CORE, letters};
use crate::arch::counters::{Counter, add};
use crate::arch::{cores, cpu, power, time};
use toro_power::{Policy, Window};

/// How long a core stays awake before it sleeps, for a letter and for anything else: a device, a deadline.
#[derive(Clone, Copy)]
pub(super) struct Patience {
    letters: Window,
    events: Window,
}

impl Patience {
    pub(super) const NONE: Patience = Patience { letters: Window::SHUT, events: Window::SHUT };
}

/// Stays awake as long as has paid lately, and calls `poll` now and then meanwhile. Whether there is something to do.
#[inline]
pub(super) fn linger(policy: &'static Policy, poll: impl Fn() -> bool) -> bool {
    let patience = CORE.with(|core| {
        core.adopt(policy);
        core.patience
    });
    let window_ns = if policy.spins { u32::MAX } else { patience.letters.ns().max(patience.events.ns()) };
    window_ns > 0 && stay_awake(policy, window_ns.into(), poll)
}

#[inline(never)]
fn stay_awake(policy: &Policy, window_ns: u64, poll: impl Fn() -> bool) -> bool {
    const LOOKS_PER_POLL: u32 = 16;
    let start_ns = time::now_ns_here();
    let mut waited_ns = 0;
    let mut looks = 0;
    let mut by_letter = false;
    let came = loop {
        by_letter |= letters::have_come();
        if by_letter {
            break true;
        }
        if waited_ns > window_ns {
            break false;
        }
        looks += 1;
        if looks % LOOKS_PER_POLL == 0 && poll() {
            break true;
        }
        cpu::relax();
        waited_ns = time::now_ns_here().saturating_sub(start_ns);
    };
    add(if came { Counter::PollHits } else { Counter::PollMisses }, 1);
    add(Counter::PolledNs, waited_ns);
    if !came || waited_ns > window_ns / 2 {
        learn(came.then_some(waited_ns), by_letter, policy);
    }
    came
}

/// Something came after this time, or nothing did.
#[inline(never)]
fn learn(waited_ns: Option<u64>, by_letter: bool, policy: &Policy) {
    CORE.with(|core| {
        let Patience { letters, events } = &mut core.patience;
        match waited_ns {
            Some(waited_ns) if by_letter => *letters = letters.paid(waited_ns, policy.letters_max_ns),
            Some(waited_ns) => *events = events.paid(waited_ns, policy.events_max_ns),
            None => (*letters, *events) = (letters.wasted(), events.wasted()),
        }
    });
}

/// Sleeps until an interrupt or until what `prepare` answers, unless there are letters, or that is 0: there is something to
/// do. `prepare` is asked when others already know that this core sleeps.
#[inline]
pub(super) fn sleep(policy: &Policy, prepare: impl FnOnce() -> Next) {
    if cores::count() > 1 {
        sleep_until_told(policy, prepare);
    } else if !letters::have_come() {
        // A core that is alone need not say that it sleeps; it may have written to itself.
        halt_until(policy, prepare());
    }
}

#[inline(never)]
fn sleep_until_told(policy: &Policy, prepare: impl FnOnce() -> Next) {
    if !letters::listen() {
        return;
    }
    halt_until(policy, prepare());
    letters::take();
}

fn halt_until(policy: &Policy, next: Next) {
    if next.deadline_ns == Some(0) {
        return; // there is something to do
    }
    let Some(rest) = power::idle_until(next.deadline_ns, letters::watched(), policy) else { return };
    add(Counter::Sleeps, 1);
    add(if rest.by_mwait { Counter::MwaitedNs } else { Counter::HaltedNs }, rest.ns);
    if rest.by_timer {
        count_timer(next);
    }
    if rest.ns <= policy.letters_max_ns.max(policy.events_max_ns).into() {
        learn(Some(rest.ns), letters::have_come(), policy);
    }
}

#[inline(never)]
fn count_timer(next: Next) {
    let is_due = next.deadline_ns.is_some_and(|deadline_ns| deadline_ns <= time::now_ns());
    add(if is_due { next.timer } else { Counter::TimerStale }, 1);
}
