//! Files by their paths: opening, what is told of them, directories, names. Each call is a few lines around the tree, which
//! say how Linux's flags map onto it.

use super::{Answer, Args};
use crate::files::{From, Payload, Target};
use crate::objects::OpenFile;
use crate::objects::pipe::Pipe;
use crate::task::Task;
use core::sync::atomic::Ordering::Relaxed;
use toro::prelude::*;
use toro::sync::Arc;
use toro_linux_abi::errno::Errno;
use toro_linux_abi::layout::{OpenHow, Stat, Statfs, Statx, StatxTimestamp, Timespec};
use toro_linux_abi::raw::{
    self, AT_EACCESS, AT_EMPTY_PATH, AT_REMOVEDIR, AT_SYMLINK_FOLLOW, AT_SYMLINK_NOFOLLOW, O_CREAT, O_TRUNC, O_WRONLY,
};
use toro_linux_abi::tree::{Access, Dynamic, Exchange, FileType, Kind, Last, New, NodeId, PATH_BYTES_MAX};
use zerocopy::IntoBytes;

/// Paths begin where the program is.
pub(super) const AT_FDCWD: u64 = raw::AT_FDCWD as i64 as u64;

fn path(task: &Task, address: u64) -> Result<Vec<u8>, Errno> {
    task.process.memory.text(address, PATH_BYTES_MAX)
}

/// The directory that a path begins in.
fn start(task: &Task, fd: u64, path: &[u8]) -> Result<NodeId, Errno> {
    if path.starts_with(b"/") {
        return Ok(task.process.files.tree().root());
    }
    if fd as i32 == AT_FDCWD as i32 {
        return Ok(task.process.files.current());
    }
    let open = task.process.descriptors.get(fd)?;
    match open.object.node() {
        Some(node) if task.process.files.is_directory(node) => Ok(node),
        _ => Err(Errno::NOTDIR),
    }
}

fn from(task: &Task, fd: u64, path: &[u8], last: Last) -> Result<From, Errno> {
    Ok(From { start: start(task, fd, path)?, last })
}

/// Checks flags against those that a call knows.
pub(super) fn check_flags(flags: u64, known: u32) -> Result<(), Errno> {
    if flags as u32 & !known == 0 { Ok(()) } else { Err(Errno::INVAL) }
}

pub(super) fn last(flags: u64) -> Last {
    if flags as u32 & AT_SYMLINK_NOFOLLOW != 0 { Last::Keep } else { Last::Follow }
}

/// What a path and flags lead to: what is open, if the path is empty and that is allowed.
pub(super) enum Subject {
    Open(Arc<OpenFile>),
    Target(Target),
}

pub(super) fn subject(task: &Task, fd: u64, address: u64, flags: u64, last: Last) -> Result<Subject, Errno> {
    let may_be_empty = flags as u32 & AT_EMPTY_PATH != 0;
    let path = if address == 0 && may_be_empty { Vec::new() } else { path(task, address)? };
    if path.is_empty() && may_be_empty {
        if fd as i32 == AT_FDCWD as i32 {
            return task.process.find(From { start: task.process.files.current(), last }, b".").map(Subject::Target);
        }
        return task.process.descriptors.get(fd).map(Subject::Open);
    }
    task.process.find(from(task, fd, &path, last)?, &path).map(Subject::Target)
}

// Opening.

pub(super) fn open(task: &mut Task, [path, flags, mode, ..]: Args) -> Answer {
    openat(task, [AT_FDCWD, path, flags, mode, 0, 0])
}

pub(super) fn creat(task: &mut Task, [path, mode, ..]: Args) -> Answer {
    openat(task, [AT_FDCWD, path, u64::from(O_CREAT | O_WRONLY | O_TRUNC), mode, 0, 0])
}

pub(super) fn openat(task: &mut Task, [fd, address, flags, mode, ..]: Args) -> Answer {
    let path = path(task, address)?;
    let start = start(task, fd, &path)?;
    let mut flags = flags as u32;
    if flags & raw::O_PATH != 0 {
        flags &= raw::O_PATH | raw::O_DIRECTORY | raw::O_NOFOLLOW | raw::O_CLOEXEC;
    } else {
        flags |= raw::O_LARGEFILE;
    }
    let file = task.process.open(start, &path, flags, mode as u32)?;
    wait_for_other_end(task, &file)?;
    super::descriptors::add_file(task, file, flags.into())
}

