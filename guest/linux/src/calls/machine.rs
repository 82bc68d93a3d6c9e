//! The machine: what it is called, what it has, what may be used of it.

use super::{Answer, Args};
use crate::task::Task;
use crate::time;
use toro::prelude::*;
use toro_linux_abi::errno::Errno;
use toro_linux_abi::layout::{Rlimit, Rusage, Sysinfo, Timeval, Utsname};
use toro_linux_abi::raw;

pub(super) fn uname(task: &mut Task, [to, ..]: Args) -> Answer {
    let mut told = Utsname::default();
    let fill = |field: &mut [u8; 65], text: &[u8]| {
        let count = text.len().min(64);
        field[..count].copy_from_slice(&text[..count]);
    };
    fill(&mut told.sysname, b"Linux");
    fill(&mut told.nodename, &task.process.identity.with(|identity| identity.hostname.clone()));
    fill(&mut told.release, crate::release!().as_bytes());
    fill(&mut told.version, b"#1 SMP Toro");
    fill(&mut told.machine, b"x86_64");
    fill(&mut told.domainname, b"(none)");
    task.process.memory.put(to, &told).map(|()| 0)
}

pub(super) fn sethostname(task: &mut Task, [name, bytes, ..]: Args) -> Answer {
    if !task.process.identity.with(|identity| identity.is_privileged()) {
        return Err(Errno::PERM);
    }
    if bytes > 64 {
        return Err(Errno::INVAL);
    }
    let name: Vec<u8> = task.process.memory.get_list(name, bytes as usize)?;
    let old = task.process.identity.with(|identity| core::mem::replace(&mut identity.hostname, name));
    drop(old);
    Ok(0)
}

pub(super) fn sysinfo(task: &mut Task, [to, ..]: Args) -> Answer {
    let usage = toro::memory::usage();
    let told = Sysinfo {
        uptime: (time::now_ns() / 1_000_000_000) as i64,
        totalram: usage.total as u64,
        freeram: usage.free as u64,
        procs: u16::try_from(task.process.tasks.count()).unwrap_or(u16::MAX),
        mem_unit: 1,
        ..Sysinfo::default()
    };
    task.process.memory.put(to, &told).map(|()| 0)
}

pub(super) fn getrlimit(task: &mut Task, [resource, to, ..]: Args) -> Answer {
    prlimit64(task, [0, resource, 0, to, 0, 0])
}

pub(super) fn setrlimit(task: &mut Task, [resource, new, ..]: Args) -> Answer {
    if new == 0 { Err(Errno::FAULT) } else { prlimit64(task, [0, resource, new, 0, 0, 0]) }
}

pub(super) fn prlimit64(task: &mut Task, [pid, resource, new, old, ..]: Args) -> Answer {
    let pid = pid as i32;
    if pid != 0 && pid != task.process.pid && task.process.tasks.get(pid).is_none() {
        return Err(Errno::SRCH);
    }
    let resource = u32::try_from(resource).map_err(|_| Errno::INVAL)?;
    let before = task.process.limits.get(resource)?;
    if new != 0 {
        let new: Rlimit = task.process.memory.get(new)?;
        let is_privileged = task.process.identity.with(|identity| identity.is_privileged());
        task.process.limits.set(resource, new, is_privileged)?;
    }
    task.process.memory.put_if(old, &before).map(|()| 0)
}

pub(super) fn getrusage(task: &mut Task, [who, to, ..]: Args) -> Answer {
    const THREAD: i32 = raw::RUSAGE_THREAD as i32;
    const CHILDREN: i32 = raw::RUSAGE_CHILDREN;
    const SELF: i32 = raw::RUSAGE_SELF as i32;
    let used = match who as i32 {
        SELF => task.process.cpu_ns(task),
        THREAD => task.turns.cpu_ns(),
        CHILDREN => 0,
        _ => return Err(Errno::INVAL),
    };
    let resident = {
        let map = task.process.memory.map();
        map.areas.iter().map(|(range, _)| task.process.memory.pages.count(range)).sum::<usize>() * 4
    };
    let maxrss = if who as i32 == CHILDREN { 0 } else { resident as i64 };
    let told = Rusage { utime: Timeval::from_ns(used), maxrss, ..Rusage::default() };
    task.process.memory.put(to, &told).map(|()| 0)
}

pub(super) fn getrandom(task: &mut Task, [to, bytes, flags, ..]: Args) -> Answer {
    let known = raw::GRND_NONBLOCK | raw::GRND_RANDOM | raw::GRND_INSECURE;
    let both = u64::from(raw::GRND_RANDOM | raw::GRND_INSECURE);
    if flags & !u64::from(known) != 0 || flags & both == both {
        return Err(Errno::INVAL);
    }
    let mut left = usize::try_from(bytes).unwrap_or(usize::MAX).min(super::io::BYTES_MAX);
    let mut at = to;
    let mut piece = [0; 256];
    while left > 0 {
        let count = left.min(piece.len());
        toro::random::fill(&mut piece[..count]);
        if let Err(error) = task.process.memory.write(at, &piece[..count]) {
            return if at == to { Err(error) } else { Ok(at - to) };
        }
        left -= count;
        at += count as u64;
    }
    Ok(at - to)
}

pub(super) fn personality(_task: &mut Task, [persona, ..]: Args) -> Answer {
    match persona as u32 {
        0 | u32::MAX => Ok(0),
        _ => Err(Errno::INVAL),
    }
}
