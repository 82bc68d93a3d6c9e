//! Signals: who gets one, and what it does there.
//!
//! A signal waits at a thread, or at the program for whichever thread takes it first. Whoever sends one alerts a thread that
//! would take it; that thread looks after it between calls ([`attend`]), or its wait ends because of it. `frame.rs` has what
//! a handler finds on its stack, and the way back.

mod frame;

pub(crate) use frame::{Interrupted, Trap, return_from_handler, set_alternate_stack, stack_bytes_min};

use crate::process::Process;
use crate::task::{Task, TaskHandle};
use crate::watch::Source;
use toro::process;
use toro::sync::SpinLock;
use toro::sync::atomic::{AtomicBool, Ordering::SeqCst};
use toro::user::Fault;
use toro_linux_abi::errno::Errno;
use toro_linux_abi::layout::{SignalAction, SignalStack};
use toro_linux_abi::raw;
use toro_linux_abi::signals::{self, Default, Pending, SignalInfo, SignalSet};

/// Handlers that are none.
pub(crate) const DEFAULT: u64 = 0;
/// See [`DEFAULT`].
pub(crate) const IGNORE: u64 = 1;

/// What waits at a thread.
#[derive(Debug)]
pub(crate) struct TaskSignals {
    /// Those that are not heard now.
    pub mask: SignalSet,
    /// Those that a call waits for, though they are blocked.
    pub awaited: SignalSet,
    /// Those that were sent to this thread.
    pub pending: Pending,
}

impl TaskSignals {
    /// None, with that mask.
    pub(crate) const fn new(mask: SignalSet) -> Self {
        TaskSignals { mask, awaited: SignalSet(0), pending: Pending::new() }
    }
}

/// What the program has of signals.
#[derive(Debug)]
pub(crate) struct ProcessSignals {
    shared: SpinLock<Shared>,
    /// Told of every signal that is sent, for `signalfd`.
    pub source: Source,
    stopped: AtomicBool,
}

#[derive(Debug)]
struct Shared {
    actions: [SignalAction; signals::LAST as usize],
    pending: Pending,
}

/// Where a thread's handlers run, if they ask for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct AlternateStack {
    /// Lowest address.
    pub sp: u64,
    /// Bytes; 0: there is none.
    pub size: u64,
    /// `SS_AUTODISARM`, or nothing.
    pub flags: i32,
}

impl AlternateStack {
    /// None.
    pub(crate) const NONE: Self = AlternateStack { sp: 0, size: 0, flags: 0 };

    /// Whether a stack pointer is on it.
    pub(crate) fn has(&self, rsp: u64) -> bool {
        // One that is disarmed while it is used is nobody's meanwhile.
        self.flags == 0 && rsp > self.sp && rsp - self.sp <= self.size
    }

    /// As the program sees it.
    pub(crate) fn told(&self, rsp: u64) -> SignalStack {
        let state = if self.size == 0 {
            raw::SS_DISABLE as i32
        } else if self.has(rsp) {
            raw::SS_ONSTACK as i32
        } else {
            0
        };
        SignalStack { sp: self.sp, flags: state | self.flags, pad: 0, size: self.size }
    }
}

/// Whom a signal is for.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Target<'a> {
    /// The program: the first thread that takes it.
    Program,
    /// That thread.
    Task(&'a TaskHandle),
}

impl core::fmt::Debug for TaskHandle {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_tuple("TaskHandle").field(&self.tid()).finish()
    }
}

impl ProcessSignals {
    /// None sent, all with their default action.
    pub(crate) fn new() -> Self {
        let actions = [SignalAction { handler: DEFAULT, flags: 0, restorer: 0, mask: 0 }; signals::LAST as usize];
        ProcessSignals {
            shared: SpinLock::new(Shared { actions, pending: Pending::new() }),
            source: Source::new(),
            stopped: AtomicBool::new(false),
        }
    }

    /// What a signal does.
    pub(crate) fn action(&self, signal: u32) -> SignalAction {
        self.shared.with(|shared| shared.actions[signal as usize - 1])
    }

    /// Changes what a signal does; what it did before.
    fn set_action(&self, signal: u32, action: SignalAction) -> SignalAction {
        self.shared.with(|shared| core::mem::replace(&mut shared.actions[signal as usize - 1], action))
    }

    /// Signals that were sent to the program as a whole.
    pub(crate) fn pending(&self) -> SignalSet {
        self.shared.with(|shared| shared.pending.set())
    }

