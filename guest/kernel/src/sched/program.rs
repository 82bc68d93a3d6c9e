//! A core on which a program runs in ring 3: it polls nothing meanwhile, so whatever concerns it must interrupt it.
//!
//! It is made ready for that as for sleep: other cores are told, devices are asked, the timer is set. That holds until
//! the next look at all of them, so a program that only calls the kernel and goes on pays for it once.

use super::{CORE, letters, poller};
use crate::arch::{time, user};

/// The longest that a program goes on before the timers of devices are looked at: a program's calls may change them.
const LOOK_NS: u64 = 50_000_000;

/// Makes this core ready for a program, if it is not.
#[inline]
pub fn before_program() {
    // Not listening is 0, which becomes the largest.
    let is_ready =
        CORE.with(|core| core.listens_until_ns.wrapping_sub(1) < core.threads.next_deadline().unwrap_or(u64::MAX));
    if !is_ready {
        listen();
    }
}

#[inline(never)]
fn listen() {
    loop {
        let is_listening = CORE.with(|core| core.listens_until_ns != 0);
        if is_listening || letters::listen() {
            let look_ns = time::now_ns() + LOOK_NS;
            CORE.with(|core| core.listens_until_ns = look_ns);
            let until_ns = poller::ask_pollers().deadline_ns.map_or(look_ns, |deadline_ns| deadline_ns.min(look_ns));
            if user::arm(until_ns) {
                CORE.with(|core| core.listens_until_ns = until_ns);
                return;
            }
        }
        poller::poll();
    }
}

/// A program was interrupted: looks at everything.
pub fn interrupted() {
    poller::poll();
}

/// Lets the clock interrupt the program that is run next, after this time or before.
pub fn interrupt_program_after(time_ns: u64) {
    // What is too near may have passed before the timer is set.
    while !user::arm(time::now_ns().saturating_add(time_ns.max(10_000))) {}
}

/// Whether other threads of this core could run now.
#[inline]
#[must_use]
pub fn others_are_ready() -> bool {
    CORE.with(|core| core.threads.ready() > 0)
}
