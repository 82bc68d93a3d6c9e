//! Reading and writing: the loops around objects that never wait themselves.

use super::{Answer, Args};
use crate::memory::Transfer;
use crate::objects::{OpenFile, Whence};
use crate::signals::{Target, send};
use crate::task::{Task, Waited};
use crate::time;
use toro::prelude::*;
use toro::sync::Arc;
use toro::user::Access;
use toro_linux_abi::errno::Errno;
use toro_linux_abi::layout::Iovec;
use toro_linux_abi::raw::{self, O_APPEND, O_NONBLOCK};
use toro_linux_abi::signals::SignalInfo;

/// Most pieces of a vector.
const VECTORS_MAX: u64 = 1024;
/// Most bytes of one call, as Linux has it.
pub(super) const BYTES_MAX: usize = 0x7fff_f000;

pub(super) fn file(task: &Task, fd: u64) -> Result<Arc<OpenFile>, Errno> {
    task.process.descriptors.get(fd)
}

/// One piece of the program's memory.
fn piece(task: &Task, access: Access, address: u64, bytes: u64) -> Result<Transfer<'static>, Errno> {
    let mut transfer = Transfer::new(&task.process.memory, access, address, bytes)?;
    transfer.limit(BYTES_MAX);
    Ok(transfer)
}

/// The pieces of a vector.
pub(super) fn pieces(task: &Task, access: Access, address: u64, count: u64) -> Result<Transfer<'static>, Errno> {
    let memory = &task.process.memory;
    if count > VECTORS_MAX {
        return Err(Errno::INVAL);
    }
    let vectors: Vec<Iovec> = memory.get_list(address, count as usize)?;
    let pieces: Vec<(u64, u64)> = vectors.iter().map(|vector| (vector.base, vector.bytes)).collect();
    let mut transfer = Transfer::of_pieces(memory, access, &pieces)?;
    transfer.limit(BYTES_MAX);
    Ok(transfer)
}

/// When a wait for `patience_ns` from now on ends.
fn deadline(patience_ns: Option<u64>) -> Option<u64> {
    patience_ns.map(|ns| time::now_ns().saturating_add(ns))
}

