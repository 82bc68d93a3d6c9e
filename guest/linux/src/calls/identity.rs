//! Who the program is: its number, users and groups. There is one program, without parent, children or session.

use super::{Answer, Args};
use crate::identity::{ALL_CAPABILITIES, Identity, Ids};
use crate::task::Task;
use toro::prelude::*;
use toro_linux_abi::errno::Errno;
use toro_linux_abi::layout::{CapabilityData, CapabilityHeader};
use toro_linux_abi::raw;

/// An argument that leaves an identifier as it is.
const KEEP: u32 = u32::MAX;
const GROUPS_MAX: u64 = 65536;

/// Whether a number names the program, or 0 that asks.
fn check_pid(task: &Task, pid: u64) -> Result<(), Errno> {
    match pid as i32 {
        pid if pid < 0 => Err(Errno::INVAL),
        0 => Ok(()),
        pid if pid == task.process.pid || task.process.tasks.get(pid).is_some() => Ok(()),
        _ => Err(Errno::SRCH),
    }
}

pub(super) fn getpid(task: &mut Task, _: Args) -> Answer {
    Ok(task.process.pid as u64)
}

pub(super) fn getppid(_task: &mut Task, _: Args) -> Answer {
    Ok(0)
}

pub(super) fn getpgrp(task: &mut Task, _: Args) -> Answer {
    Ok(task.process.pid as u64)
}

pub(super) fn getpgid(task: &mut Task, [pid, ..]: Args) -> Answer {
    check_pid(task, pid).map_err(|_| Errno::SRCH)?;
    Ok(task.process.pid as u64)
}

pub(super) fn setpgid(task: &mut Task, [pid, group, ..]: Args) -> Answer {
    if (group as i32) < 0 {
        return Err(Errno::INVAL);
    }
    check_pid(task, pid)?;
    // It leads its session, so its group cannot change.
    Err(Errno::PERM)
}

pub(super) fn getsid(task: &mut Task, [pid, ..]: Args) -> Answer {
    check_pid(task, pid).map_err(|_| Errno::SRCH)?;
    Ok(task.process.pid as u64)
}

pub(super) fn setsid(_task: &mut Task, _: Args) -> Answer {
    Err(Errno::PERM) // it leads its group already
}

fn ids(task: &Task, choose: impl FnOnce(&Identity) -> Ids) -> Ids {
    task.process.identity.with(|identity| choose(identity))
}

pub(super) fn getuid(task: &mut Task, _: Args) -> Answer {
    Ok(ids(task, |identity| identity.uid).real.into())
}

pub(super) fn geteuid(task: &mut Task, _: Args) -> Answer {
    Ok(ids(task, |identity| identity.uid).effective.into())
}

pub(super) fn getgid(task: &mut Task, _: Args) -> Answer {
    Ok(ids(task, |identity| identity.gid).real.into())
}

pub(super) fn getegid(task: &mut Task, _: Args) -> Answer {
    Ok(ids(task, |identity| identity.gid).effective.into())
}

/// Changes users or groups as `change` says, who is told whether the program may become anybody.
fn change(task: &Task, is_user: bool, change: impl FnOnce(&mut Ids, bool) -> Result<u64, Errno>) -> Answer {
    task.process.identity.with(|identity| {
        let is_privileged = identity.is_privileged();
        change(if is_user { &mut identity.uid } else { &mut identity.gid }, is_privileged)
    })
}

fn set_id(task: &Task, is_user: bool, id: u64) -> Answer {
    let id = id as u32;
    if id == KEEP {
        return Err(Errno::INVAL);
    }
    change(task, is_user, |ids, is_privileged| {
        if is_privileged {
            *ids = Ids::all(id);
        } else if id == ids.real || id == ids.saved {
            (ids.effective, ids.files) = (id, id);
        } else {
            return Err(Errno::PERM);
        }
        Ok(0)
    })
}

