//! Regular files.

use super::{Object, OpenFile, Whence};
use crate::files::{FileData, Files, Held};
use crate::memory::Transfer;
use crate::{process, time};
use toro::prelude::*;
use toro::sync::Arc;
use toro_linux_abi::errno::Errno;
use toro_linux_abi::layout::Stat;
use toro_linux_abi::tree::NodeId;

/// A regular file that was opened.
#[derive(Debug)]
pub(crate) struct Regular {
    held: Held,
    data: Arc<FileData>,
    path: Vec<u8>,
}

impl Regular {
    /// The file that is held, with these contents.
    pub(crate) fn new(held: Held, data: Arc<FileData>, path: Vec<u8>) -> Self {
        Regular { held, data, path }
    }
}

impl Object for Regular {
    fn read(&self, open: &OpenFile, to: &mut Transfer<'_>) -> Result<usize, Errno> {
        let mut position = open.position.lock();
        if position.saturating_add(to.left() as u64) > i64::MAX as u64 {
            return Err(Errno::INVAL);
        }
        let bytes = self.data.read_at(to, *position);
        *position += bytes as u64;
        Ok(bytes)
    }

    fn write(&self, open: &OpenFile, from: &mut Transfer<'_>) -> Result<usize, Errno> {
        let mut position = open.position.lock();
        let offset = if Files::appends(open.flags()) { None } else { Some(*position) };
        let process = process::get();
        let (bytes, end, moved) = self.data.write_at(from, offset, process.limits.file_bytes())?;
        *position = end;
        process.forget_moved(&self.data, moved);
        Ok(bytes)
    }

    fn read_at(&self, to: &mut Transfer<'_>, offset: u64) -> Result<usize, Errno> {
        Ok(self.data.read_at(to, offset))
    }

    fn write_at(&self, from: &mut Transfer<'_>, offset: Option<u64>) -> Result<usize, Errno> {
        let process = process::get();
        let (bytes, _, moved) = self.data.write_at(from, offset, process.limits.file_bytes())?;
        process.forget_moved(&self.data, moved);
        Ok(bytes)
    }

    fn seek(&self, open: &OpenFile, offset: i64, whence: Whence) -> Result<u64, Errno> {
        seek(&self.data, open, offset, whence)
    }

    fn status(&self) -> Stat {
        process::get().files.status(self.held.node())
    }

    fn reopen(&self, flags: u32) -> Result<Arc<OpenFile>, Errno> {
        let process = process::get();
        process.files.tree().hold(self.held.node());
        let held = Held::of(self.held.node());
        if flags & toro_linux_abi::raw::O_TRUNC != 0 && Files::directions(flags).1 {
            let moved = self.data.set_bytes(0)?;
            process.forget_moved(&self.data, moved);
        }
        let object = Regular::new(held, Arc::clone(&self.data), self.path.clone());
        Ok(OpenFile::new(Box::new(object), flags))
    }

    fn name(&self) -> Vec<u8> {
        let mut name = self.path.clone();
        if process::get().files.tree().node(self.held.node()).links == 0 && !name.ends_with(b" (deleted)") {
            name.extend_from_slice(b" (deleted)");
        }
        name
    }

    fn node(&self) -> Option<NodeId> {
        Some(self.held.node())
    }

    fn data(&self) -> Option<&Arc<FileData>> {
        Some(&self.data)
    }
}

impl Drop for Regular {
    /// What was written stays in the file's times.
    fn drop(&mut self) {
        if let Some(ns) = self.data.written_ns() {
            let now = time::timespec(ns);
            let mut tree = process::get().files.tree();
            let times = &mut tree.node_mut(self.held.node()).times;
            (times.modify, times.change) = (now, now);
            drop(tree);
            self.data.forget_written();
        }
    }
}

/// Moves the position in a file with these contents.
pub(crate) fn seek(data: &FileData, open: &OpenFile, offset: i64, whence: Whence) -> Result<u64, Errno> {
    let mut position = open.position.lock();
    let base = match whence {
        Whence::Set => 0,
        Whence::Current => *position,
        Whence::End => data.bytes(),
        Whence::Data | Whence::Hole => {
            let offset = u64::try_from(offset).map_err(|_| Errno::NXIO)?;
            *position = data.seek(offset, whence == Whence::Data).ok_or(Errno::NXIO)?;
            return Ok(*position);
        }
    };
    let new = base.checked_add_signed(offset).filter(|new| i64::try_from(*new).is_ok()).ok_or(Errno::INVAL)?;
    *position = new;
    Ok(new)
}