/// Whoever opens one end of a pipe that has a name waits for the other.
fn wait_for_other_end(task: &mut Task, file: &OpenFile) -> Result<(), Errno> {
    let Some(pipe) = file.object.as_pipe().filter(|_| !file.is_nonblocking() && file.object.node().is_some()) else {
        return Ok(());
    };
    let ever = pipe.ever();
    let Some(source) = file.object.source() else { return Ok(()) };
    task.wait_for(source, None, |_| (!pipe.is_alone(ever)).then_some(()))?;
    Ok(())
}

pub(super) fn openat2(task: &mut Task, [fd, path, how, bytes, ..]: Args) -> Answer {
    if bytes < size_of::<OpenHow>() as u64 {
        return Err(Errno::INVAL);
    }
    let how: OpenHow = task.process.memory.get(how)?;
    if how.resolve != 0 {
        return Err(Errno::OPNOTSUPP);
    }
    openat(task, [fd, path, how.flags, how.mode, 0, 0])
}

// What is known of a file.

fn status_of(task: &Task, subject: Subject, last: Last) -> Result<Stat, Errno> {
    match subject {
        Subject::Open(open) => Ok(open.object.status()),
        Subject::Target(Target::Node(held)) => Ok(task.process.files.status(held.node())),
        Subject::Target(Target::Dynamic(dynamic)) => task.process.status_of_dynamic(&dynamic, last),
    }
}

fn tell_status(task: &Task, fd: u64, path: u64, to: u64, flags: u64) -> Answer {
    let last = last(flags);
    let status = status_of(task, subject(task, fd, path, flags, last)?, last)?;
    task.process.memory.put(to, &status).map(|()| 0)
}

pub(super) fn stat(task: &mut Task, [path, to, ..]: Args) -> Answer {
    tell_status(task, AT_FDCWD, path, to, 0)
}

pub(super) fn lstat(task: &mut Task, [path, to, ..]: Args) -> Answer {
    tell_status(task, AT_FDCWD, path, to, AT_SYMLINK_NOFOLLOW.into())
}

pub(super) fn fstat(task: &mut Task, [fd, to, ..]: Args) -> Answer {
    let status = task.process.descriptors.get(fd)?.object.status();
    task.process.memory.put(to, &status).map(|()| 0)
}

pub(super) fn newfstatat(task: &mut Task, [fd, path, to, flags, ..]: Args) -> Answer {
    check_flags(flags, AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH | raw::AT_NO_AUTOMOUNT)?;
    tell_status(task, fd, path, to, flags)
}

pub(super) fn statx(task: &mut Task, [fd, path, flags, mask, to, _]: Args) -> Answer {
    check_flags(flags, AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH | raw::AT_NO_AUTOMOUNT | raw::AT_STATX_SYNC_TYPE)?;
    if mask as u32 & raw::STATX__RESERVED != 0 {
        return Err(Errno::INVAL);
    }
    let last = last(flags);
    let status = status_of(task, subject(task, fd, path, flags, last)?, last)?;
    let time =
        |time: Timespec| StatxTimestamp { seconds: time.seconds, nanoseconds: time.nanoseconds as u32, reserved: 0 };
    let parts = |device: u64| ((device >> 8 & 0xfff) as u32, (device & 0xff | device >> 12 & 0xff_ff00) as u32);
    let ((rdev_major, rdev_minor), (dev_major, dev_minor)) = (parts(status.rdev), parts(status.dev));
    let told = Statx {
        mask: raw::STATX_BASIC_STATS,
        blksize: status.blksize as u32,
        nlink: status.nlink as u32,
        uid: status.uid,
        gid: status.gid,
        mode: status.mode as u16,
        ino: status.ino,
        size: status.size as u64,
        blocks: status.blocks as u64,
        atime: time(status.atime),
        ctime: time(status.ctime),
        mtime: time(status.mtime),
        rdev_major,
        rdev_minor,
        dev_major,
        dev_minor,
        ..Statx::default()
    };
    task.process.memory.put(to, &told).map(|()| 0)
}

fn statfs_told() -> Statfs {
    const TMPFS_MAGIC: i64 = 0x0102_1994;
    let usage = toro::memory::usage();
    Statfs {
        kind: TMPFS_MAGIC,
        bsize: 4096,
        blocks: (usage.total / 4096) as u64,
        bfree: (usage.free / 4096) as u64,
        bavail: (usage.free / 4096) as u64,
        files: 1 << 20,
        ffree: 1 << 19,
        namelen: 255,
        frsize: 4096,
        ..Statfs::default()
    }
}

