//! Threads: made, ended, named, and where they run.

use super::{Answer, Args};
use crate::signals::TaskSignals;
use crate::task::{Kept, Task, TaskHandle, Tid, Traveller};
use toro::prelude::*;
use toro::thread;
use toro_linux_abi::errno::Errno;
use toro_linux_abi::layout::CloneArgs;
use toro_linux_abi::raw::{self, prctl as numbers};

/// What a thread shares with the others, all or nothing: it is no thread otherwise.
const THREAD: u64 = (raw::CLONE_VM | raw::CLONE_FS | raw::CLONE_FILES | raw::CLONE_SIGHAND | raw::CLONE_THREAD) as u64;
/// What else may be asked for.
const OPTIONS: u64 = (raw::CLONE_SYSVSEM
    | raw::CLONE_SETTLS
    | raw::CLONE_PARENT_SETTID
    | raw::CLONE_CHILD_SETTID
    | raw::CLONE_CHILD_CLEARTID
    | raw::CLONE_DETACHED
    | raw::CLONE_IO) as u64;

fn make(task: &mut Task, arguments: &CloneArgs) -> Answer {
    let flags = arguments.flags;
    let has = |flag: u32| flags & u64::from(flag) != 0;
    if flags & THREAD != THREAD {
        return super::unsupported(if has(raw::CLONE_VFORK) { 58 } else { 57 });
    }
    if flags & !(THREAD | OPTIONS) != 0 || arguments.exit_signal != 0 {
        return Err(Errno::INVAL);
    }
    let process = task.process;
    let memory = &process.memory;
    let tid = process.tasks.next_tid();
    for (flag, address) in
        [(raw::CLONE_PARENT_SETTID, arguments.parent_tid), (raw::CLONE_CHILD_SETTID, arguments.child_tid)]
    {
        if has(flag) {
            memory.put(address, &tid)?;
        }
    }
    let mut snapshot = task.context.snapshot().map_err(|_| Errno::AGAIN)?;
    snapshot.registers.rax = 0;
    if arguments.stack != 0 {
        snapshot.registers.rsp = arguments.stack.checked_add(arguments.stack_size).ok_or(Errno::INVAL)?;
    }
    let affinity = task.handle.affinity();
    let core = process.tasks.least_loaded_core(affinity);
    let mask = task.handle.signals(|signals| signals.mask);
    let handle = TaskHandle::new(tid, task.handle.name(), core, affinity, TaskSignals::new(mask));
    if has(raw::CLONE_SETTLS) {
        snapshot.set_fs_base(arguments.tls).map_err(|_| Errno::PERM)?;
    }
    let mut kept = Kept::new();
    if has(raw::CLONE_CHILD_CLEARTID) {
        kept.clear_child_tid = arguments.child_tid;
    }
    process.tasks.add(handle.clone());
    if (Traveller { snapshot, handle, kept, used_ns: 0 }).send() {
        Ok(tid as u64)
    } else {
        process.tasks.remove(tid);
        Err(Errno::AGAIN)
    }
}

pub(super) fn clone(task: &mut Task, [flags, stack, parent_tid, child_tid, tls, _]: Args) -> Answer {
    let arguments = CloneArgs {
        flags: flags & !0xff,
        exit_signal: flags & 0xff,
        stack,
        parent_tid,
        child_tid,
        tls,
        ..CloneArgs::default()
    };
    make(task, &arguments)
}

pub(super) fn clone3(task: &mut Task, [address, bytes, ..]: Args) -> Answer {
    const BYTES: u64 = size_of::<CloneArgs>() as u64;
    if bytes < BYTES {
        return Err(Errno::INVAL);
    }
    // What a later version has behind, if it says nothing.
    if bytes > 4096 {
        return Err(Errno::TOOBIG);
    }
    let rest: Vec<u8> = task.process.memory.get_list(address.wrapping_add(BYTES), (bytes - BYTES) as usize)?;
    if rest.iter().any(|byte| *byte != 0) {
        return Err(Errno::TOOBIG);
    }
    let arguments: CloneArgs = task.process.memory.get(address)?;
    make(task, &arguments)
}

pub(super) fn exit(task: &mut Task, [status, ..]: Args) -> Answer {
    task.process.set_status(task.tid(), status as i32);
    task.has_ended = true;
    Ok(0)
}

pub(super) fn exit_group(task: &mut Task, [status, ..]: Args) -> Answer {
    task.process.exit(status as i32)
}

pub(super) fn gettid(task: &mut Task, _: Args) -> Answer {
    Ok(task.tid() as u64)
}

pub(super) fn set_tid_address(task: &mut Task, [address, ..]: Args) -> Answer {
    task.kept.clear_child_tid = address;
    Ok(task.tid() as u64)
}

/// Bytes of the head of a robust list.
const ROBUST_BYTES: u64 = 24;