/// Repeats `attempt` until it has an answer: makes pages that were missing, and waits where the object has nothing, if that is
/// wanted. What was moved before an error counts.
pub(super) fn repeat(
    task: &mut Task,
    open: &OpenFile,
    transfer: &mut Transfer<'_>,
    may_wait: bool,
    patience_ns: Option<u64>,
    is_whole: bool,
    mut attempt: impl FnMut(&mut Transfer<'_>) -> Result<usize, Errno>,
) -> Result<usize, Errno> {
    let mut done = 0;
    let mut until = None;
    loop {
        let before = transfer.clone();
        let error = match attempt(transfer) {
            Ok(bytes) => {
                done += bytes;
                if transfer.is_stuck() {
                    match transfer.settle() {
                        Ok(()) => continue,
                        Err(_) if done > 0 => return Ok(done),
                        Err(error) => return Err(error),
                    }
                }
                if !is_whole || bytes == 0 || transfer.left() == 0 {
                    return Ok(done);
                }
                continue;
            }
            Err(Errno::AGAIN) if transfer.is_stuck() => match transfer.settle() {
                Ok(()) => {
                    *transfer = before;
                    continue;
                }
                Err(error) => error,
            },
            Err(error) => error,
        };
        if error != Errno::AGAIN || !may_wait {
            return if done > 0 { Ok(done) } else { Err(error) };
        }
        *transfer = before;
        let Some(source) = open.object.source() else { return Err(error) };
        if until.is_none() {
            until = deadline(patience_ns);
        }
        let mut outcome = Err(Errno::AGAIN);
        let waited = task.wait_for(source, until, |_| {
            let before = transfer.clone();
            outcome = attempt(transfer);
            match outcome {
                Err(Errno::AGAIN) if !transfer.is_stuck() => {
                    *transfer = before;
                    None
                }
                _ => Some(()),
            }
        });
        match (waited, outcome) {
            (Ok(()), Ok(bytes)) => {
                done += bytes;
                if transfer.is_stuck() {
                    if let Err(error) = transfer.settle() {
                        return if done > 0 { Ok(done) } else { Err(error) };
                    }
                    if bytes > 0 && !is_whole {
                        return Ok(done);
                    }
                } else if !is_whole || bytes == 0 || transfer.left() == 0 {
                    return Ok(done);
                }
            }
            (Ok(()), Err(error)) => {
                let error = match transfer.is_stuck().then(|| transfer.settle()) {
                    Some(Ok(())) => continue,
                    Some(Err(missing)) => missing,
                    None => error,
                };
                return if done > 0 { Ok(done) } else { Err(error) };
            }
            (Err(_), _) if done > 0 => return Ok(done),
            (Err(Waited::Interrupted), _) if patience_ns.is_some() => return Err(Errno::INTR),
            (Err(waited), _) => return Err(waited.into()),
        }
    }
}

/// Reads, and waits if the file wants that.
pub(super) fn read_whole(task: &mut Task, open: &OpenFile, to: &mut Transfer<'_>) -> Result<usize, Errno> {
    let patience_ns = open.object.patience_ns().0;
    repeat(task, open, to, !open.is_nonblocking(), patience_ns, false, |to| open.object.read(open, to))
}

/// Writes all, and waits if the file wants that. Who writes to a stream that nobody reads gets a signal.
pub(super) fn write_whole(task: &mut Task, open: &OpenFile, from: &mut Transfer<'_>) -> Result<usize, Errno> {
    write_all(task, open, from, true)
}

/// The same, but waits only if that is wanted here, too.
pub(super) fn write_all(
    task: &mut Task,
    open: &OpenFile,
    from: &mut Transfer<'_>,
    may_wait: bool,
) -> Result<usize, Errno> {
    let patience_ns = open.object.patience_ns().1;
    let waits = may_wait && !open.is_nonblocking();
    let written = repeat(task, open, from, waits, patience_ns, true, |from| open.object.write(open, from));
    // Sockets of messages tell it by the error alone.
    let is_stream = open.object.as_socket().is_none_or(|socket| socket.kind() == raw::net::SOCK_STREAM);
    if written == Err(Errno::PIPE) && is_stream {
        broken_pipe(task);
    }
    if open.object.as_socket().is_some() {
        super::messages::after_send(task);
    }
    written
}

/// Nobody reads what this thread writes.
pub(super) fn broken_pipe(task: &Task) {
    let info = SignalInfo::from_process(raw::SIGPIPE, raw::SI_USER as i32, task.process.pid, 0);
    let _one_waits_already = send(task.process, Target::Task(&task.handle), info);
}

fn counted(result: Result<usize, Errno>) -> Answer {
    result.map(|bytes| bytes as u64)
}

pub(super) fn read(task: &mut Task, [fd, buffer, bytes, ..]: Args) -> Answer {
    let open = file(task, fd)?;
    open.check_read()?;
    let mut to = piece(task, Access::Write, buffer, bytes)?;
    counted(read_whole(task, &open, &mut to))
}

pub(super) fn write(task: &mut Task, [fd, buffer, bytes, ..]: Args) -> Answer {
    let open = file(task, fd)?;
    open.check_write()?;
    let mut from = piece(task, Access::Read, buffer, bytes)?;
    counted(write_whole(task, &open, &mut from))
}

pub(super) fn readv(task: &mut Task, [fd, vectors, count, ..]: Args) -> Answer {
    let open = file(task, fd)?;
    open.check_read()?;
    let mut to = pieces(task, Access::Write, vectors, count)?;
    counted(read_whole(task, &open, &mut to))
}

pub(super) fn writev(task: &mut Task, [fd, vectors, count, ..]: Args) -> Answer {
    let open = file(task, fd)?;
    open.check_write()?;
    let mut from = pieces(task, Access::Read, vectors, count)?;
    counted(write_whole(task, &open, &mut from))
}

fn read_at(task: &mut Task, open: &OpenFile, to: &mut Transfer<'_>, offset: u64) -> Answer {
    open.check_read()?;
    let mut at = i64::try_from(offset).map_err(|_| Errno::INVAL)? as u64;
    counted(repeat(task, open, to, false, None, true, |to| {
        let bytes = open.object.read_at(to, at)?;
        at += bytes as u64;
        Ok(bytes)
    }))
}

fn write_at(task: &mut Task, open: &OpenFile, from: &mut Transfer<'_>, offset: u64, append: bool) -> Answer {
    open.check_write()?;
    let mut at = i64::try_from(offset).map_err(|_| Errno::INVAL)? as u64;
    counted(repeat(task, open, from, false, None, true, |from| {
        let bytes = open.object.write_at(from, if append { None } else { Some(at) })?;
        at += bytes as u64;
        Ok(bytes)
    }))
}

pub(super) fn pread64(task: &mut Task, [fd, buffer, bytes, offset, ..]: Args) -> Answer {
    let open = file(task, fd)?;
    let mut to = piece(task, Access::Write, buffer, bytes)?;
    read_at(task, &open, &mut to, offset)
}

pub(super) fn pwrite64(task: &mut Task, [fd, buffer, bytes, offset, ..]: Args) -> Answer {
    let open = file(task, fd)?;
    let mut from = piece(task, Access::Read, buffer, bytes)?;
    let append = open.flags() & O_APPEND != 0;
    write_at(task, &open, &mut from, offset, append)
}

pub(super) fn preadv(task: &mut Task, [fd, vectors, count, offset, ..]: Args) -> Answer {
    let open = file(task, fd)?;
    let mut to = pieces(task, Access::Write, vectors, count)?;
    read_at(task, &open, &mut to, offset)
}

pub(super) fn pwritev(task: &mut Task, [fd, vectors, count, offset, ..]: Args) -> Answer {
    let open = file(task, fd)?;
    let mut from = pieces(task, Access::Read, vectors, count)?;
    let append = open.flags() & O_APPEND != 0;
    write_at(task, &open, &mut from, offset, append)
}

/// Flags of `preadv2` and `pwritev2` that are heeded, or ask for what is so anyway.
const RWF_KNOWN: u64 = (raw::RWF_HIPRI | raw::RWF_DSYNC | raw::RWF_SYNC | raw::RWF_NOWAIT | raw::RWF_APPEND) as u64;

pub(super) fn preadv2(task: &mut Task, [fd, vectors, count, offset, _, flags]: Args) -> Answer {
    if flags & !RWF_KNOWN != 0 {
        return Err(Errno::OPNOTSUPP);
    }
    if offset != u64::MAX {
        return preadv(task, [fd, vectors, count, offset, 0, 0]);
    }
    let open = file(task, fd)?;
    open.check_read()?;
    let mut to = pieces(task, Access::Write, vectors, count)?;
    let waits = flags & u64::from(raw::RWF_NOWAIT) == 0 && !open.is_nonblocking();
    let patience_ns = open.object.patience_ns().0;
    counted(repeat(task, &open, &mut to, waits, patience_ns, false, |to| open.object.read(&open, to)))
}

pub(super) fn pwritev2(task: &mut Task, [fd, vectors, count, offset, _, flags]: Args) -> Answer {
    if flags & !RWF_KNOWN != 0 {
        return Err(Errno::OPNOTSUPP);
    }
    let open = file(task, fd)?;
    let mut from = pieces(task, Access::Read, vectors, count)?;
    let appends = flags & u64::from(raw::RWF_APPEND) != 0;
    if offset != u64::MAX {
        return write_at(task, &open, &mut from, offset, appends || open.flags() & O_APPEND != 0);
    }
    open.check_write()?;
    if appends && let Some(data) = open.object.data() {
        let written = repeat(task, &open, &mut from, false, None, true, |from| open.object.write_at(from, None))?;
        *open.position.lock() = data.bytes();
        return Ok(written as u64);
    }
    let waits = flags & u64::from(raw::RWF_NOWAIT) == 0;
    counted(write_all(task, &open, &mut from, waits))
}

pub(super) fn lseek(task: &mut Task, [fd, offset, whence, ..]: Args) -> Answer {
    let open = file(task, fd)?;
    if open.is_path() {
        return Err(Errno::BADF);
    }
    let whence = match whence as u32 {
        raw::SEEK_SET => Whence::Set,
        raw::SEEK_CUR => Whence::Current,
        raw::SEEK_END => Whence::End,
        raw::SEEK_DATA => Whence::Data,
        raw::SEEK_HOLE => Whence::Hole,
        _ => return Err(Errno::INVAL),
    };
    open.object.seek(&open, offset as i64, whence)
}

pub(super) fn ioctl(task: &mut Task, [fd, request, argument, ..]: Args) -> Answer {
    use raw::ioctl::{FIOCLEX, FIONBIO, FIONCLEX, FIONREAD};
    let open = file(task, fd)?;
    if open.is_path() {
        return Err(Errno::BADF);
    }
    match request as u32 {
        FIONBIO => {
            let on = task.process.memory.get::<i32>(argument)? != 0;
            open.set_flags(if on { open.flags() | O_NONBLOCK } else { open.flags() & !O_NONBLOCK });
            Ok(0)
        }
        FIONREAD if let Some(data) = open.object.data() => {
            let left = data.bytes().saturating_sub(*open.position.lock());
            task.process.memory.put(argument, &(left.min(i32::MAX as u64) as i32)).map(|()| 0)
        }
        FIOCLEX => task.process.descriptors.set_close_on_exec(fd, true).map(|()| 0),
        FIONCLEX => task.process.descriptors.set_close_on_exec(fd, false).map(|()| 0),
        request => open.object.control(task, request, argument),
    }
}

pub(super) fn fcntl(task: &mut Task, [fd, command, argument, ..]: Args) -> Answer {
    let open = file(task, fd)?;
    let descriptors = &task.process.descriptors;
    let duplicate = |close_on_exec| {
        let end = task.process.limits.descriptors();
        let least = usize::try_from(argument as i32).ok().filter(|least| *least < end).ok_or(Errno::INVAL)?;
        descriptors.add_from(Arc::clone(&open), close_on_exec, least, end).map(|fd| fd as u64)
    };
    match command as u32 {
        raw::F_DUPFD => duplicate(false),
        raw::F_DUPFD_CLOEXEC => duplicate(true),
        raw::F_GETFD => Ok(u64::from(descriptors.close_on_exec(fd)?)),
        raw::F_SETFD => {
            descriptors.set_close_on_exec(fd, argument & u64::from(raw::FD_CLOEXEC) != 0)?;
            Ok(0)
        }
        raw::F_GETFL => {
            Ok((open.flags() & !(raw::O_CREAT | raw::O_EXCL | raw::O_TRUNC | raw::O_NOCTTY | raw::O_CLOEXEC)).into())
        }
        raw::F_SETFL => {
            if open.is_path() {
                return Err(Errno::BADF);
            }
            // There is no signal for what has become possible.
            if argument as u32 & raw::FASYNC != 0 && open.object.source().is_some() {
                return Err(Errno::INVAL);
            }
            open.set_flags(argument as u32);
            Ok(0)
        }
        raw::F_GETLK | raw::F_OFD_GETLK => super::locks::test_lock(task, &open, argument),
        raw::F_SETLK | raw::F_SETLKW | raw::F_OFD_SETLK | raw::F_OFD_SETLKW => {
            super::locks::set_lock(task, &open, command as u32, argument)
        }
        raw::F_SETPIPE_SZ => {
            let pipe = open.object.as_pipe().ok_or(Errno::BADF)?;
            pipe.set_capacity(argument as u32 as usize).map(|bytes| bytes as u64)
        }
        raw::F_GETPIPE_SZ => open.object.pipe_bytes().map(|bytes| bytes as u64).ok_or(Errno::BADF),
        raw::F_ADD_SEALS | raw::F_GET_SEALS => super::descriptors::seals(&open, command as u32, argument),
        _ => Err(Errno::INVAL),
    }
}
