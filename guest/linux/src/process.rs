//! The one program: what all its threads have in common.

use crate::descriptors::Descriptors;
use crate::files::Files;
use crate::futexes::{Futexes, Key};
use crate::identity::Identity;
use crate::limits::Limits;
use crate::locks::Locks;
use crate::memory::Memory;
use crate::signals::ProcessSignals;
use crate::task::{Task, TaskHandle, Tid};
use crate::timers::Timers;
use core::sync::atomic::{AtomicBool, AtomicI32, AtomicU32, AtomicU64, Ordering::Relaxed, Ordering::SeqCst};
use toro::prelude::*;
use toro::process;
use toro::sync::{OnceLock, SpinLock};
use toro::thread::{self, CORES_MAX, CoreId};

/// Its number: there is no other.
pub(crate) const PID: i32 = 1;

/// What was run.
#[derive(Debug)]
pub(crate) struct Program {
    /// Its arguments, its own name first.
    pub arguments: Vec<Vec<u8>>,
    /// Its environment.
    pub environment: Vec<Vec<u8>>,
}

static PROCESS: OnceLock<&'static Process> = OnceLock::new();

/// The program, once it has begun.
pub(crate) fn get() -> &'static Process {
    PROCESS.get().expect("the program has begun")
}

/// Makes `process` the program, for good.
pub(crate) fn set(process: Process) -> &'static Process {
    PROCESS.get_or_init(|| Box::leak(Box::new(process)))
}

/// The program as it runs.
pub(crate) struct Process {
    /// Its number.
    pub pid: i32,
    /// What was run.
    pub program: Program,
    /// Its memory.
    pub memory: Memory,
    /// What is added to an address of its file.
    pub base: usize,
    /// Files, and where it is among them.
    pub files: Files,
    /// What it has open.
    pub descriptors: Descriptors,
    /// Locks on files.
    pub locks: Locks,
    /// Threads that wait on words of its memory.
    pub futexes: Futexes,
    /// Its threads.
    pub tasks: Tasks,
    /// What signals do.
    pub signals: ProcessSignals,
    /// Who it is.
    pub identity: SpinLock<Identity>,
    /// What it may use.
    pub limits: Limits,
    /// Its timers.
    pub timers: Timers,
    /// Bits of a file's permissions that are left out when it makes one.
    pub umask: AtomicU32,
    /// CPU time of threads that have ended, in ns.
    pub ended_cpu_ns: AtomicU64,
    /// Calls are printed.
    pub traced: bool,
    /// Ports that the host lets others reach.
    pub published: Vec<u16>,
    is_ending: AtomicBool,
    /// The thread that a signal ends the program by; 0: none.
    crashed: AtomicI32,
    status: AtomicI32,
}

impl Process {
    /// A program without a thread.
    pub(crate) fn new(
        program: Program,
        memory: Memory,
        base: usize,
        files: Files,
        traced: bool,
        published: Vec<u16>,
    ) -> Self {
        Process {
            pid: PID,
            program,
            memory,
            base,
            files,
            descriptors: Descriptors::new(),
            locks: Locks::new(),
            futexes: Futexes::new(),
            tasks: Tasks::new(),
            signals: ProcessSignals::new(),
            identity: SpinLock::new(Identity::root()),
            limits: Limits::new(),
            timers: Timers::new(),
            umask: AtomicU32::new(0o022),
            ended_cpu_ns: AtomicU64::new(0),
            traced,
            published,
            is_ending: AtomicBool::new(false),
            crashed: AtomicI32::new(0),
            status: AtomicI32::new(0),
        }
    }

    /// `exit_group`: the program ends, whatever its threads do.
    pub(crate) fn exit(&self, status: i32) -> ! {
        self.is_ending.store(true, SeqCst);
        process::exit(status & 0xff)
    }

    /// Whether others are to reach a port of it.
    pub(crate) fn is_published(&self, port: u16) -> bool {
        self.published.contains(&port)
    }

    /// A signal ends the program by this thread; `false`: another one is at it.
    pub(crate) fn begin_crash(&self, tid: Tid) -> bool {
        self.crashed.compare_exchange(0, tid, SeqCst, SeqCst).is_ok()
    }

    /// The thread by which a signal ends the program: all others are to stop.
    pub(crate) fn crashed_thread(&self) -> Option<Tid> {
        Some(self.crashed.load(SeqCst)).filter(|tid| *tid != 0)
    }

    /// Whether it is about to end.
    pub(crate) fn is_ending(&self) -> bool {
        self.is_ending.load(SeqCst)
    }

    /// A thread has ended with this status; the first thread's is the program's, if all others end without one.
    pub(crate) fn set_status(&self, tid: Tid, status: i32) {
        if tid == self.pid {
            self.status.store(status, Relaxed);
        }
    }

