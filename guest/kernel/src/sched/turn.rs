//! The scheduling point: the running thread makes way, and finds out who goes on.

#![expect(unsafe_code, reason = "switching from one stack to another")]

use super::{CORE, Core, letters, poller};
use crate::arch::context::{self, Context};
use crate::arch::depth;
use crate::arch::running::Running;
use toro_threads::Turn;

/// Lets the other ready threads run, and looks at the devices, before the caller goes on.
pub fn yield_now() {
    let _kernel = depth::enter();
    CORE.with(|core| core.threads.yield_current());
    give_way();
}

/// Runs this core, which has no thread of its own: its loop, on the stack it was started on.
pub fn run_core() -> ! {
    CORE.with(|core| core.has_loop = true);
    loop {
        give_way();
    }
}

/// Returns when the scheduler has chosen the calling thread. The caller has said before whether it yields (it is in the run
/// queue), waits (somebody will wake it) or has ended (this never returns). A core's own loop is no thread; to it this returns
/// when the last thread has ended.
pub(super) fn give_way() {
    loop {
        match CORE.with(Core::choose) {
            Choice::Stay => return,
            Choice::Leave { from, to } => {
                let running = Running::store();
                // SAFETY: `to` belongs to a thread that is not running, so it was made by `Context::new` or stored by this
                // very call, and its stack lives as long as its table entry. Nothing touches the table before the stores
                // and loads through both pointers are done.
                unsafe { context::switch(from, to) };
                running.load();
                return bury();
            }
            Choice::Serve => letters::serve(),
            Choice::Poll => _ = poller::poll(),
            Choice::Idle => poller::find_work(),
        }
    }
}

/// Frees the thread that ended before the caller ran. Each thread calls this first thing after it was switched to.
pub(super) fn bury() {
    if CORE.with(|core| core.finished.is_some()) {
        let finished = CORE.with(|core| core.finished.take());
        drop(finished); // outside: the stack cache is not entered from inside `CORE`
    }
}

enum Choice {
    Stay,
    Leave { from: *mut Context, to: *const Context },
    Serve,
    Poll,
    Idle,
}

impl Core {
    fn choose(&mut self) -> Choice {
        if self.turns_until_poll == 0 {
            return Choice::Poll;
        }
        if letters::have_come() {
            return Choice::Serve;
        }
        match self.threads.run_next() {
            // The stack of a thread that has ended is not kept until another one comes.
            Turn::Nobody => match &mut self.finished {
                Some(finished) if self.has_loop => {
                    Choice::Leave { from: &raw mut finished.context, to: &raw const self.boot }
                }
                _ => Choice::Idle,
            },
            Turn::Same => {
                self.turns_until_poll -= 1;
                Choice::Stay
            }
            Turn::Switch { from, to } => {
                self.turns_until_poll -= 1;
                let from = from.or(self.finished.as_mut()).map_or(&mut self.boot, |thread| &mut thread.context);
                Choice::Leave { from, to: &raw const to.context }
            }
        }
    }
}