pub(super) fn set_robust_list(task: &mut Task, [address, bytes, ..]: Args) -> Answer {
    if bytes != ROBUST_BYTES {
        return Err(Errno::INVAL);
    }
    task.kept.robust_list = address;
    Ok(0)
}

pub(super) fn get_robust_list(task: &mut Task, [tid, address, bytes, ..]: Args) -> Answer {
    let tid = tid as Tid;
    if tid != 0 && tid != task.tid() {
        // Another thread's is its own.
        return Err(if task.process.tasks.get(tid).is_some() { Errno::PERM } else { Errno::SRCH });
    }
    task.process.memory.put(bytes, &ROBUST_BYTES)?;
    task.process.memory.put(address, &task.kept.robust_list).map(|()| 0)
}

pub(super) fn arch_prctl(task: &mut Task, [code, address, ..]: Args) -> Answer {
    const SET_GS: u64 = 0x1001;
    const SET_FS: u64 = 0x1002;
    const GET_FS: u64 = 0x1003;
    const GET_GS: u64 = 0x1004;
    match code {
        SET_FS => task.context.set_fs_base(address).map(|()| 0).map_err(|_| Errno::PERM),
        SET_GS => task.context.set_gs_base(address).map(|()| 0).map_err(|_| Errno::PERM),
        GET_FS => task.process.memory.put(address, &task.context.fs_base()).map(|()| 0),
        GET_GS => task.process.memory.put(address, &task.context.gs_base()).map(|()| 0),
        _ => Err(Errno::INVAL),
    }
}

pub(super) fn prctl(task: &mut Task, [option, argument, second, third, fourth, _]: Args) -> Answer {
    let identity = &task.process.identity;
    match option as u32 {
        numbers::PR_SET_NAME => {
            let mut name = [0; 16];
            let text = match task.process.memory.text(argument, 16) {
                Ok(text) => text,
                // What is longer is cut.
                Err(Errno::NAMETOOLONG) => task.process.memory.get_list(argument, 15)?,
                Err(error) => return Err(error),
            };
            name[..text.len()].copy_from_slice(&text);
            task.handle.set_name(name);
            Ok(0)
        }
        numbers::PR_GET_NAME => task.process.memory.put(argument, &task.handle.name()).map(|()| 0),
        numbers::PR_GET_DUMPABLE => Ok(identity.with(|identity| identity.dumpable.into())),
        numbers::PR_SET_DUMPABLE if argument <= 1 => {
            identity.with(|identity| identity.dumpable = argument == 1);
            Ok(0)
        }
        numbers::PR_SET_NO_NEW_PRIVS if argument == 1 && second | third | fourth == 0 => {
            identity.with(|identity| identity.no_new_privileges = true);
            Ok(0)
        }
        numbers::PR_GET_NO_NEW_PRIVS if argument | second | third | fourth == 0 => {
            Ok(identity.with(|identity| identity.no_new_privileges.into()))
        }
        numbers::PR_SET_PDEATHSIG if argument <= 64 => {
            identity.with(|identity| identity.parent_death_signal = argument as u32);
            Ok(0)
        }
        numbers::PR_GET_PDEATHSIG => {
            let signal = identity.with(|identity| identity.parent_death_signal);
            task.process.memory.put(argument, &signal).map(|()| 0)
        }
        numbers::PR_CAPBSET_READ if argument <= LAST_CAPABILITY => Ok(1),
        numbers::PR_GET_SECCOMP | numbers::PR_GET_KEEPCAPS => Ok(0),
        _ => Err(Errno::INVAL),
    }
}

/// The highest capability that Linux 6.1 knows.
const LAST_CAPABILITY: u64 = 40;

pub(super) fn sched_yield(task: &mut Task, _: Args) -> Answer {
    task.turns.give_way();
    Ok(0)
}

/// A thread by its number, 0 for the one that asks.
fn named(task: &Task, tid: u64) -> Result<TaskHandle, Errno> {
    match tid as Tid {
        0 => Ok(task.handle.clone()),
        tid if tid < 0 => Err(Errno::INVAL),
        tid => task.process.tasks.get(tid).ok_or(Errno::SRCH),
    }
}

fn all_cores() -> u64 {
    let count = thread::cores().len();
    if count == 64 { u64::MAX } else { (1 << count) - 1 }
}

pub(super) fn sched_getaffinity(task: &mut Task, [tid, bytes, address, ..]: Args) -> Answer {
    if bytes < 8 || bytes % 8 != 0 {
        return Err(Errno::INVAL);
    }
    let affinity = named(task, tid)?.affinity() & all_cores();
    task.process.memory.put(address, &affinity)?;
    Ok(8)
}

