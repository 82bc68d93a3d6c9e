//! Locks of files: whole ones, and of ranges.

use super::Answer;
use crate::locks::{Kind as LockKind, Mode};
use crate::objects::OpenFile;
use crate::task::Task;
use toro::sync::Arc;
use toro_linux_abi::errno::Errno;
use toro_linux_abi::layout::Flock;
use toro_linux_abi::raw;

/// The range that a lock is about.
fn lock_range(open: &OpenFile, lock: &Flock) -> Result<core::ops::Range<u64>, Errno> {
    let base = match lock.whence as u32 {
        raw::SEEK_SET => 0,
        raw::SEEK_CUR => *open.position.lock() as i64,
        raw::SEEK_END => open.object.data().map_or(0, |data| data.bytes()) as i64,
        _ => return Err(Errno::INVAL),
    };
    let start = base.checked_add(lock.start).ok_or(Errno::OVERFLOW)?;
    let (start, end) = match lock.len {
        0 => (start, i64::MAX),
        len if len > 0 => (start, start.checked_add(len).ok_or(Errno::OVERFLOW)?),
        len => (start.checked_add(len).ok_or(Errno::OVERFLOW)?, start),
    };
    Ok(u64::try_from(start).map_err(|_| Errno::INVAL)?..u64::try_from(end).map_err(|_| Errno::INVAL)?)
}

fn lock_mode(kind: i16) -> Result<Option<Mode>, Errno> {
    match kind as u32 {
        raw::F_RDLCK => Ok(Some(Mode::Shared)),
        raw::F_WRLCK => Ok(Some(Mode::Exclusive)),
        raw::F_UNLCK => Ok(None),
        _ => Err(Errno::INVAL),
    }
}

/// `F_GETLK` and `F_OFD_GETLK`.
pub(super) fn test_lock(task: &Task, open: &OpenFile, address: u64) -> Answer {
    let mut lock: Flock = task.process.memory.get(address)?;
    let mode = lock_mode(lock.kind)?.ok_or(Errno::INVAL)?;
    let range = lock_range(open, &lock)?;
    let ino = open.object.status().ino;
    match task.process.locks.conflict(LockKind::Range, open, ino, &range, mode) {
        None => lock.kind = raw::F_UNLCK as i16,
        Some((there, mode)) => {
            let end = if there.end == i64::MAX as u64 { 0 } else { there.end - there.start };
            lock = Flock {
                kind: if mode == Mode::Shared { raw::F_RDLCK } else { raw::F_WRLCK } as i16,
                whence: raw::SEEK_SET as i16,
                start: there.start as i64,
                len: end as i64,
                pid: -1,
                ..lock
            };
        }
    }
    task.process.memory.put(address, &lock).map(|()| 0)
}

/// `F_SETLK`, `F_OFD_SETLK`, and those that wait.
pub(super) fn set_lock(task: &mut Task, open: &Arc<OpenFile>, command: u32, address: u64) -> Answer {
    let lock: Flock = task.process.memory.get(address)?;
    let mode = lock_mode(lock.kind)?;
    let range = lock_range(open, &lock)?;
    match mode {
        Some(Mode::Shared) => open.check_read()?,
        Some(Mode::Exclusive) => open.check_write()?,
        None => {}
    }
    if matches!(command, raw::F_SETLK | raw::F_SETLKW) {
        return Ok(0); // of the program, which is alone
    }
    if lock.pid != 0 {
        return Err(Errno::INVAL);
    }
    take_lock(task, open, LockKind::Range, range, mode, command == raw::F_OFD_SETLKW)
}

fn take_lock(
    task: &mut Task,
    open: &Arc<OpenFile>,
    kind: LockKind,
    range: core::ops::Range<u64>,
    mode: Option<Mode>,
    waits: bool,
) -> Answer {
    let locks = &task.process.locks;
    let ino = open.object.status().ino;
    match locks.set(kind, open, ino, &range, mode) {
        Err(Errno::AGAIN) if waits => {
            let set = |_: &mut Task| locks.set(kind, open, ino, &range, mode).ok();
            task.wait_for(&locks.source, None, set)?;
            Ok(0)
        }
        set => set.map(|()| 0),
    }
}

/// `flock`.
const LOCK_MAND: u32 = 32;

pub(super) fn flock(task: &mut Task, open: &Arc<OpenFile>, operation: u32) -> Answer {
    if operation & LOCK_MAND != 0 {
        return Ok(0); // locks that are not advisory: Linux has dropped them so
    }
    let mode = match operation & !raw::LOCK_NB {
        raw::LOCK_SH => Some(Mode::Shared),
        raw::LOCK_EX => Some(Mode::Exclusive),
        raw::LOCK_UN => None,
        _ => return Err(Errno::INVAL),
    };
    take_lock(task, open, LockKind::Whole, 0..u64::MAX, mode, operation & raw::LOCK_NB == 0)
}