pub(super) fn setuid(task: &mut Task, [id, ..]: Args) -> Answer {
    set_id(task, true, id)
}

pub(super) fn setgid(task: &mut Task, [id, ..]: Args) -> Answer {
    set_id(task, false, id)
}

fn set_two(task: &Task, is_user: bool, real: u64, effective: u64) -> Answer {
    let (real, effective) = (real as u32, effective as u32);
    change(task, is_user, |ids, is_privileged| {
        let old = *ids;
        let may = |id: u32| id == KEEP || is_privileged || old.real == id || old.effective == id;
        if !may(real) || !(may(effective) || effective == old.saved) {
            return Err(Errno::PERM);
        }
        if real != KEEP {
            ids.real = real;
        }
        if effective != KEEP {
            ids.effective = effective;
        }
        if real != KEEP || effective != KEEP && effective != old.real {
            ids.saved = ids.effective;
        }
        ids.files = ids.effective;
        Ok(0)
    })
}

pub(super) fn setreuid(task: &mut Task, [real, effective, ..]: Args) -> Answer {
    set_two(task, true, real, effective)
}

pub(super) fn setregid(task: &mut Task, [real, effective, ..]: Args) -> Answer {
    set_two(task, false, real, effective)
}

fn set_three(task: &Task, is_user: bool, new: [u64; 3]) -> Answer {
    let new = new.map(|id| id as u32);
    change(task, is_user, |ids, is_privileged| {
        let old = *ids;
        if !new.iter().all(|id| *id == KEEP || is_privileged || old.has(*id)) {
            return Err(Errno::PERM);
        }
        for (id, place) in new.iter().zip([&mut ids.real, &mut ids.effective, &mut ids.saved]) {
            if *id != KEEP {
                *place = *id;
            }
        }
        ids.files = ids.effective;
        Ok(0)
    })
}

fn get_three(task: &Task, ids: Ids, places: [u64; 3]) -> Answer {
    let memory = &task.process.memory;
    memory.put(places[0], &ids.real)?;
    memory.put(places[1], &ids.effective)?;
    memory.put(places[2], &ids.saved).map(|()| 0)
}

pub(super) fn setresuid(task: &mut Task, [real, effective, saved, ..]: Args) -> Answer {
    set_three(task, true, [real, effective, saved])
}

pub(super) fn setresgid(task: &mut Task, [real, effective, saved, ..]: Args) -> Answer {
    set_three(task, false, [real, effective, saved])
}

pub(super) fn getresuid(task: &mut Task, [real, effective, saved, ..]: Args) -> Answer {
    get_three(task, ids(task, |identity| identity.uid), [real, effective, saved])
}

pub(super) fn getresgid(task: &mut Task, [real, effective, saved, ..]: Args) -> Answer {
    get_three(task, ids(task, |identity| identity.gid), [real, effective, saved])
}

/// Returns what it was, whether it changes or not.
fn set_for_files(task: &Task, is_user: bool, id: u64) -> Answer {
    let id = id as u32;
    change(task, is_user, |ids, is_privileged| {
        let old = ids.files;
        if id != KEEP && (is_privileged || ids.has(id) || old == id) {
            ids.files = id;
        }
        Ok(old.into())
    })
}

pub(super) fn setfsuid(task: &mut Task, [id, ..]: Args) -> Answer {
    set_for_files(task, true, id)
}

pub(super) fn setfsgid(task: &mut Task, [id, ..]: Args) -> Answer {
    set_for_files(task, false, id)
}

pub(super) fn getgroups(task: &mut Task, [count, list, ..]: Args) -> Answer {
    let groups = task.process.identity.with(|identity| identity.groups.clone());
    let room = usize::try_from(count as i32).map_err(|_| Errno::INVAL)?;
    if room == 0 {
        return Ok(groups.len() as u64);
    }
    if room < groups.len() {
        return Err(Errno::INVAL);
    }
    task.process.memory.put(list, groups.as_slice())?;
    Ok(groups.len() as u64)
}