pub(super) fn statfs(task: &mut Task, [path, to, ..]: Args) -> Answer {
    subject(task, AT_FDCWD, path, 0, Last::Follow)?;
    task.process.memory.put(to, &statfs_told()).map(|()| 0)
}

pub(super) fn fstatfs(task: &mut Task, [fd, to, ..]: Args) -> Answer {
    task.process.descriptors.get(fd)?;
    task.process.memory.put(to, &statfs_told()).map(|()| 0)
}

// May it be used?

pub(super) fn access(task: &mut Task, [path, mode, ..]: Args) -> Answer {
    faccessat2(task, [AT_FDCWD, path, mode, 0, 0, 0])
}

pub(super) fn faccessat(task: &mut Task, [fd, path, mode, ..]: Args) -> Answer {
    faccessat2(task, [fd, path, mode, 0, 0, 0])
}

pub(super) fn faccessat2(task: &mut Task, [fd, path, mode, flags, ..]: Args) -> Answer {
    check_flags(flags, AT_EACCESS | AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH)?;
    check_flags(mode, 7)?;
    let identity = task.process.identity.with(|identity| identity.clone());
    let who = if flags as u32 & AT_EACCESS != 0 { identity.who() } else { identity.real_who() };
    match subject(task, fd, path, flags, last(flags))? {
        Subject::Target(Target::Node(held)) => {
            let tree = task.process.files.tree();
            let node = tree.node(held.node());
            let allowed = node.allows(who, Access(mode as u32));
            let refused = node.read_only && mode as u32 & Access::WRITE.0 != 0;
            drop(tree);
            allowed?;
            if refused { Err(Errno::ROFS) } else { Ok(0) }
        }
        Subject::Target(Target::Dynamic(dynamic)) => {
            task.process.status_of_dynamic(&dynamic, last(flags))?;
            if mode as u32 & Access::WRITE.0 != 0 { Err(Errno::ACCES) } else { Ok(0) }
        }
        Subject::Open(open) => {
            let status = open.object.status();
            let wants_execute = mode as u32 & Access::EXECUTE.0 != 0;
            if wants_execute && status.mode & 0o111 == 0 { Err(Errno::ACCES) } else { Ok(0) }
        }
    }
}

// Directories.

/// Bytes of an entry before its name.
const DIRENT64_BYTES: usize = 19;
const DIRENT_BYTES: usize = 18;

fn list(
    task: &Task,
    fd: u64,
    to: u64,
    bytes: u64,
    encode: impl Fn(&crate::objects::directory::Entry, u64) -> Vec<u8>,
) -> Answer {
    let open = task.process.descriptors.get(fd)?;
    open.check_read()?;
    let directory = open.object.as_directory().ok_or(Errno::NOTDIR)?;
    let mut position = open.position.lock();
    let mut all: Vec<u8> = Vec::new();
    let room = usize::try_from(bytes).unwrap_or(usize::MAX).min(1 << 20);
    let mut is_small = false;
    let end = directory.read(*position, |entry, next| {
        let encoded = encode(entry, next);
        if all.len() + encoded.len() > room {
            is_small = all.is_empty();
            return Ok(false);
        }
        all.extend_from_slice(&encoded);
        Ok(true)
    })?;
    if is_small {
        return Err(Errno::INVAL);
    }
    task.process.memory.write(to, &all)?;
    *position = end;
    Ok(all.len() as u64)
}

pub(super) fn getdents64(task: &mut Task, [fd, to, bytes, ..]: Args) -> Answer {
    list(task, fd, to, bytes, |entry, next| {
        let length = (DIRENT64_BYTES + entry.name.len() + 1).next_multiple_of(8);
        let mut encoded = Vec::with_capacity(length);
        encoded.extend_from_slice(entry.ino.as_bytes());
        encoded.extend_from_slice(next.as_bytes());
        encoded.extend_from_slice((length as u16).as_bytes());
        encoded.push(entry.file_type.number());
        encoded.extend_from_slice(&entry.name);
        encoded.resize(length, 0);
        encoded
    })
}

pub(super) fn getdents(task: &mut Task, [fd, to, bytes, ..]: Args) -> Answer {
    list(task, fd, to, bytes, |entry, next| {
        let length = (DIRENT_BYTES + entry.name.len() + 2).next_multiple_of(8);
        let mut encoded = Vec::with_capacity(length);
        encoded.extend_from_slice(entry.ino.as_bytes());
        encoded.extend_from_slice(next.as_bytes());
        encoded.extend_from_slice((length as u16).as_bytes());
        encoded.extend_from_slice(&entry.name);
        encoded.resize(length - 1, 0);
        encoded.push(entry.file_type.number()); // the type stands in the last byte
        encoded
    })
}

