//! What a core does when no thread can run: look at its devices, at the clock, and then sleep.

use super::CORE;
use crate::arch::{CoreLocal, power, time};
use alloc::vec::Vec;

/// Something that turns events from outside into wake-ups: a network, a console.
///
/// Called on the stack of whatever thread looks for work, so it must need little stack and must not wait.
pub trait Poller: Sync {
    /// Takes what has arrived, runs the timers that are due, wakes whom it concerns.
    fn poll(&self);

    /// Asks the devices to interrupt from now on. `true`: something has arrived meanwhile, do not sleep.
    fn prepare_idle(&self) -> bool;

    /// When [`poll`](Self::poll) has something to do though no device says so: nanoseconds since boot.
    fn next_deadline(&self) -> Option<u64>;
}

static POLLERS: CoreLocal<Vec<&'static dyn Poller>> = CoreLocal::new(Vec::new());

/// Adds a poller, for good.
pub fn register(poller: &'static dyn Poller) {
    POLLERS.with(|pollers| pollers.push(poller));
}

/// Devices and deadlines are looked at once each ready thread had its turn, though not more often than this: a look costs
/// about as much as a switch.
const TURNS_PER_POLL_MIN: usize = 8;

/// The registered pollers. The list is not borrowed while one of them runs.
fn pollers() -> impl Iterator<Item = &'static dyn Poller> {
    (0..).map_while(|index| POLLERS.with(|pollers| pollers.get(index).copied()))
}

/// Makes ready whom a device or the clock has made ready.
#[inline(never)] // keeps the way from thread to thread short
pub(super) fn poll() {
    pollers().for_each(Poller::poll);
    CORE.with(|core| {
        if core.threads.next_deadline().is_some() {
            core.threads.expire(time::now_ns());
        }
        core.turns_until_poll = core.threads.ready().max(TURNS_PER_POLL_MIN);
    });
}

/// Nobody is ready: polls, and if that wakes nobody, sleeps until an interrupt or the next deadline.
///
/// The order is what makes sleeping safe: first poll, then ask for interrupts, then look again (that is the answer of
/// `prepare_idle`), and sleep in one step with letting interrupts in.
#[inline(never)]
pub(super) fn find_work() {
    poll();
    if CORE.with(|core| core.threads.ready()) > 0 {
        return;
    }
    // Not `any`: each must be asked, or the devices behind it stay silent.
    let pending = pollers().fold(false, |pending, poller| poller.prepare_idle() | pending);
    if pending {
        return;
    }
    let sleeping = CORE.with(|core| core.threads.next_deadline());
    let deadline = pollers().filter_map(|poller| poller.next_deadline()).chain(sleeping).min();
    power::idle_until(deadline);
}
