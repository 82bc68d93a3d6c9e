//! What a core does when no thread can run: look at its devices, at the clock, and then sleep.

use super::{CORE, letters, sleep};
use crate::arch::counters::Counter;
use crate::arch::{core_local, time};
use crate::power;

/// Something that turns events from outside into wake-ups: a network, a console.
///
/// Called on the stack of whatever thread looks for work, so it must need little stack and must not wait.
pub trait Poller: Sync {
    /// What a sleep is counted under that ends by its deadline.
    fn timer(&self) -> Counter {
        Counter::TimerKernel
    }

    /// Takes what has arrived, runs the timers that are due at `now_ns`, wakes whom it concerns.
    fn poll(&self, now_ns: u64);

    /// Asks the devices to interrupt from now on. When [`poll`](Self::poll) has something to do though no device says so, in
    /// nanoseconds since boot: 0 if something has arrived meanwhile.
    fn prepare_idle(&self) -> Option<u64>;
}

/// The network, the console, and room for what is to come; a fixed list, so that a look at all of them is short.
const POLLERS_MAX: usize = 4;

core_local! {
    static POLLERS: [Option<&'static dyn Poller>; POLLERS_MAX] = [None; POLLERS_MAX];
}

/// Adds a poller of this core, for good.
///
/// # Panics
/// When there are more than four: the list is made at boot.
pub fn register(poller: &'static dyn Poller) {
    let place =
        POLLERS.with(|pollers| pollers.iter_mut().find(|place| place.is_none()).map(|place| *place = Some(poller)));
    assert!(place.is_some(), "more than {POLLERS_MAX} pollers");
}

/// Devices and deadlines are looked at once each ready thread had its turn, though not more often than this: a look costs
/// about as much as a switch.
const TURNS_PER_POLL_MIN: usize = 8;

/// The registered pollers. The list is not borrowed meanwhile.
#[inline]
fn pollers() -> impl Iterator<Item = &'static dyn Poller> {
    POLLERS.with(|pollers| *pollers).into_iter().map_while(|poller| poller)
}

/// Makes ready whom another core, a device or the clock has made ready. Whether anybody is.
#[inline(never)] // keeps the way from thread to thread short
pub(super) fn poll() -> bool {
    letters::serve();
    let now_ns = time::now_ns_here();
    pollers().for_each(|poller| poller.poll(now_ns));
    CORE.with(|core| {
        core.threads.expire(now_ns);
        let ready = core.threads.ready();
        core.turns_until_poll = ready.max(TURNS_PER_POLL_MIN);
        ready > 0
    })
}

/// Nobody is ready: polls, and as long as that wakes nobody, sleeps until an interrupt or the next deadline.
///
/// The order is what makes sleeping safe: first poll, then say to other cores that this one sleeps, then ask for interrupts,
/// then look again (that is the answer of `prepare_idle`), and sleep in one step with letting interrupts in.
#[inline(never)]
pub(super) fn find_work() {
    while !poll() {
        let policy = power::policy();
        if sleep::linger(policy, poll) {
            return;
        }
        if !policy.spins {
            sleep::sleep(policy, ask_pollers);
        }
    }
}

/// When a core is to wake though nobody wakes it.
#[derive(Clone, Copy)]
pub(super) struct Next {
    /// The next deadline; `None` when there is none, 0 when something has arrived.
    pub(super) deadline_ns: Option<u64>,
    /// What a sleep is counted under that it ends.
    pub(super) timer: Counter,
}

/// Asks the devices to interrupt.
pub(super) fn ask_pollers() -> Next {
    let deadline_ns = CORE.with(|core| core.threads.next_deadline());
    let mut next = Next { deadline_ns, timer: Counter::TimerThreads };
    // Each is asked, whatever the others say, or the devices behind it stay silent.
    for poller in pollers() {
        if let Some(deadline_ns) = poller.prepare_idle()
            && next.deadline_ns.is_none_or(|earliest_ns| deadline_ns < earliest_ns)
        {
            next = Next { deadline_ns: Some(deadline_ns), timer: poller.timer() };
        }
    }
    next
}