pub(super) fn sched_setaffinity(task: &mut Task, [tid, bytes, address, ..]: Args) -> Answer {
    let handle = named(task, tid)?;
    let mut mask = [0; 8];
    let count = usize::try_from(bytes).unwrap_or(usize::MAX).min(8);
    task.process.memory.read(address, &mut mask[..count])?;
    let affinity = u64::from_le_bytes(mask) & all_cores();
    if affinity == 0 {
        return Err(Errno::INVAL);
    }
    handle.set_affinity(affinity);
    task.process.place(&handle);
    Ok(0)
}

/// Priorities of the normal policy.
pub(super) fn sched_getparam(task: &mut Task, [tid, address, ..]: Args) -> Answer {
    named(task, tid)?;
    task.process.memory.put(address, &0_i32).map(|()| 0)
}

pub(super) fn sched_setparam(task: &mut Task, [tid, address, ..]: Args) -> Answer {
    named(task, tid)?;
    if task.process.memory.get::<i32>(address)? == 0 { Ok(0) } else { Err(Errno::INVAL) }
}

pub(super) fn sched_getscheduler(task: &mut Task, [tid, ..]: Args) -> Answer {
    named(task, tid).map(|_| raw::SCHED_NORMAL.into())
}

pub(super) fn sched_setscheduler(task: &mut Task, [tid, policy, address, ..]: Args) -> Answer {
    named(task, tid)?;
    let priority = task.process.memory.get::<i32>(address)?;
    match policy as u32 & !raw::SCHED_RESET_ON_FORK {
        raw::SCHED_NORMAL if priority == 0 => Ok(0),
        raw::SCHED_FIFO | raw::SCHED_RR | raw::SCHED_BATCH | raw::SCHED_IDLE => Err(Errno::PERM),
        _ => Err(Errno::INVAL),
    }
}

pub(super) fn sched_get_priority_max(_task: &mut Task, [policy, ..]: Args) -> Answer {
    match policy as u32 {
        raw::SCHED_FIFO | raw::SCHED_RR => Ok(99),
        raw::SCHED_NORMAL | raw::SCHED_BATCH | raw::SCHED_IDLE | raw::SCHED_DEADLINE => Ok(0),
        _ => Err(Errno::INVAL),
    }
}

pub(super) fn sched_get_priority_min(_task: &mut Task, [policy, ..]: Args) -> Answer {
    match policy as u32 {
        raw::SCHED_FIFO | raw::SCHED_RR => Ok(1),
        raw::SCHED_NORMAL | raw::SCHED_BATCH | raw::SCHED_IDLE | raw::SCHED_DEADLINE => Ok(0),
        _ => Err(Errno::INVAL),
    }
}

pub(super) fn sched_rr_get_interval(task: &mut Task, [tid, address, ..]: Args) -> Answer {
    named(task, tid)?;
    let slice = toro_linux_abi::layout::Timespec::from_ns(crate::task::SLICE_NS);
    task.process.memory.put(address, &slice).map(|()| 0)
}

/// Numbers of whom a priority is about, as `getpriority` has them.
const PRIO_PROCESS: u64 = 0;
const PRIO_USER: u64 = 2;

pub(super) fn getpriority(task: &mut Task, [which, who, ..]: Args) -> Answer {
    if which > PRIO_USER {
        return Err(Errno::INVAL);
    }
    if which == PRIO_PROCESS {
        named(task, who)?;
    }
    // What is returned is never negative.
    Ok((20 - task.process.identity.with(|identity| identity.nice)) as u64)
}

pub(super) fn setpriority(task: &mut Task, [which, who, nice, ..]: Args) -> Answer {
    if which > PRIO_USER {
        return Err(Errno::INVAL);
    }
    if which == PRIO_PROCESS {
        named(task, who)?;
    }
    let nice = (nice as i32).clamp(-20, 19);
    task.process.identity.with(|identity| {
        if nice < identity.nice && !identity.is_privileged() {
            return Err(Errno::ACCES);
        }
        identity.nice = nice;
        Ok(0)
    })
}

pub(super) fn getcpu(task: &mut Task, [cpu, node, ..]: Args) -> Answer {
    let memory = &task.process.memory;
    memory.put_if(cpu, &(thread::current_core().index() as u32))?;
    memory.put_if(node, &0_u32).map(|()| 0)
}

pub(super) fn membarrier(_: &mut Task, [command, flags, ..]: Args) -> Answer {
    const QUERY: u64 = 0;
    const GLOBAL: u64 = 1;
    const PRIVATE: u64 = 1 << 3;
    const REGISTER_PRIVATE: u64 = 1 << 4;
    if flags != 0 {
        return Err(Errno::INVAL);
    }
    match command {
        QUERY => Ok(GLOBAL | PRIVATE | REGISTER_PRIVATE),
        REGISTER_PRIVATE => Ok(0),
        GLOBAL | PRIVATE => {
            thread::synchronize_cores();
            Ok(0)
        }
        _ => Err(Errno::INVAL),
    }
}