pub(super) fn getcwd(task: &mut Task, [to, bytes, ..]: Args) -> Answer {
    let current = task.process.files.current();
    let mut path = task.process.files.tree().path(current).ok_or(Errno::NOENT)?;
    path.push(0);
    if path.len() as u64 > bytes {
        return Err(Errno::RANGE);
    }
    task.process.memory.write(to, &path)?;
    Ok(path.len() as u64)
}

fn enter(task: &Task, node: NodeId) -> Answer {
    let identity = task.process.identity.with(|identity| identity.clone());
    if !task.process.files.is_directory(node) {
        return Err(Errno::NOTDIR);
    }
    task.process.files.tree().node(node).allows(identity.who(), Access::EXECUTE)?;
    task.process.files.set_current(node);
    Ok(0)
}

pub(super) fn chdir(task: &mut Task, [address, ..]: Args) -> Answer {
    match subject(task, AT_FDCWD, address, 0, Last::Follow)? {
        Subject::Target(Target::Node(held)) => enter(task, held.node()),
        _ => Err(Errno::NOTDIR),
    }
}

pub(super) fn fchdir(task: &mut Task, [fd, ..]: Args) -> Answer {
    let open = task.process.descriptors.get(fd)?;
    enter(task, open.object.node().ok_or(Errno::NOTDIR)?)
}

// Names.

fn masked(task: &Task, mode: u64) -> u32 {
    mode as u32 & 0o7777 & !task.process.umask.load(Relaxed)
}

pub(super) fn mkdir(task: &mut Task, [path, mode, ..]: Args) -> Answer {
    mkdirat(task, [AT_FDCWD, path, mode, 0, 0, 0])
}

pub(super) fn mkdirat(task: &mut Task, [fd, address, mode, ..]: Args) -> Answer {
    let path = path(task, address)?;
    let permissions = masked(task, mode) & 0o1777;
    task.process.change(from(task, fd, &path, Last::Name)?, &path, |tree, place, who, now| {
        tree.create(&place, New::directory(permissions), who, now).map(|_| 0)
    })
}

pub(super) fn mknod(task: &mut Task, [path, mode, device, ..]: Args) -> Answer {
    mknodat(task, [AT_FDCWD, path, mode, device, 0, 0])
}

pub(super) fn mknodat(task: &mut Task, [fd, address, mode, ..]: Args) -> Answer {
    let path = path(task, address)?;
    let permissions = masked(task, mode);
    let (file_type, payload) = match mode as u32 & raw::S_IFMT {
        0 | raw::S_IFREG => (FileType::Regular, Payload::Data(crate::files::FileData::empty())),
        raw::S_IFIFO => (FileType::Fifo, Payload::Fifo(Pipe::new())),
        raw::S_IFSOCK => (FileType::Socket, Payload::Socket(crate::sockets::unix_core::Bound::nobody())),
        raw::S_IFCHR | raw::S_IFBLK => return Err(Errno::PERM),
        _ => return Err(Errno::INVAL),
    };
    let new = New::file(file_type, permissions, payload);
    task.process.change(from(task, fd, &path, Last::Name)?, &path, |tree, place, who, now| {
        tree.create(&place, new, who, now).map(|_| 0)
    })
}

pub(super) fn symlink(task: &mut Task, [target, path, ..]: Args) -> Answer {
    symlinkat(task, [target, AT_FDCWD, path, 0, 0, 0])
}

pub(super) fn symlinkat(task: &mut Task, [target, fd, address, ..]: Args) -> Answer {
    let (target, path) = (path(task, target)?, path(task, address)?);
    if target.is_empty() {
        return Err(Errno::NOENT);
    }
    task.process.change(from(task, fd, &path, Last::Name)?, &path, |tree, place, who, now| {
        tree.create(&place, New::link(&target), who, now).map(|_| 0)
    })
}

pub(super) fn link(task: &mut Task, [old, new, ..]: Args) -> Answer {
    linkat(task, [AT_FDCWD, old, AT_FDCWD, new, 0, 0])
}

