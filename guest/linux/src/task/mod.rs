//! A thread of the program: what the processor has of it, what the kernel keeps for it, and its life from `clone` to `exit`.
//!
//! Each runs on a kernel thread of its own, which waits on the program's behalf; so a [`Task`] never leaves its core. What
//! others may touch is its [`TaskHandle`].

mod arrival;
mod crash;
mod fault;
mod stopped;
mod turns;
mod wait;

pub(crate) use arrival::{Kept, Traveller};
pub(crate) use crash::tell as tell_crash;
pub(crate) use turns::{SLICE_NS, Turns};
pub(crate) use wait::{Deadline, Waited};

use crate::process::Process;
use crate::{calls, signals};
use core::cell::RefCell;
use core::sync::atomic::Ordering::{Relaxed, SeqCst};
use core::sync::atomic::{AtomicBool, AtomicU32, AtomicU64};
use toro::prelude::*;
use toro::sync::{Arc, SpinLock};
use toro::thread::{self, CoreId, Thread};
use toro::user::{self, Context, Event};

/// A thread's number.
pub(crate) type Tid = i32;

/// Bytes of the kernel's stack for a thread of the program.
pub(crate) const STACK_BYTES: usize = 32 << 10;

/// What others may touch of a thread.
#[derive(Clone)]
pub(crate) struct TaskHandle(Arc<Shared>);

struct Shared {
    tid: Tid,
    /// The kernel thread, once it has begun.
    thread: SpinLock<Option<Thread>>,
    /// Something wants to be looked at before the program goes on, or waits on.
    attention: AtomicBool,
    signals: SpinLock<signals::TaskSignals>,
    /// CPU time used, in ns, as of its last wait.
    cpu_ns: AtomicU64,
    name: SpinLock<[u8; 16]>,
    /// The index of the core that runs it, or is to.
    core: AtomicU32,
    affinity: AtomicU64,
    /// The futex that it waits for has changed: it was woken.
    word_changed: AtomicBool,
    /// It has stopped, because the program ends by a signal.
    left: SpinLock<Option<stopped::Left>>,
}

impl TaskHandle {
    /// For a thread that is to run on `core`.
    pub(crate) fn new(tid: Tid, name: [u8; 16], core: CoreId, affinity: u64, signals: signals::TaskSignals) -> Self {
        TaskHandle(Arc::new(Shared {
            tid,
            thread: SpinLock::new(None),
            attention: AtomicBool::new(false),
            signals: SpinLock::new(signals),
            cpu_ns: AtomicU64::new(0),
            name: SpinLock::new(name),
            core: AtomicU32::new(core.index() as u32),
            affinity: AtomicU64::new(affinity),
            word_changed: AtomicBool::new(false),
            left: SpinLock::new(None),
        }))
    }

    /// Its number.
    pub(crate) fn tid(&self) -> Tid {
        self.0.tid
    }

    /// The core it runs on.
    pub(crate) fn core(&self) -> CoreId {
        CoreId::new(self.0.core.load(Relaxed) as usize).unwrap_or_else(thread::current_core)
    }

    /// The cores it may run on, by bit.
    pub(crate) fn affinity(&self) -> u64 {
        self.0.affinity.load(Relaxed)
    }

    /// Changes the cores it may run on.
    pub(crate) fn set_affinity(&self, cores: u64) {
        self.0.affinity.store(cores, Relaxed);
    }

    /// Its name, filled up with zeroes.
    pub(crate) fn name(&self) -> [u8; 16] {
        self.0.name.with(|name| *name)
    }

    /// The same, for people to read.
    fn printable_name(&self) -> String {
        let name = self.name();
        let text = String::from_utf8_lossy(&name);
        text.trim_end_matches('\0').chars().map(|letter| if letter.is_control() { '?' } else { letter }).collect()
    }

    /// Gives it a name.
    pub(crate) fn set_name(&self, new: [u8; 16]) {
        self.0.name.with(|name| *name = new);
    }

    /// Whether whoever changed its futex has said so since it began to wait.
    pub(crate) fn has_word_changed(&self) -> bool {
        self.0.word_changed.load(SeqCst)
    }

