//! How a thread of the program comes to its core: made by `clone`, or moved from another.

use super::{STACK_BYTES, Task, TaskHandle, Turns};
use crate::process::{self, Process};
use crate::signals::AlternateStack;
use core::sync::atomic::Ordering::Relaxed;
use toro::thread::{self, Builder, CoreId};
use toro::user::{Context, Snapshot};

/// What a thread has besides its registers, for as long as it lives.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Kept {
    /// Cleared and woken at its end.
    pub clear_child_tid: u64,
    /// Its list of robust futexes.
    pub robust_list: u64,
    /// The stack for its signal handlers.
    pub signal_stack: AlternateStack,
}

impl Kept {
    /// As a thread begins.
    pub(crate) const fn new() -> Self {
        Kept { clear_child_tid: 0, robust_list: 0, signal_stack: AlternateStack::NONE }
    }
}

/// A thread between two cores.
pub(crate) struct Traveller {
    /// All of its registers.
    pub snapshot: Snapshot,
    /// What others may touch of it. It names the core that is to run it.
    pub handle: TaskHandle,
    /// The rest.
    pub kept: Kept,
    /// CPU time it has used, in ns.
    pub used_ns: u64,
}

impl Traveller {
    /// Begins it on its core. `false`: there is no memory for its stack.
    pub(crate) fn send(self) -> bool {
        let core = self.handle.core();
        Builder::new().stack_size(STACK_BYTES).core(core).spawn(move || self.arrive().run()).is_ok()
    }

    fn arrive(self) -> Task {
        let process = process::get();
        let Ok(context) = Context::of(self.snapshot) else {
            toro::process::out_of_memory(format_args!(
                "there is none for the registers of thread {}",
                self.handle.tid()
            ));
        };
        let mut task = Task::new(process, self.handle, context);
        task.kept = self.kept;
        task.turns = Turns::after(self.used_ns);
        task
    }
}

impl Task {
    /// Whether it is on a core that it may not use, or would run sooner on another. Then it is to leave.
    pub(super) fn wants_to_leave(&self) -> bool {
        self.handle.core() != thread::current_core()
    }

    /// Lets others run; if it has to wait for that and another core has nothing to do, it leaves for that one.
    pub(super) fn give_way(&mut self) {
        match self.process.tasks.idle_core(self.handle.affinity()) {
            Some(core) => self.handle.0.core.store(core.index() as u32, Relaxed),
            None => self.turns.give_way(),
        }
    }

    /// Goes on on the core that its handle names. `false`: there is no memory for that, and it stays.
    pub(super) fn leave(&mut self) -> bool {
        let has_left = self.context.snapshot().is_ok_and(|snapshot| {
            let (handle, kept) = (self.handle.clone(), self.kept);
            Traveller { snapshot, handle, kept, used_ns: self.turns.cpu_ns() }.send()
        });
        if !has_left {
            self.handle.0.core.store(thread::current_core().index() as u32, Relaxed);
        }
        has_left
    }
}

impl Process {
    /// Has a thread run on one of the cores that its affinity allows from now on.
    pub(crate) fn place(&self, handle: &TaskHandle) {
        if handle.affinity() >> handle.core().index() & 1 == 0 {
            let core: CoreId = self.tasks.least_loaded_core(handle.affinity());
            // It is told where it was.
            let before = handle.core();
            handle.0.core.store(core.index() as u32, Relaxed);
            if before != thread::current_core() {
                thread::interrupt_core(before);
            }
        }
    }
}