pub(super) fn setgroups(task: &mut Task, [count, list, ..]: Args) -> Answer {
    if !task.process.identity.with(|identity| identity.is_privileged()) {
        return Err(Errno::PERM);
    }
    if count > GROUPS_MAX {
        return Err(Errno::INVAL);
    }
    let groups: Vec<u32> = task.process.memory.get_list(list, count as usize)?;
    let old = task.process.identity.with(|identity| core::mem::replace(&mut identity.groups, groups));
    drop(old);
    Ok(0)
}

/// Versions of the structure: 32 bits, and two of 64.
const VERSIONS: [u32; 3] =
    [raw::_LINUX_CAPABILITY_VERSION_1, raw::_LINUX_CAPABILITY_VERSION_2, raw::_LINUX_CAPABILITY_VERSION_3];
fn capability_words(task: &Task, header: u64) -> Result<usize, Errno> {
    let told: CapabilityHeader = task.process.memory.get(header)?;
    let Some(version) = VERSIONS.iter().position(|version| *version == told.version) else {
        let newest = CapabilityHeader { version: VERSIONS[2], pid: told.pid };
        task.process.memory.put(header, &newest)?;
        return Err(Errno::INVAL);
    };
    check_pid(task, told.pid as u64)?;
    Ok(if version == 0 { 1 } else { 2 })
}

pub(super) fn capget(task: &mut Task, [header, data, ..]: Args) -> Answer {
    let words = match capability_words(task, header) {
        Err(Errno::INVAL) if data == 0 => return Ok(0), // it only asked for the version
        words => words?,
    };
    if data == 0 {
        return Ok(0);
    }
    let all = task.process.identity.with(|identity| identity.capabilities());
    for word in 0..words {
        let bits = (all >> (32 * word)) as u32;
        let told = CapabilityData { effective: bits, permitted: bits, inheritable: 0 };
        task.process.memory.put(data.wrapping_add((word * size_of::<CapabilityData>()) as u64), &told)?;
    }
    Ok(0)
}

pub(super) fn capset(task: &mut Task, [header, data, ..]: Args) -> Answer {
    let words = capability_words(task, header)?;
    let mut permitted = 0;
    for word in 0..words {
        let told: CapabilityData =
            task.process.memory.get(data.wrapping_add((word * size_of::<CapabilityData>()) as u64))?;
        permitted |= u64::from(told.permitted | told.effective) << (32 * word);
    }
    let has_all = task.process.identity.with(|identity| identity.is_privileged());
    // They go with the user here: who asks for what it has gets it, and nothing else can be done.
    match (has_all, permitted) {
        (true, permitted) if permitted & ALL_CAPABILITIES == ALL_CAPABILITIES => Ok(0),
        (false, 0) => Ok(0),
        (true, _) => super::unsupported(126),
        (false, _) => Err(Errno::PERM),
    }
}

/// There are no children to wait for.
pub(super) fn wait4(_task: &mut Task, [_, _, options, ..]: Args) -> Answer {
    let known = raw::WNOHANG | raw::WUNTRACED | raw::WCONTINUED | raw::__WALL | raw::__WCLONE | raw::__WNOTHREAD;
    if options as u32 & !known != 0 { Err(Errno::INVAL) } else { Err(Errno::CHILD) }
}

/// There are no children to wait for.
pub(super) fn waitid(_task: &mut Task, [_, _, _, options, ..]: Args) -> Answer {
    let known = raw::WNOHANG | raw::WNOWAIT | raw::WEXITED | raw::WSTOPPED | raw::WCONTINUED | raw::__WALL;
    let states = raw::WEXITED | raw::WSTOPPED | raw::WCONTINUED;
    if options as u32 & !known != 0 || options as u32 & states == 0 { Err(Errno::INVAL) } else { Err(Errno::CHILD) }
}