pub(super) fn linkat(task: &mut Task, [old_fd, old, new_fd, new, flags, _]: Args) -> Answer {
    check_flags(flags, AT_SYMLINK_FOLLOW | AT_EMPTY_PATH)?;
    let last = if flags as u32 & AT_SYMLINK_FOLLOW != 0 { Last::Follow } else { Last::Keep };
    let path = path(task, new)?;
    let there = from(task, new_fd, &path, Last::Name)?;
    let link = |node: NodeId| {
        task.process.change(there, &path, |tree, place, who, now| tree.link(node, &place, who, now).map(|()| 0))
    };
    match subject(task, old_fd, old, flags, last)? {
        Subject::Target(Target::Node(held)) => link(held.node()),
        Subject::Target(Target::Dynamic(dynamic)) => {
            // `/proc/self/fd/N`, followed: how an unnamed file gets its name.
            let node = open_behind(task, &dynamic)?.object.node().ok_or(Errno::XDEV)?;
            link(node)
        }
        Subject::Open(open) => link(open.object.node().ok_or(Errno::NOENT)?),
    }
}

pub(super) fn open_behind(task: &Task, dynamic: &Dynamic) -> Result<Arc<OpenFile>, Errno> {
    match task.process.find_made(dynamic)? {
        crate::files::Made::File(file) => Ok(file),
        _ => Err(Errno::XDEV),
    }
}

pub(super) fn unlink(task: &mut Task, [path, ..]: Args) -> Answer {
    unlinkat(task, [AT_FDCWD, path, 0, 0, 0, 0])
}

pub(super) fn rmdir(task: &mut Task, [path, ..]: Args) -> Answer {
    unlinkat(task, [AT_FDCWD, path, AT_REMOVEDIR.into(), 0, 0, 0])
}

pub(super) fn unlinkat(task: &mut Task, [fd, address, flags, ..]: Args) -> Answer {
    check_flags(flags, AT_REMOVEDIR)?;
    let path = path(task, address)?;
    let removes_directory = flags as u32 & AT_REMOVEDIR != 0;
    task.process.change(from(task, fd, &path, Last::Name)?, &path, |tree, place, who, now| {
        match removes_directory {
            true => tree.remove_directory(&place, who, now),
            false => tree.unlink(&place, who, now),
        }
        .map(|()| 0)
    })
}

pub(super) fn rename(task: &mut Task, [old, new, ..]: Args) -> Answer {
    renameat2(task, [AT_FDCWD, old, AT_FDCWD, new, 0, 0])
}

pub(super) fn renameat(task: &mut Task, [old_fd, old, new_fd, new, ..]: Args) -> Answer {
    renameat2(task, [old_fd, old, new_fd, new, 0, 0])
}

pub(super) fn renameat2(task: &mut Task, [old_fd, old, new_fd, new, flags, _]: Args) -> Answer {
    let exchange = match flags as u32 {
        0 => Exchange::Replace,
        raw::RENAME_NOREPLACE => Exchange::Refuse,
        raw::RENAME_EXCHANGE => Exchange::Swap,
        _ => return Err(Errno::INVAL),
    };
    let (old, new) = (path(task, old)?, path(task, new)?);
    let there = from(task, new_fd, &new, Last::Name)?;
    task.process.change(from(task, old_fd, &old, Last::Name)?, &old, |tree, place, who, now| {
        let to = tree.walk(there.start, &new, there.last, who)?.place()?;
        tree.rename(&place, &to, exchange, who, now).map(|()| 0)
    })
}

pub(super) fn readlink(task: &mut Task, [path, to, bytes, ..]: Args) -> Answer {
    readlinkat(task, [AT_FDCWD, path, to, bytes, 0, 0])
}

pub(super) fn readlinkat(task: &mut Task, [fd, path, to, bytes, ..]: Args) -> Answer {
    if bytes as i64 <= 0 {
        return Err(Errno::INVAL);
    }
    let in_tree = |node: NodeId, otherwise: Errno| match &task.process.files.tree().node(node).kind {
        Kind::Link(target) => Ok(target.to_vec()),
        _ => Err(otherwise),
    };
    let target = match subject(task, fd, path, AT_EMPTY_PATH.into(), Last::Keep)? {
        Subject::Target(Target::Node(held)) => in_tree(held.node(), Errno::INVAL)?,
        Subject::Target(Target::Dynamic(dynamic)) => task.process.link_of_dynamic(&dynamic)?,
        Subject::Open(open) => in_tree(open.object.node().ok_or(Errno::INVAL)?, Errno::NOENT)?,
    };
    let count = target.len().min(usize::try_from(bytes).unwrap_or(usize::MAX));
    task.process.memory.write(to, &target[..count])?;
    Ok(count as u64)
}