    /// Takes one of those.
    pub(crate) fn take(&self, among: SignalSet) -> Option<SignalInfo> {
        self.shared.with(|shared| shared.pending.take(among))
    }

    fn is_ignored(&self, signal: u32) -> bool {
        let handler = self.action(signal).handler;
        handler == IGNORE
            || handler == DEFAULT && matches!(signals::default_action(signal), Default::Ignore | Default::Continue)
    }
}

/// Sends a signal.
///
/// # Errors
/// `EAGAIN` when too many wait.
pub(crate) fn send(process: &Process, target: Target<'_>, info: SignalInfo) -> Result<(), Errno> {
    let signal = info.signo;
    let all = &process.signals;
    match signal {
        raw::SIGCONT => {
            discard(process, SignalSet(stops()));
            if all.stopped.swap(false, SeqCst) {
                process.tasks.each(TaskHandle::alert);
            }
        }
        _ if stops() & SignalSet::of(signal).0 != 0 => discard(process, SignalSet::of(raw::SIGCONT)),
        _ => {}
    }
    let wants = |task: &TaskHandle| wants(task, signal);
    let is_blocked = match target {
        Target::Program => !process.tasks.any(wants),
        Target::Task(task) => !wants(task),
    };
    // One that is ignored is gone at once, but for who blocks it: the action may change before it is heard.
    let is_awaited = process.tasks.any(|task: &TaskHandle| task.signals(|signals| signals.awaited.has(signal)));
    if !is_blocked && !is_awaited && all.is_ignored(signal) {
        return Ok(());
    }
    match target {
        Target::Program => {
            all.shared.with(|shared| shared.pending.push(info)).map_err(|_| Errno::AGAIN)?;
            process.tasks.alert_first(wants);
        }
        Target::Task(task) => {
            task.signals(|signals| signals.pending.push(info)).map_err(|_| Errno::AGAIN)?;
            if wants(task) {
                task.alert();
            }
        }
    }
    all.source.notify();
    Ok(())
}

/// Whether a thread hears a signal now.
fn wants(task: &TaskHandle, signal: u32) -> bool {
    task.signals(|signals| {
        signals.awaited.has(signal) || !signals.mask.has(signal) || signal == raw::SIGKILL || signal == raw::SIGSTOP
    })
}

/// A thread does not hear these signals any more: those of them that the program was sent meanwhile are another's.
pub(crate) fn hand_on(process: &Process, signals: SignalSet) {
    let mut left = SignalSet(process.signals.pending().0 & signals.0);
    while let Some(signal) = left.first() {
        process.tasks.alert_first(|task| wants(task, signal));
        left = left.without(SignalSet::of(signal));
    }
}

/// From here on the host's request to stop is a `SIGTERM`.
pub(crate) fn begin() {
    toro::io::input::watch_stop(|| {
        let process = crate::process::get();
        // By who talks to the device: the program's own thread has the rest to do.
        send(process, Target::Program, SignalInfo::new(raw::SIGTERM, raw::SI_KERNEL as i32)).is_ok()
    });
}

fn stops() -> u64 {
    [raw::SIGSTOP, raw::SIGTSTP, raw::SIGTTIN, raw::SIGTTOU]
        .iter()
        .fold(0, |set, signal| set | SignalSet::of(*signal).0)
}

fn discard(process: &Process, signals: SignalSet) {
    process.signals.shared.with(|shared| shared.pending.discard(signals));
    process.tasks.each(|task| task.signals(|of_task| of_task.pending.discard(signals)));
}

/// `rt_sigaction`.
pub(crate) fn change_action(process: &Process, signal: u32, action: Option<SignalAction>) -> SignalAction {
    let Some(action) = action else { return process.signals.action(signal) };
    let mask = SignalSet(action.mask).without(SignalSet::UNBLOCKABLE);
    let before = process.signals.set_action(signal, SignalAction { mask: mask.0, ..action });
    if process.signals.is_ignored(signal) {
        discard(process, SignalSet::of(signal));
    }
    before
}

/// Changes a thread's mask; what it was.
pub(crate) fn set_mask(task: &Task, mask: SignalSet) -> SignalSet {
    let mask = mask.without(SignalSet::UNBLOCKABLE);
    let before = task.handle.signals(|signals| core::mem::replace(&mut signals.mask, mask));
    if has_some(task) {
        task.handle.alert(); // what was blocked is heard now
    }
    let blocked = mask.without(before);
    if !blocked.is_empty() {
        hand_on(task.process, blocked);
    }
    before
}

