//! Networks of other cores that calls made here have touched: what they have to send goes out of here, when this core polls,
//! and their owners sleep on.

use super::link::tell_outside;
use super::reach;
use crate::arch::core_local;
use crate::arch::cores::{self, CoreId};
use crate::sched;

core_local! {
    /// Their cores, by bit.
    static TOUCHED: u64 = 0;
}

/// A call is made on the network of `core`; if that is another, it is noted.
#[inline]
pub(super) fn note(core: CoreId) {
    if core != cores::current() {
        TOUCHED.with(|touched| *touched |= 1 << core.index());
    }
}

/// Whether there are any.
#[inline]
pub(super) fn any() -> bool {
    TOUCHED.with(|touched| *touched) != 0
}

fn each(mut set: u64) -> impl Iterator<Item = CoreId> {
    core::iter::from_fn(move || {
        let core = CoreId::new(set.trailing_zeros() as usize);
        set &= set.wrapping_sub(1);
        core
    })
}

/// Sends what those networks have to send, and runs their timers while their owners sleep beyond them.
#[inline]
pub(super) fn flush(now_ns: u64) {
    if any() {
        flush_all(now_ns);
    }
}

#[cold]
#[inline(never)]
fn flush_all(now_ns: u64) {
    let mut watched = 0;
    for core in each(TOUCHED.with(core::mem::take)) {
        let (news, stuck, soon) = reach(core, |network, wakes| {
            let news = network.send(now_ns, wakes);
            let stuck = network.stack.has_work();
            let soon = network.stack.next_deadline().is_some_and(|deadline_ns| deadline_ns < network.sleeps_until_ns);
            (news, stuck, soon)
        });
        if news {
            tell_outside(core);
        }
        if stuck {
            sched::ring(core); // it hears when the device has room again
        } else if soon {
            watched |= 1 << core.index();
        }
    }
    TOUCHED.with(|touched| *touched |= watched);
}

/// When one of those networks has something to do that its owner will sleep through.
#[inline]
pub(super) fn next_deadline() -> Option<u64> {
    let set = TOUCHED.with(|touched| *touched);
    if set == 0 { None } else { next_of(set) }
}

#[cold]
#[inline(never)]
fn next_of(set: u64) -> Option<u64> {
    each(set).filter_map(|core| reach(core, |network, _| network.stack.next_deadline())).min()
}