    /// Says that its futex has changed, or that it begins to wait for that.
    pub(crate) fn set_word_changed(&self, changed: bool) {
        self.0.word_changed.store(changed, SeqCst);
    }

    /// CPU time it has used, as of its last wait.
    pub(crate) fn cpu_ns(&self) -> u64 {
        self.0.cpu_ns.load(Relaxed)
    }

    /// Whether both are one thread.
    pub(crate) fn is(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }

    /// Ends its wait, or its next one: what it waits for may have come.
    pub(crate) fn wake(&self) {
        self.0.thread.with(|thread| {
            if let Some(thread) = thread {
                thread.unpark();
            }
        });
    }

    /// Has it look after its signals and whatever else wants attention, soon.
    pub(crate) fn alert(&self) {
        self.0.attention.store(true, SeqCst);
        self.wake();
        if self.core() != thread::current_core() {
            // It may be in ring 3, which a call ends.
            thread::interrupt_core(self.core());
        }
    }

    /// Whether something wants attention.
    pub(crate) fn wants_attention(&self) -> bool {
        self.0.attention.load(SeqCst)
    }

    /// From here on it looks after what there is.
    pub(crate) fn attend(&self) {
        self.0.attention.store(false, SeqCst);
    }

    /// Its signals.
    pub(crate) fn signals<R>(&self, f: impl FnOnce(&mut signals::TaskSignals) -> R) -> R {
        self.0.signals.with(f)
    }

    /// Names the kernel thread that runs it.
    fn begin(&self) {
        self.0.thread.with(|thread| *thread = Some(thread::current()));
    }
}

toro::thread_local! {
    static CURRENT: RefCell<Option<TaskHandle>> = const { RefCell::new(None) };
}

/// The thread of the program that asks; `None` for the kernel's own.
pub(crate) fn current() -> Option<TaskHandle> {
    CURRENT.with_borrow(Clone::clone)
}

/// A thread of the program, on its core.
pub(crate) struct Task {
    /// The program.
    pub process: &'static Process,
    /// What others may touch of it.
    pub handle: TaskHandle,
    /// Its registers.
    pub context: Context,
    /// What else it keeps wherever it goes.
    pub kept: Kept,
    /// The call that a signal interrupted.
    pub interrupted: Option<signals::Interrupted>,
    /// What a fault told of itself, for the frame of its signal.
    pub trap: signals::Trap,
    /// Room for the extended state of a signal's frame.
    pub extended: Vec<u8>,
    /// Signals blocked before a call replaced the mask; put back when a handler has begun or none is due.
    pub saved_mask: Option<u64>,
    /// Answers that are likely to follow at once, of those that a wait has told of: what is sent goes out together.
    pub batch: usize,
    /// How long it has had the core.
    pub turns: Turns,
    /// It has ended.
    pub has_ended: bool,
}

impl Task {
    /// A thread with these registers, on this core.
    pub(crate) fn new(process: &'static Process, handle: TaskHandle, context: Context) -> Self {
        Task {
            process,
            handle,
            context,
            kept: Kept::new(),
            interrupted: None,
            trap: signals::Trap::default(),
            extended: Vec::new(),
            saved_mask: None,
            batch: 0,
            turns: Turns::new(),
            has_ended: false,
        }
    }

    /// Its number.
    pub(crate) fn tid(&self) -> Tid {
        self.handle.tid()
    }

    /// Runs it to its end.
    pub(crate) fn run(mut self) {
        self.handle.begin();
        CURRENT.set(Some(self.handle.clone()));
        self.process.tasks.runs(true);
        while !self.has_ended {
            if self.wants_to_leave() {
                self.process.tasks.runs(false);
                if self.leave() {
                    return;
                }
                self.process.tasks.runs(true);
            }
            self.turns.before_program();
            match user::run_unless(&mut self.context, &self.handle.0.attention) {
                Some(Event::Syscall) => calls::serve(&mut self),
                Some(Event::Fault(fault)) => self.fault(fault),
                Some(Event::Interrupt) => {
                    toro::net::socket::flush();
                    if self.turns.is_over() {
                        self.give_way();
                    }
                }
                None => {}
            }
            if self.handle.wants_attention() {
                signals::attend(&mut self);
            }
        }
        self.process.tasks.runs(false);
        self.process.end_task(&mut self);
    }
}
