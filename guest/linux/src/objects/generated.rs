//! Texts that the kernel makes when they are read, as in `/proc`.

use super::{Object, OpenFile, Whence};
use crate::files::{Generated, Held};
use crate::memory::Transfer;
use crate::process;
use toro::prelude::*;
use toro::sync::Mutex;
use toro_linux_abi::errno::Errno;
use toro_linux_abi::layout::Stat;
use toro_linux_abi::tree::NodeId;

/// A text that was opened: as it was when it was last read from its beginning.
pub(crate) struct GeneratedFile {
    held: Option<Held>,
    what: Generated,
    path: Vec<u8>,
    text: Mutex<Option<Vec<u8>>>,
}

impl GeneratedFile {
    /// The text that is held.
    pub(crate) fn new(held: Held, what: Generated, path: Vec<u8>) -> Self {
        GeneratedFile { held: Some(held), what, path, text: Mutex::new(None) }
    }

    /// A text that has no place in the tree.
    pub(crate) fn made_up(what: Generated, path: Vec<u8>) -> Self {
        GeneratedFile { held: None, what, path, text: Mutex::new(None) }
    }

    fn give(&self, to: &mut Transfer<'_>, offset: u64) -> usize {
        let mut text = self.text.lock();
        if offset == 0 || text.is_none() {
            *text = Some(self.what.text(process::get()));
        }
        let rest = usize::try_from(offset).ok().and_then(|offset| text.as_deref()?.get(offset..));
        rest.map_or(0, |rest| to.give(rest))
    }
}

impl Object for GeneratedFile {
    fn read(&self, open: &OpenFile, to: &mut Transfer<'_>) -> Result<usize, Errno> {
        let mut position = open.position.lock();
        let bytes = self.give(to, *position);
        *position += bytes as u64;
        Ok(bytes)
    }

    fn read_at(&self, to: &mut Transfer<'_>, offset: u64) -> Result<usize, Errno> {
        Ok(self.give(to, offset))
    }

    fn write(&self, _open: &OpenFile, from: &mut Transfer<'_>) -> Result<usize, Errno> {
        let mut bytes = [0; 64];
        let count = from.take(&mut bytes);
        if count == 0 {
            return Ok(0);
        }
        self.what.set(process::get(), &bytes[..count])?;
        Ok(count)
    }

    fn seek(&self, open: &OpenFile, offset: i64, whence: Whence) -> Result<u64, Errno> {
        let mut position = open.position.lock();
        let base = match whence {
            Whence::Set => 0,
            Whence::Current => *position,
            // A file like any other to programs, which ask how long it is.
            Whence::End if self.what == Generated::Resolver => self.what.text(process::get()).len() as u64,
            _ => return Err(Errno::INVAL),
        };
        *position = base.checked_add_signed(offset).ok_or(Errno::INVAL)?;
        Ok(*position)
    }

    fn status(&self) -> Stat {
        match &self.held {
            Some(held) => process::get().files.status(held.node()),
            None => {
                let now = crate::time::wall();
                let status = crate::files::anonymous_status(toro_linux_abi::tree::FileType::Regular, 0o444, 2);
                Stat { atime: now, mtime: now, ctime: now, blksize: 1024, ..status }
            }
        }
    }

    fn name(&self) -> Vec<u8> {
        self.path.clone()
    }

    fn node(&self) -> Option<NodeId> {
        self.held.as_ref().map(Held::node)
    }
}
