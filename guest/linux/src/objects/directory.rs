//! Directories that are read.

use super::{Object, OpenFile, Whence};
use crate::files::{DynamicDirectory, Held, anonymous_status};
use crate::process;
use toro::prelude::*;
use toro::sync::Mutex;
use toro_linux_abi::errno::Errno;
use toro_linux_abi::layout::Stat;
use toro_linux_abi::tree::{FileType, Kind, NodeId};

/// A name in a directory.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    /// The name.
    pub name: Vec<u8>,
    /// The file's number.
    pub ino: u64,
    /// What it is.
    pub file_type: FileType,
}

/// A directory that was opened, with what was in it when it was first read, or read anew from the beginning.
pub(crate) struct Directory {
    place: Place,
    path: Vec<u8>,
    entries: Mutex<Option<Vec<Entry>>>,
}

enum Place {
    /// In the tree.
    Held(Held),
    /// Below one that the kernel makes up.
    MadeUp(DynamicDirectory),
}

impl Directory {
    /// The directory that is held.
    pub(crate) fn new(held: Held, path: Vec<u8>) -> Self {
        Directory { place: Place::Held(held), path, entries: Mutex::new(None) }
    }

    /// One that the kernel makes up, and that has no place in the tree.
    pub(crate) fn made_up(directory: DynamicDirectory, path: Vec<u8>) -> Self {
        Directory { place: Place::MadeUp(directory), path, entries: Mutex::new(None) }
    }

    fn list(&self) -> Vec<Entry> {
        let process = process::get();
        let node = match &self.place {
            Place::Held(held) => held.node(),
            Place::MadeUp(directory) => return directory.list(process),
        };
        let tree = process.files.tree();
        let dot =
            |name: &[u8], node| Entry { name: name.to_vec(), ino: tree.node(node).ino, file_type: FileType::Directory };
        let mut entries = vec![dot(b".", node), dot(b"..", tree.parent(node))];
        let made_up = if let Kind::Dynamic(which) = tree.node(node).kind { Some(which) } else { None };
        entries.extend(tree.list(node).map(|(name, ino, file_type)| Entry { name: name.to_vec(), ino, file_type }));
        drop(tree);
        if let Some(directory) = made_up.and_then(DynamicDirectory::from_number) {
            entries.extend(directory.list(process));
        }
        entries
    }

    /// Hands entries from a position on to `take`, until it is full; the position then.
    pub(crate) fn read(
        &self,
        position: u64,
        mut take: impl FnMut(&Entry, u64) -> Result<bool, Errno>,
    ) -> Result<u64, Errno> {
        let mut entries = self.entries.lock();
        if position == 0 || entries.is_none() {
            *entries = Some(self.list());
        }
        let list = entries.as_deref().unwrap_or_default();
        let mut at = position;
        while let Some(entry) = usize::try_from(at).ok().and_then(|at| list.get(at)) {
            if !take(entry, at + 1)? {
                break;
            }
            at += 1;
        }
        Ok(at)
    }
}

impl Object for Directory {
    fn read(&self, _open: &OpenFile, _to: &mut crate::memory::Transfer<'_>) -> Result<usize, Errno> {
        Err(Errno::ISDIR)
    }

    fn read_at(&self, _to: &mut crate::memory::Transfer<'_>, _offset: u64) -> Result<usize, Errno> {
        Err(Errno::ISDIR)
    }

    fn seek(&self, open: &OpenFile, offset: i64, whence: Whence) -> Result<u64, Errno> {
        let mut position = open.position.lock();
        let new = match whence {
            Whence::Set => Some(offset),
            Whence::Current => offset.checked_add_unsigned(*position),
            _ => None,
        };
        *position = new.and_then(|new| u64::try_from(new).ok()).ok_or(Errno::INVAL)?;
        Ok(*position)
    }

    fn status(&self) -> Stat {
        match &self.place {
            Place::Held(held) => process::get().files.status(held.node()),
            Place::MadeUp(_) => Stat { nlink: 2, ..anonymous_status(FileType::Directory, 0o555, 2) },
        }
    }

    fn name(&self) -> Vec<u8> {
        self.path.clone()
    }

    fn node(&self) -> Option<NodeId> {
        if let Place::Held(held) = &self.place { Some(held.node()) } else { None }
    }

    fn as_directory(&self) -> Option<&Directory> {
        Some(self)
    }
}
