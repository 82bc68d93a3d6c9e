//! What a file is besides its bytes: owners, permissions, times, its length, and whether it is kept.

use super::files::{AT_FDCWD, Subject, check_flags, last, open_behind, subject};
use super::{Answer, Args};
use crate::files::{Payload, Target};
use crate::task::Task;
use crate::time;
use core::sync::atomic::Ordering::Relaxed;
use toro::prelude::*;
use toro::sync::Arc;
use toro_linux_abi::errno::Errno;
use toro_linux_abi::layout::{Timespec, Timeval, Utimbuf};
use toro_linux_abi::raw::{self, AT_EMPTY_PATH, AT_SYMLINK_NOFOLLOW};
use toro_linux_abi::tree::{Access, Kind, Last, NodeId, Times, Tree, Who};

const UTIME_NOW: i64 = raw::UTIME_NOW as i64;
const UTIME_OMIT: i64 = raw::UTIME_OMIT as i64;

// Owners, permissions, times.

fn change_node(
    task: &Task,
    subject: Subject,
    change: impl FnOnce(&mut Tree<Payload>, NodeId, Who<'_>, Timespec) -> Result<(), Errno>,
) -> Answer {
    let identity = task.process.identity.with(|identity| identity.clone());
    let change = |node: NodeId| {
        let mut tree = task.process.files.tree();
        if tree.node(node).read_only {
            return Err(Errno::ROFS);
        }
        change(&mut tree, node, identity.who(), time::wall()).map(|()| 0)
    };
    match subject {
        Subject::Target(Target::Node(held)) => change(held.node()),
        Subject::Target(Target::Dynamic(dynamic)) => {
            let open = open_behind(task, &dynamic).map_err(|_| Errno::PERM)?;
            change(open.object.node().ok_or(Errno::PERM)?)
        }
        // What has no place in the tree has no owner to speak of.
        Subject::Open(open) => change(open.object.node().ok_or(Errno::PERM)?),
    }
}

fn set_mode(task: &Task, subject: Subject, mode: u64) -> Answer {
    change_node(task, subject, |tree, node, who, now| {
        let node = tree.node_mut(node);
        if !who.owns(node) {
            return Err(Errno::PERM);
        }
        if matches!(node.kind, Kind::Link(_)) {
            return Err(Errno::OPNOTSUPP);
        }
        node.permissions = mode as u32 & 0o7777;
        node.times.change = now;
        Ok(())
    })
}

pub(super) fn chmod(task: &mut Task, [path, mode, ..]: Args) -> Answer {
    fchmodat2(task, [AT_FDCWD, path, mode, 0, 0, 0])
}

pub(super) fn fchmod(task: &mut Task, [fd, mode, ..]: Args) -> Answer {
    let open = task.process.descriptors.get(fd)?;
    if open.is_path() { Err(Errno::BADF) } else { set_mode(task, Subject::Open(open), mode) }
}

pub(super) fn fchmodat(task: &mut Task, [fd, path, mode, ..]: Args) -> Answer {
    fchmodat2(task, [fd, path, mode, 0, 0, 0])
}

pub(super) fn fchmodat2(task: &mut Task, [fd, path, mode, flags, ..]: Args) -> Answer {
    check_flags(flags, AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH)?;
    let subject = subject(task, fd, path, flags, last(flags))?;
    set_mode(task, subject, mode)
}

fn set_owner(task: &Task, subject: Subject, uid: u64, gid: u64) -> Answer {
    let given = |id: u64| Some(id as u32).filter(|id| *id != u32::MAX);
    change_node(task, subject, |tree, node, who, now| {
        let node = tree.node_mut(node);
        let takes = given(uid).is_some_and(|uid| uid != node.uid);
        let joins = given(gid).is_none_or(|gid| gid == node.gid || gid == who.gid || who.groups.contains(&gid));
        if who.uid != 0 && (takes || !joins || who.uid != node.uid) {
            return Err(Errno::PERM);
        }
        (node.uid, node.gid) = (given(uid).unwrap_or(node.uid), given(gid).unwrap_or(node.gid));
        if !matches!(node.kind, Kind::Directory { .. }) {
            node.permissions &= !0o6000; // a program of another owner is no privileged one
        }
        node.times.change = now;
        Ok(())
    })
}

pub(super) fn chown(task: &mut Task, [path, uid, gid, ..]: Args) -> Answer {
    fchownat(task, [AT_FDCWD, path, uid, gid, 0, 0])
}

pub(super) fn lchown(task: &mut Task, [path, uid, gid, ..]: Args) -> Answer {
    fchownat(task, [AT_FDCWD, path, uid, gid, AT_SYMLINK_NOFOLLOW.into(), 0])
}

pub(super) fn fchown(task: &mut Task, [fd, uid, gid, ..]: Args) -> Answer {
    let open = task.process.descriptors.get(fd)?;
    if open.is_path() { Err(Errno::BADF) } else { set_owner(task, Subject::Open(open), uid, gid) }
}

pub(super) fn fchownat(task: &mut Task, [fd, path, uid, gid, flags, _]: Args) -> Answer {
    check_flags(flags, AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH)?;
    let subject = subject(task, fd, path, flags, last(flags))?;
    set_owner(task, subject, uid, gid)
}

/// A time to set: one that is given, now, or none.
#[derive(Clone, Copy)]
enum NewTime {
    Given(Timespec),
    Now,
    Keep,
}

fn set_times(task: &Task, subject: Subject, access: NewTime, modify: NewTime) -> Answer {
    change_node(task, subject, |tree, id, who, now| {
        let node = tree.node_mut(id);
        let is_now = matches!((access, modify), (NewTime::Now, NewTime::Now));
        if !who.owns(node) {
            match is_now {
                true => node.allows(who, Access::WRITE)?,
                false => return Err(Errno::PERM),
            }
        }
        let choose = |new: NewTime, old: Timespec| match new {
            NewTime::Given(time) => time,
            NewTime::Now => now,
            NewTime::Keep => old,
        };
        let mut old = node.times;
        if let Some(Payload::Data(data)) = node.payload() {
            if let Some(ns) = data.written_ns() {
                old.modify = time::timespec(ns);
            }
            data.forget_written();
        }
        node.times = Times { access: choose(access, old.access), modify: choose(modify, old.modify), change: now };
        Ok(())
    })
}

pub(super) fn utimensat(task: &mut Task, [fd, path, times, flags, ..]: Args) -> Answer {
    check_flags(flags, AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH)?;
    let (access, modify) = if times == 0 {
        (NewTime::Now, NewTime::Now)
    } else {
        let list: Vec<Timespec> = task.process.memory.get_list(times, 2)?;
        let parse = |time: Timespec| match time.nanoseconds {
            UTIME_NOW => Ok(NewTime::Now),
            UTIME_OMIT => Ok(NewTime::Keep),
            0..=999_999_999 => Ok(NewTime::Given(time)),
            _ => Err(Errno::INVAL),
        };
        (parse(list[0])?, parse(list[1])?)
    };
    // Without a path it is about the descriptor itself.
    let subject = match path {
        0 if fd as i32 == AT_FDCWD as i32 => return Err(Errno::FAULT),
        0 => Subject::Open(task.process.descriptors.get(fd)?),
        path => subject(task, fd, path, flags, last(flags))?,
    };
    if matches!((access, modify), (NewTime::Keep, NewTime::Keep)) {
        return Ok(0);
    }
    set_times(task, subject, access, modify)
}

pub(super) fn utime(task: &mut Task, [path, times, ..]: Args) -> Answer {
    let subject = subject(task, AT_FDCWD, path, 0, Last::Follow)?;
    if times == 0 {
        return set_times(task, subject, NewTime::Now, NewTime::Now);
    }
    let times: Utimbuf = task.process.memory.get(times)?;
    let given = |seconds| NewTime::Given(Timespec { seconds, nanoseconds: 0 });
    set_times(task, subject, given(times.actime), given(times.modtime))
}

pub(super) fn utimes(task: &mut Task, [path, times, ..]: Args) -> Answer {
    futimesat(task, [AT_FDCWD, path, times, 0, 0, 0])
}

pub(super) fn futimesat(task: &mut Task, [fd, path, times, ..]: Args) -> Answer {
    let subject = match path {
        0 => Subject::Open(task.process.descriptors.get(fd)?),
        path => subject(task, fd, path, 0, Last::Follow)?,
    };
    if times == 0 {
        return set_times(task, subject, NewTime::Now, NewTime::Now);
    }
    let list: Vec<Timeval> = task.process.memory.get_list(times, 2)?;
    let given = |time: Timeval| match time.microseconds {
        0..=999_999 => Ok(NewTime::Given(Timespec { seconds: time.seconds, nanoseconds: time.microseconds * 1000 })),
        _ => Err(Errno::INVAL),
    };
    set_times(task, subject, given(list[0])?, given(list[1])?)
}

pub(super) fn umask(task: &mut Task, [mask, ..]: Args) -> Answer {
    Ok(task.process.umask.swap(mask as u32 & 0o777, Relaxed).into())
}

// Lengths.

pub(super) fn truncate(task: &mut Task, [path, bytes, ..]: Args) -> Answer {
    let bytes = u64::try_from(bytes as i64).map_err(|_| Errno::INVAL)?;
    let Subject::Target(Target::Node(held)) = subject(task, AT_FDCWD, path, 0, Last::Follow)? else {
        return Err(Errno::INVAL);
    };
    let identity = task.process.identity.with(|identity| identity.clone());
    let data = {
        let tree = task.process.files.tree();
        let node = tree.node(held.node());
        if matches!(node.kind, Kind::Directory { .. }) {
            return Err(Errno::ISDIR);
        }
        node.allows(identity.who(), Access::WRITE)?;
        if node.read_only {
            return Err(Errno::ROFS);
        }
        match node.payload() {
            Some(Payload::Data(data)) => Arc::clone(data),
            _ => return Err(Errno::INVAL),
        }
    };
    set_length(task, &data, bytes)
}

fn set_length(task: &Task, data: &Arc<crate::files::FileData>, bytes: u64) -> Answer {
    if bytes > task.process.limits.file_bytes() {
        return Err(Errno::FBIG);
    }
    let moved = data.set_bytes(bytes)?;
    task.process.forget_moved(data, moved);
    Ok(0)
}

pub(super) fn ftruncate(task: &mut Task, [fd, bytes, ..]: Args) -> Answer {
    let bytes = u64::try_from(bytes as i64).map_err(|_| Errno::INVAL)?;
    let open = task.process.descriptors.get(fd)?;
    open.check_write().map_err(|error| if open.is_path() { error } else { Errno::INVAL })?;
    if let Some(file) = open.object.as_memory_file() {
        file.check_bytes(bytes)?;
    }
    set_length(task, open.object.data().ok_or(Errno::INVAL)?, bytes)
}

pub(super) fn fallocate(task: &mut Task, [fd, mode, offset, bytes, ..]: Args) -> Answer {
    let (offset, bytes) = (offset as i64, bytes as i64);
    if offset < 0 || bytes <= 0 {
        return Err(Errno::INVAL);
    }
    let (offset, bytes) = (offset as u64, bytes as u64);
    let open = task.process.descriptors.get(fd)?;
    open.check_write()?;
    let data = open.object.data().ok_or(if open.object.source().is_some() { Errno::SPIPE } else { Errno::NODEV })?;
    const KEEP: u32 = raw::FALLOC_FL_KEEP_SIZE;
    const PUNCH: u32 = raw::FALLOC_FL_PUNCH_HOLE | KEEP;
    const ZERO: u32 = raw::FALLOC_FL_ZERO_RANGE;
    const ZERO_KEEP: u32 = ZERO | KEEP;
    let mode = mode as u32;
    if matches!(mode, 0 | ZERO)
        && let Some(file) = open.object.as_memory_file()
    {
        file.check_bytes(data.bytes().max(offset + bytes))?;
    }
    let moved = match mode {
        0 | KEEP => data.allocate(offset, bytes, mode == KEEP)?,
        PUNCH => data.punch(offset, bytes)?,
        ZERO | ZERO_KEEP => {
            let punched = data.punch(offset, bytes)?;
            task.process.forget_moved(data, punched);
            data.allocate(offset, bytes, mode == ZERO_KEEP)?
        }
        _ => return Err(Errno::OPNOTSUPP),
    };
    task.process.forget_moved(data, moved);
    Ok(0)
}

// What is written is where it stays: in memory.

pub(super) fn fsync(task: &mut Task, [fd, ..]: Args) -> Answer {
    let open = task.process.descriptors.get(fd)?;
    if open.is_path() {
        return Err(Errno::BADF);
    }
    if open.object.node().is_some() || open.object.data().is_some() { Ok(0) } else { Err(Errno::INVAL) }
}

pub(super) fn fdatasync(task: &mut Task, arguments: Args) -> Answer {
    fsync(task, arguments)
}

pub(super) fn sync(_task: &mut Task, _: Args) -> Answer {
    Ok(0)
}

pub(super) fn syncfs(task: &mut Task, [fd, ..]: Args) -> Answer {
    task.process.descriptors.get(fd).map(|_| 0)
}

pub(super) fn sync_file_range(task: &mut Task, [fd, ..]: Args) -> Answer {
    let open = task.process.descriptors.get(fd)?;
    if open.object.data().is_some() { Ok(0) } else { Err(Errno::SPIPE) }
}

pub(super) fn fadvise64(task: &mut Task, [fd, _, bytes, advice, ..]: Args) -> Answer {
    let open = task.process.descriptors.get(fd)?;
    if open.object.source().is_some() {
        return Err(Errno::SPIPE);
    }
    if advice > u64::from(raw::POSIX_FADV_NOREUSE) || (bytes as i64) < 0 { Err(Errno::INVAL) } else { Ok(0) }
}

pub(super) fn readahead(task: &mut Task, [fd, ..]: Args) -> Answer {
    let open = task.process.descriptors.get(fd)?;
    open.check_read()?;
    if open.object.data().is_some() { Ok(0) } else { Err(Errno::INVAL) }
}

/// All calls about extended attributes: there are none, and this kind of files has no place for them.
pub(super) fn no_attributes(_task: &mut Task, _: Args) -> Answer {
    Err(Errno::OPNOTSUPP)
}
