//! Signals: sent, handled, blocked and waited for.

use super::{Answer, Args};
use crate::objects::signalfd::SignalFile;
use crate::signals::{Target, change_action, hand_on, return_from_handler, send, set_alternate_stack, set_mask};
use crate::task::{Task, Tid, Waited};
use crate::time;
use toro::prelude::*;
use toro_linux_abi::errno::Errno;
use toro_linux_abi::layout::{SignalAction, SignalStack, Timespec};
use toro_linux_abi::raw::{self, O_CLOEXEC, O_NONBLOCK, O_RDWR};
use toro_linux_abi::signals::{LAST, SignalInfo, SignalSet};

/// Bytes of a set.
const SET_BYTES: u64 = 8;

fn check_set(bytes: u64) -> Result<(), Errno> {
    if bytes == SET_BYTES { Ok(()) } else { Err(Errno::INVAL) }
}

fn number(signal: u64) -> Result<u32, Errno> {
    let signal = signal as u32;
    if (1..=LAST).contains(&signal) { Ok(signal) } else { Err(Errno::INVAL) }
}

/// The set at an address; with `SIGKILL` and `SIGSTOP` taken out.
fn set_at(task: &Task, address: u64) -> Result<SignalSet, Errno> {
    let set = SignalSet(task.process.memory.get(address)?);
    Ok(set.without(SignalSet::UNBLOCKABLE))
}

pub(super) fn rt_sigaction(task: &mut Task, [signal, new, old, bytes, ..]: Args) -> Answer {
    check_set(bytes)?;
    let signal = number(signal)?;
    let memory = &task.process.memory;
    let action = if new == 0 { None } else { Some(memory.get::<SignalAction>(new)?) };
    if action.is_some() && SignalSet::UNBLOCKABLE.has(signal) {
        return Err(Errno::INVAL);
    }
    let before = change_action(task.process, signal, action);
    memory.put_if(old, &before).map(|()| 0)
}

pub(super) fn rt_sigprocmask(task: &mut Task, [how, new, old, bytes, ..]: Args) -> Answer {
    check_set(bytes)?;
    let before = task.handle.signals(|signals| signals.mask);
    if new != 0 {
        let set = SignalSet(task.process.memory.get(new)?);
        let mask = match how as u32 {
            raw::SIG_BLOCK => before.with(set),
            raw::SIG_UNBLOCK => before.without(set),
            raw::SIG_SETMASK => set,
            _ => return Err(Errno::INVAL),
        };
        set_mask(task, mask);
    }
    task.process.memory.put_if(old, &before.0).map(|()| 0)
}

pub(super) fn rt_sigreturn(task: &mut Task, _: Args) -> Answer {
    return_from_handler(task)
}

pub(super) fn rt_sigpending(task: &mut Task, [to, bytes, ..]: Args) -> Answer {
    if bytes > SET_BYTES {
        return Err(Errno::INVAL);
    }
    let (own, mask) = task.handle.signals(|signals| (signals.pending.set(), signals.mask));
    let blocked = SignalSet(own.with(task.process.signals.pending()).0 & mask.0);
    task.process.memory.put(to, &blocked.0).map(|()| 0)
}

/// Replaces the mask for the time of a call; what it was is put back when a handler has run, or none is due.
pub(super) fn replace_mask(task: &mut Task, address: u64, bytes: u64) -> Result<(), Errno> {
    if address != 0 {
        check_set(bytes)?;
        let mask = set_at(task, address)?;
        task.saved_mask = Some(set_mask(task, mask).0);
    }
    Ok(())
}

/// The call that replaced the mask ends without a signal.
pub(super) fn restore_mask(task: &mut Task) {
    if let Some(mask) = task.saved_mask.take() {
        set_mask(task, SignalSet(mask));
    }
}

pub(super) fn rt_sigsuspend(task: &mut Task, [set, bytes, ..]: Args) -> Answer {
    check_set(bytes)?;
    replace_mask(task, set, bytes)?;
    wait_for_signal(task)
}

pub(super) fn pause(task: &mut Task, _: Args) -> Answer {
    wait_for_signal(task)
}

fn wait_for_signal(task: &mut Task) -> Answer {
    match task.wait(None, &mut |_| None::<()>) {
        // Begun again unless a handler has run.
        Err(Waited::Interrupted) => Err(Errno::RESTART_UNLESS_HANDLED),
        _ => Err(Errno::INTR),
    }
}

pub(super) fn rt_sigtimedwait(task: &mut Task, [set, info, timeout, bytes, ..]: Args) -> Answer {
    check_set(bytes)?;
    let set = set_at(task, set)?;
    let deadline = match timeout {
        0 => None,
        address => {
            let time: Timespec = task.process.memory.get(address)?;
            Some(time::now_ns().saturating_add(time.to_ns().ok_or(Errno::INVAL)?))
        }
    };
    task.handle.signals(|signals| signals.awaited = set);
    let taken = task.wait(deadline, &mut |task| {
        let own = task.handle.signals(|signals| signals.pending.take(set));
        own.or_else(|| task.process.signals.take(set))
    });
    task.handle.signals(|signals| signals.awaited = SignalSet(0));
    hand_on(task.process, set);
    match taken {
        Ok(taken) => {
            task.process.memory.put_if(info, &taken)?;
            Ok(taken.signo.into())
        }
        Err(Waited::TimedOut) => Err(Errno::AGAIN),
        Err(Waited::Interrupted) => Err(Errno::INTR),
    }
}

