//! Making, duplicating and closing descriptors.

use super::{Answer, Args};
use crate::files::FileData;
use crate::objects::eventfd::EventFile;
use crate::objects::memory_file::MemoryFile;
use crate::objects::pipe::End;
use crate::objects::{Object, OpenFile};
use crate::task::Task;
use toro::prelude::*;
use toro::sync::Arc;
use toro_linux_abi::errno::Errno;
use toro_linux_abi::raw::{self, O_CLOEXEC, O_DIRECT, O_NONBLOCK, O_RDONLY, O_RDWR, O_WRONLY};

/// Gives an object a descriptor; of `flags` those that descriptors have are kept.
pub(super) fn add(task: &Task, object: Box<dyn Object>, mode: u32, flags: u64) -> Answer {
    add_file(task, opened_file(object, mode, flags), flags)
}

/// The same without the descriptor.
pub(super) fn opened_file(object: Box<dyn Object>, mode: u32, flags: u64) -> Arc<OpenFile> {
    OpenFile::new(object, mode | flags as u32 & (O_NONBLOCK | O_DIRECT))
}

/// The same for what is open.
pub(super) fn add_file(task: &Task, file: Arc<OpenFile>, flags: u64) -> Answer {
    let close_on_exec = flags & u64::from(O_CLOEXEC) != 0;
    let end = task.process.limits.descriptors();
    task.process.descriptors.add_from(file, close_on_exec, 0, end).map(|fd| fd as u64)
}

pub(super) fn close(task: &mut Task, [fd, ..]: Args) -> Answer {
    let file = task.process.descriptors.close(fd)?;
    crate::sockets::linger(task, &file);
    drop(file);
    Ok(0)
}

pub(super) fn close_range(task: &mut Task, [first, last, flags, ..]: Args) -> Answer {
    const UNSHARE: u64 = 1 << 1;
    const CLOEXEC: u64 = 1 << 2;
    let (first, last) = (first as u32, last as u32);
    if first > last || flags & !(UNSHARE | CLOEXEC) != 0 {
        return Err(Errno::INVAL);
    }
    let descriptors = &task.process.descriptors;
    for fd in descriptors.numbers() {
        if !(first..=last).contains(&(fd as u32)) {
            continue;
        }
        // Another thread may have closed it meanwhile.
        if flags & CLOEXEC != 0 {
            let _gone = descriptors.set_close_on_exec(fd as u64, true);
        } else {
            let _gone = close(task, [fd as u64, 0, 0, 0, 0, 0]);
        }
    }
    Ok(0)
}

pub(super) fn dup(task: &mut Task, [fd, ..]: Args) -> Answer {
    let file = task.process.descriptors.get(fd)?;
    add_file(task, file, 0)
}

fn duplicate_to(task: &mut Task, fd: u64, to: u64, close_on_exec: bool) -> Answer {
    let file = task.process.descriptors.get(fd)?;
    let end = task.process.limits.descriptors();
    task.process.descriptors.set(to as i32, file, close_on_exec, end)?;
    Ok(to as i32 as u64)
}

pub(super) fn dup2(task: &mut Task, [fd, to, ..]: Args) -> Answer {
    if fd as i32 == to as i32 {
        return task.process.descriptors.get(fd).map(|_| to as i32 as u64);
    }
    duplicate_to(task, fd, to, false)
}

pub(super) fn dup3(task: &mut Task, [fd, to, flags, ..]: Args) -> Answer {
    if fd as i32 == to as i32 || flags & !u64::from(O_CLOEXEC) != 0 {
        return Err(Errno::INVAL);
    }
    duplicate_to(task, fd, to, flags & u64::from(O_CLOEXEC) != 0)
}

pub(super) fn pipe(task: &mut Task, [pair, ..]: Args) -> Answer {
    pipe2(task, [pair, 0, 0, 0, 0, 0])
}

pub(super) fn pipe2(task: &mut Task, [pair, flags, ..]: Args) -> Answer {
    if flags & !u64::from(O_CLOEXEC | O_NONBLOCK | O_DIRECT) != 0 {
        return Err(Errno::INVAL);
    }
    let (reader, writer) = End::pair(flags & u64::from(O_DIRECT) != 0);
    let one = add(task, Box::new(reader), O_RDONLY, flags & !u64::from(O_DIRECT))?;
    let give = |other: u64| task.process.memory.put(pair, &[one as i32, other as i32]).map(|()| 0);
    match add(task, Box::new(writer), O_WRONLY, flags)
        .and_then(|other| give(other).inspect_err(|_| forget(task, other)))
    {
        Ok(zero) => Ok(zero),
        Err(error) => {
            forget(task, one);
            Err(error)
        }
    }
}

/// Closes what was made for nothing.
pub(super) fn forget(task: &Task, fd: u64) {
    drop(task.process.descriptors.close(fd));
}

pub(super) fn eventfd(task: &mut Task, [count, ..]: Args) -> Answer {
    eventfd2(task, [count, 0, 0, 0, 0, 0])
}

pub(super) fn eventfd2(task: &mut Task, [count, flags, ..]: Args) -> Answer {
    let semaphore = u64::from(raw::EFD_SEMAPHORE);
    if flags & !(u64::from(O_CLOEXEC | O_NONBLOCK) | semaphore) != 0 {
        return Err(Errno::INVAL);
    }
    let object = EventFile::new((count as u32).into(), flags & semaphore != 0);
    add(task, Box::new(object), O_RDWR, flags)
}

pub(super) fn flock(task: &mut Task, [fd, operation, ..]: Args) -> Answer {
    let file = task.process.descriptors.get(fd)?;
    if file.is_path() {
        return Err(Errno::BADF);
    }
    super::locks::flock(task, &file, operation as u32)
}

pub(super) fn memfd_create(task: &mut Task, [name, flags, ..]: Args) -> Answer {
    let known = raw::MFD_CLOEXEC | raw::MFD_ALLOW_SEALING | raw::MFD_NOEXEC_SEAL | raw::MFD_EXEC;
    if flags & !u64::from(known) != 0 {
        return Err(Errno::INVAL);
    }
    let name = task.process.memory.text(name, 250).map_err(|error| match error {
        Errno::NAMETOOLONG => Errno::INVAL,
        error => error,
    })?;
    let object = MemoryFile::new(FileData::empty(), &name, flags as u32 & raw::MFD_ALLOW_SEALING != 0);
    let close_on_exec = if flags as u32 & raw::MFD_CLOEXEC != 0 { O_CLOEXEC } else { 0 };
    add(task, Box::new(object), O_RDWR, close_on_exec.into())
}

/// `F_ADD_SEALS` and `F_GET_SEALS`.
pub(super) fn seals(open: &OpenFile, command: u32, argument: u64) -> Answer {
    let file = open.object.as_memory_file().ok_or(Errno::INVAL)?;
    if command == raw::F_GET_SEALS {
        return Ok(file.seals().into());
    }
    open.check_write().map_err(|_| Errno::PERM)?;
    file.add_seals(argument as u32).map(|()| 0)
}