/// Signals that wait at this thread or at the program, and are not blocked.
fn waiting(task: &Task) -> SignalSet {
    let (own, mask) = task.handle.signals(|signals| (signals.pending.set(), signals.mask));
    own.with(task.process.signals.pending()).without(mask)
}

fn has_some(task: &Task) -> bool {
    !waiting(task).is_empty()
}

/// Whether a wait has to end: a signal wants to be heard that does something.
pub(crate) fn is_due(task: &Task) -> bool {
    if task.process.signals.stopped.load(SeqCst) || task.process.crashed_thread().is_some() {
        return true;
    }
    let mut set = waiting(task);
    while let Some(signal) = set.first() {
        if !task.process.signals.is_ignored(signal) {
            return true;
        }
        set = set.without(SignalSet::of(signal));
    }
    false
}

fn take(task: &Task) -> Option<SignalInfo> {
    let (own, mask) = task.handle.signals(|signals| {
        let mask = signals.mask;
        (signals.pending.take(SignalSet(!mask.0)), mask)
    });
    own.or_else(|| task.process.signals.take(SignalSet(!mask.0)))
}

/// Looks after all signals that are due, before the program goes on.
pub(crate) fn attend(task: &mut Task) {
    attend_or_stop(task);
    let mut has_handler = false;
    while let Some(info) = take(task) {
        has_handler |= hear(task, info);
        while task.process.signals.stopped.load(SeqCst) && !task.process.is_ending() {
            let _woken = task.wait(None, &mut |task| (!task.process.signals.stopped.load(SeqCst)).then_some(()));
            attend_or_stop(task);
        }
    }
    frame::restart_unhandled(task);
    if !has_handler && let Some(mask) = task.saved_mask.take() {
        set_mask(task, SignalSet(mask));
    }
}

fn attend_or_stop(task: &mut Task) {
    task.handle.attend();
    if task.process.crashed_thread().is_some() {
        task.stand_still();
    }
}

/// Does what a signal does; whether that is a handler.
fn hear(task: &mut Task, info: SignalInfo) -> bool {
    let signal = info.signo;
    let action = task.process.signals.action(signal);
    if task.process.traced {
        crate::calls::trace::signal(task, &info);
    }
    match action.handler {
        IGNORE => false,
        DEFAULT => {
            match signals::default_action(signal) {
                Default::Ignore | Default::Continue => {}
                Default::Stop => stop(task, signal),
                Default::End | Default::Crash => end(task, &info, None),
            }
            false
        }
        _ => {
            if action.flags & u64::from(raw::SA_RESETHAND) != 0 {
                task.process.signals.set_action(signal, SignalAction { handler: DEFAULT, ..action });
            }
            frame::begin_handler(task, action, info);
            true
        }
    }
}

fn stop(task: &Task, signal: u32) {
    let name = signals::name(signal).unwrap_or("a signal");
    log::warn!("{name} stops the program until SIGCONT, which nobody outside can send");
    task.process.signals.stopped.store(true, SeqCst);
    task.process.tasks.each(TaskHandle::alert);
}

/// Ends the program as a signal does, which is for `fault` if there is one.
fn end(task: &mut Task, info: &SignalInfo, fault: Option<Fault>) -> ! {
    // The host knows why it has asked for an end, and where the program was matters to nobody.
    let is_the_hosts = info.signo == raw::SIGTERM && info.code == raw::SI_KERNEL as i32;
    if is_the_hosts {
        process::end_by_signal(info.signo as u8, format_args!("SIGTERM"));
    }
    task.stop_others();
    let cause = crate::task::tell_crash(task, info, fault);
    process::end_by_signal(info.signo as u8, format_args!("{cause}"))
}

/// An instruction of the program caused a signal, which cannot be put off: blocked or ignored, it ends the program.
pub(crate) fn force(task: &mut Task, info: SignalInfo, fault: Fault) {
    let signal = info.signo;
    let action = task.process.signals.action(signal);
    let is_blocked = task.handle.signals(|signals| signals.mask.has(signal));
    if is_blocked || matches!(action.handler, DEFAULT | IGNORE) {
        end(task, &info, Some(fault));
    }
    hear(task, info);
}
