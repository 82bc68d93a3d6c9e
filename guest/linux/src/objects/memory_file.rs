//! What `memfd_create` makes: a regular file without a name, whose owner may seal it.

use super::{Object, OpenFile, Whence};
use crate::files::{FileData, Files, anonymous_status};
use crate::memory::Transfer;
use crate::process;
use core::sync::atomic::{AtomicU32, Ordering::SeqCst};
use toro::prelude::*;
use toro::sync::Arc;
use toro_linux_abi::errno::Errno;
use toro_linux_abi::layout::Stat;
use toro_linux_abi::raw::{F_SEAL_FUTURE_WRITE, F_SEAL_GROW, F_SEAL_SEAL, F_SEAL_SHRINK, F_SEAL_WRITE};
use toro_linux_abi::tree::FileType;

const SEALS: u32 = F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE | F_SEAL_FUTURE_WRITE;

/// A file without a name.
pub(crate) struct MemoryFile {
    data: Arc<FileData>,
    name: Vec<u8>,
    seals: AtomicU32,
    ino: u64,
}

impl MemoryFile {
    /// A file with these contents.
    pub(crate) fn new(data: Arc<FileData>, name: &[u8], can_be_sealed: bool) -> Self {
        let seals = AtomicU32::new(if can_be_sealed { 0 } else { F_SEAL_SEAL });
        MemoryFile { data, name: [b"/memfd:", name].concat(), seals, ino: process::get().files.next_ino() }
    }

    /// What it is sealed against.
    pub(crate) fn seals(&self) -> u32 {
        self.seals.load(SeqCst)
    }

    /// Whether nobody may write it any more, but through mappings that were there before.
    pub(crate) fn is_sealed_against_writing(&self) -> bool {
        self.seals() & (F_SEAL_WRITE | F_SEAL_FUTURE_WRITE) != 0
    }

    /// Seals it against more.
    pub(crate) fn add_seals(&self, seals: u32) -> Result<(), Errno> {
        if seals & !SEALS != 0 {
            return Err(Errno::INVAL);
        }
        if self.seals() & F_SEAL_SEAL != 0 {
            return Err(Errno::PERM);
        }
        if seals & F_SEAL_WRITE != 0 && process::get().memory.shows_writable(&self.data) {
            return Err(Errno::BUSY); // it may be mapped for writing
        }
        self.seals.fetch_or(seals, SeqCst);
        Ok(())
    }

    /// Whether it may get that long.
    pub(crate) fn check_bytes(&self, bytes: u64) -> Result<(), Errno> {
        let (now, seals) = (self.data.bytes(), self.seals());
        let refused = bytes < now && seals & F_SEAL_SHRINK != 0 || bytes > now && seals & F_SEAL_GROW != 0;
        if refused { Err(Errno::PERM) } else { Ok(()) }
    }

    fn write_to(&self, from: &mut Transfer<'_>, offset: Option<u64>) -> Result<(usize, u64), Errno> {
        if self.is_sealed_against_writing() {
            return Err(Errno::PERM);
        }
        let end = offset.unwrap_or_else(|| self.data.bytes()).saturating_add(from.left() as u64);
        if end > self.data.bytes() {
            self.check_bytes(end)?;
        }
        let process = process::get();
        let (bytes, end, moved) = self.data.write_at(from, offset, process.limits.file_bytes())?;
        process.forget_moved(&self.data, moved);
        Ok((bytes, end))
    }
}

impl Object for MemoryFile {
    fn read(&self, open: &OpenFile, to: &mut Transfer<'_>) -> Result<usize, Errno> {
        let mut position = open.position.lock();
        let bytes = self.data.read_at(to, *position);
        *position += bytes as u64;
        Ok(bytes)
    }

    fn write(&self, open: &OpenFile, from: &mut Transfer<'_>) -> Result<usize, Errno> {
        let mut position = open.position.lock();
        let offset = if Files::appends(open.flags()) { None } else { Some(*position) };
        let (bytes, end) = self.write_to(from, offset)?;
        *position = end;
        Ok(bytes)
    }

    fn read_at(&self, to: &mut Transfer<'_>, offset: u64) -> Result<usize, Errno> {
        Ok(self.data.read_at(to, offset))
    }

    fn write_at(&self, from: &mut Transfer<'_>, offset: Option<u64>) -> Result<usize, Errno> {
        self.write_to(from, offset).map(|(bytes, _)| bytes)
    }

    fn seek(&self, open: &OpenFile, offset: i64, whence: Whence) -> Result<u64, Errno> {
        super::regular::seek(&self.data, open, offset, whence)
    }

    fn status(&self) -> Stat {
        let bytes = self.data.bytes();
        Stat {
            nlink: 0,
            size: bytes as i64,
            blocks: (self.data.pages_used() * 8) as i64,
            ..anonymous_status(FileType::Regular, 0o777, self.ino)
        }
    }

    fn name(&self) -> Vec<u8> {
        [&self.name[..], b" (deleted)"].concat()
    }

    fn data(&self) -> Option<&Arc<FileData>> {
        Some(&self.data)
    }

    fn as_memory_file(&self) -> Option<&MemoryFile> {
        Some(self)
    }
}