/// Sends what a thread sends; 0 only asks whether that would do.
fn send_to(task: &Task, target: Target<'_>, signal: u64, info: impl FnOnce(u32) -> SignalInfo) -> Answer {
    if signal == 0 {
        return Ok(0);
    }
    send(task.process, target, info(number(signal)?)).map(|()| 0)
}

fn from_here(task: &Task, code: i32) -> impl FnOnce(u32) -> SignalInfo {
    let (pid, uid) = (task.process.pid, task.process.identity.with(|identity| identity.uid.real));
    move |signal| SignalInfo::from_process(signal, code, pid, uid)
}

pub(super) fn kill(task: &mut Task, [pid, signal, ..]: Args) -> Answer {
    match pid as i32 {
        // The program's group, and all that it may signal, are itself; but -1 leaves out who sends.
        -1 => Err(Errno::SRCH),
        0 => send_to(task, Target::Program, signal, from_here(task, raw::SI_USER as i32)),
        pid if pid == task.process.pid || pid == -task.process.pid => {
            send_to(task, Target::Program, signal, from_here(task, raw::SI_USER as i32))
        }
        // A thread's number names the program, too.
        pid if task.process.tasks.get(pid).is_some() => {
            send_to(task, Target::Program, signal, from_here(task, raw::SI_USER as i32))
        }
        _ => Err(Errno::SRCH),
    }
}

pub(super) fn tkill(task: &mut Task, [tid, signal, ..]: Args) -> Answer {
    let pid = task.process.pid as u64;
    tgkill(task, [pid, tid, signal, 0, 0, 0])
}

pub(super) fn tgkill(task: &mut Task, [pid, tid, signal, ..]: Args) -> Answer {
    if (tid as Tid) <= 0 || (pid as i32) <= 0 {
        return Err(Errno::INVAL);
    }
    if signal != 0 {
        number(signal)?;
    }
    let other = task.process.tasks.get(tid as Tid).filter(|_| pid as i32 == task.process.pid).ok_or(Errno::SRCH)?;
    send_to(task, Target::Task(&other), signal, from_here(task, raw::SI_TKILL))
}

/// What a program may say of a signal that it sends: not that it came from the kernel, or by `kill`.
fn queued(task: &Task, signal: u64, address: u64) -> Result<SignalInfo, Errno> {
    let mut info: SignalInfo = task.process.memory.get(address)?;
    if info.code >= 0 || info.code == raw::SI_TKILL {
        return Err(Errno::PERM);
    }
    info.signo = signal as u32;
    Ok(info)
}

pub(super) fn rt_sigqueueinfo(task: &mut Task, [pid, signal, address, ..]: Args) -> Answer {
    if pid as i32 != task.process.pid {
        return Err(Errno::SRCH);
    }
    let info = queued(task, signal, address)?;
    send_to(task, Target::Program, signal, |_| info)
}

pub(super) fn rt_tgsigqueueinfo(task: &mut Task, [pid, tid, signal, address, ..]: Args) -> Answer {
    let other = task.process.tasks.get(tid as Tid).filter(|_| pid as i32 == task.process.pid).ok_or(Errno::SRCH)?;
    let info = queued(task, signal, address)?;
    send_to(task, Target::Task(&other), signal, |_| info)
}

pub(super) fn sigaltstack(task: &mut Task, [new, old, ..]: Args) -> Answer {
    let before = task.kept.signal_stack.told(task.context.registers().rsp);
    if new != 0 {
        let stack: SignalStack = task.process.memory.get(new)?;
        set_alternate_stack(task, stack.sp, stack.flags, stack.size)?;
    }
    task.process.memory.put_if(old, &before).map(|()| 0)
}

pub(super) fn signalfd(task: &mut Task, [fd, set, bytes, ..]: Args) -> Answer {
    signalfd4(task, [fd, set, bytes, 0, 0, 0])
}

pub(super) fn signalfd4(task: &mut Task, [fd, set, bytes, flags, ..]: Args) -> Answer {
    check_set(bytes)?;
    if flags & !u64::from(O_CLOEXEC | O_NONBLOCK) != 0 {
        return Err(Errno::INVAL);
    }
    let set = set_at(task, set)?;
    if fd as i32 == -1 {
        return super::descriptors::add(task, Box::new(SignalFile::new(set)), O_RDWR, flags);
    }
    let open = task.process.descriptors.get(fd)?;
    open.object.as_signals().ok_or(Errno::INVAL)?.set(set);
    Ok(fd)
}