    /// What is left to do at a thread's end. With the last one the program ends.
    pub(crate) fn end_task(&self, task: &mut Task) {
        crate::futexes::release_robust_list(task);
        if task.kept.clear_child_tid != 0 {
            // A pointer that is none is the program's own business.
            let word = task.kept.clear_child_tid;
            if self.memory.put(word, &0_u32).is_ok()
                && let Ok(key) = Key::shared(&self.memory, word)
            {
                self.futexes.wake(key, 1, u32::MAX);
            }
        }
        self.ended_cpu_ns.fetch_add(task.turns.cpu_ns(), Relaxed);
        if self.tasks.remove(task.tid()) == 0 {
            self.exit(self.status.load(Relaxed));
        }
        crate::signals::hand_on(self, toro_linux_abi::signals::SignalSet(u64::MAX));
    }

    /// CPU time of all threads as of their last waits, in ns.
    pub(crate) fn cpu_ns_so_far(&self) -> u64 {
        let mut all = self.ended_cpu_ns.load(Relaxed);
        self.tasks.each(|task| all += task.cpu_ns());
        all
    }

    /// CPU time of all threads, in ns; of others than `task` as of their last wait.
    pub(crate) fn cpu_ns(&self, task: &Task) -> u64 {
        let mut others = 0;
        self.tasks.each(|other| {
            if !other.is(&task.handle) {
                others += other.cpu_ns();
            }
        });
        self.ended_cpu_ns.load(Relaxed) + others + task.turns.cpu_ns()
    }
}

/// The threads of the program.
#[derive(Debug)]
pub(crate) struct Tasks {
    all: SpinLock<Vec<TaskHandle>>,
    last: AtomicI32,
    /// Of each core, how many of its threads do not wait.
    running: [AtomicU32; CORES_MAX],
}

impl Tasks {
    const fn new() -> Self {
        Tasks {
            all: SpinLock::new(Vec::new()),
            last: AtomicI32::new(PID - 1),
            running: [const { AtomicU32::new(0) }; CORES_MAX],
        }
    }

    /// A number that no thread has had.
    pub(crate) fn next_tid(&self) -> Tid {
        self.last.fetch_add(1, Relaxed) + 1
    }

    /// Adds a thread.
    pub(crate) fn add(&self, task: TaskHandle) {
        self.all.with(|all| all.push(task));
    }

    /// Takes a thread off; how many are left.
    pub(crate) fn remove(&self, tid: Tid) -> usize {
        let (removed, left) = self.all.with(|all| {
            let at = all.iter().position(|task| task.tid() == tid);
            (at.map(|at| all.remove(at)), all.len())
        });
        drop(removed);
        left
    }

    /// The thread of that number.
    pub(crate) fn get(&self, tid: Tid) -> Option<TaskHandle> {
        self.all.with(|all| all.iter().find(|task| task.tid() == tid).cloned())
    }

    /// Calls `f` with each, under a lock.
    pub(crate) fn each(&self, mut f: impl FnMut(&TaskHandle)) {
        self.all.with(|all| all.iter().for_each(&mut f));
    }

    /// Whether `is` is true of one, under a lock.
    pub(crate) fn any(&self, is: impl Fn(&TaskHandle) -> bool) -> bool {
        self.all.with(|all| all.iter().any(is))
    }

    /// Alerts the first of which `wants` is true.
    pub(crate) fn alert_first(&self, wants: impl Fn(&TaskHandle) -> bool) {
        self.all.with(|all| {
            if let Some(task) = all.iter().find(|task| wants(task)) {
                task.alert();
            }
        });
    }

    /// Their numbers.
    pub(crate) fn tids(&self) -> Vec<Tid> {
        self.all.with(|all| all.iter().map(TaskHandle::tid).collect())
    }

    /// How many there are.
    pub(crate) fn count(&self) -> usize {
        self.all.with(|all| all.len())
    }

    /// A thread of the present core stops waiting, or begins to.
    pub(crate) fn runs(&self, does: bool) {
        let running = &self.running[thread::current_core().index()];
        if does {
            running.fetch_add(1, Relaxed)
        } else {
            running.fetch_sub(1, Relaxed)
        };
    }

    /// Another core on which no thread of the program runs, of those that `affinity` allows.
    pub(crate) fn idle_core(&self, affinity: u64) -> Option<CoreId> {
        let mut allowed = thread::cores().filter(|core| affinity >> core.index() & 1 != 0);
        allowed.find(|core| self.running[core.index()].load(Relaxed) == 0)
    }

    /// The core with the fewest threads, of those that `affinity` allows.
    pub(crate) fn least_loaded_core(&self, affinity: u64) -> CoreId {
        let mut loads = [0_usize; CORES_MAX];
        self.each(|task| loads[task.core().index()] += 1);
        let here = thread::current_core();
        let allowed = thread::cores().filter(|core| affinity >> core.index() & 1 != 0);
        // Of several, the core that asks: what a new thread works with is likely to be there.
        allowed.min_by_key(|core| (loads[core.index()], *core != here)).unwrap_or(here)
    }
}
