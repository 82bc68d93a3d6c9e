//! Who waits for what another thread holds is told when a thread has ended by a fault: it may have been that one.

use super::thread::with_thread;
use super::{CORE, letters};
use crate::arch::cores;
use alloc::boxed::Box;
use core::sync::atomic::Ordering::{Relaxed, SeqCst};
use core::sync::atomic::{AtomicUsize, fence};

/// How many threads are to be told, on all cores.
static WATCHING: AtomicUsize = AtomicUsize::new(0);

/// The running thread is told until this is dropped: its wait ends as by a deadline.
pub(super) struct Watching(());

pub(super) fn watch() -> Watching {
    WATCHING.fetch_add(1, Relaxed);
    fence(SeqCst); // before it asks who lives: see `tell_end`
    with_thread(|thread| thread.watches = true);
    Watching(())
}

impl Drop for Watching {
    fn drop(&mut self) {
        with_thread(|thread| thread.watches = false);
        WATCHING.fetch_sub(1, Relaxed);
    }
}

/// Tells all cores that the running thread has ended: nobody finds any more that it lives.
pub(super) fn tell_end() {
    fence(SeqCst); // after that was written, and before who watches is read
    if WATCHING.load(Relaxed) > 0 {
        for core in cores::all().filter(|core| *core != cores::current()) {
            letters::call_on(core, Box::new(tell_here));
        }
        tell_here();
    }
}

fn tell_here() {
    CORE.with(|core| core.threads.end_waits(|thread| thread.watches));
}
