//! What a module says of one path.

use super::PAGE_BYTES;

/// A moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Time {
    /// Whole seconds since 1970, in UTC.
    pub seconds: i64,
    /// And nanoseconds, fewer than a second has.
    pub nanoseconds: u32,
}

/// Who may do what with a file, and when it was changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Metadata {
    /// The lower 12 bits of `st_mode`: permissions, and the bits for users, groups and deletion.
    pub mode: u16,
    /// Its owner's number.
    pub uid: u32,
    /// Its group's number.
    pub gid: u32,
    /// When its contents were last changed.
    pub mtime: Time,
    /// Nobody may change it, whatever `mode` says: it lies in a volume that was given read-only.
    pub is_read_only: bool,
}

impl Metadata {
    /// Root's, with these permissions, and as old as it can be.
    pub const fn with_mode(mode: u16) -> Self {
        Self { mode, uid: 0, gid: 0, mtime: Time { seconds: 0, nanoseconds: 0 }, is_read_only: false }
    }
}

/// A path, and what is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry<'a> {
    /// Relative to the root; the root's own is empty.
    pub path: &'a [u8],
    /// Who may do what with it.
    pub metadata: Metadata,
    /// What is there.
    pub contents: Contents<'a>,
}

impl<'a> Entry<'a> {
    /// The last part of its path.
    pub fn name(&self) -> &'a [u8] {
        self.path.rsplit(|byte| *byte == b'/').next().unwrap_or_default()
    }

    /// The path of its directory; `None` for the root.
    pub fn parent(&self) -> Option<&'a [u8]> {
        super::parent(self.path)
    }
}

/// What is at a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Contents<'a> {
    /// A directory.
    Directory,
    /// A file.
    File(File<'a>),
    /// A symbolic link, and where it leads.
    Symlink(&'a [u8]),
}

/// A file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct File<'a> {
    /// The number of the first entry that is this file: hard links have the same.
    pub number: usize,
    pub(super) pages: &'a [u8],
    pub(super) bytes: usize,
}

impl<'a> File<'a> {
    /// What it holds. At a page's start in memory, if the module is.
    pub fn data(&self) -> &'a [u8] {
        &self.pages[..self.bytes]
    }

    /// The same in whole pages: zeros behind it.
    pub fn pages(&self) -> &'a [u8] {
        self.pages
    }

    /// Bytes of `bytes` in whole pages; `None` beyond what there can be.
    pub(super) fn in_pages(bytes: u64) -> Option<u64> {
        bytes.checked_next_multiple_of(PAGE_BYTES as u64)
    }
}
