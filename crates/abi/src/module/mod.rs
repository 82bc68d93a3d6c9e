//! The boot module: the files that a host packs for its guest, which maps them in place.
//!
//! ```text
//! header, 64 bytes │ entries, 64 bytes each │ text: paths, targets of symbolic links │ data: each file from a page's start
//! ```
//! `docs/guest-interface.md` has the fields. Paths are relative to the root, without empty, `.` and `..` parts. They are in
//! strict order, part by part: each is there once, a directory comes right before all that is in it, and a path is found by
//! halving. Data begins at a page and is filled up with zeros to whole pages, so that it can be shown as a program's memory.
//!
//! [`Module`] reads one, `Tree` (feature `std`) makes one.

mod entry;
mod read;
#[cfg(any(test, feature = "std"))]
mod write;

pub use entry::{Contents, Entry, File, Metadata, Time};
pub use read::{Damaged, Entries, Module};
#[cfg(any(test, feature = "std"))]
pub use write::{Tree, Unfit};

use core::cmp::Ordering;

/// First bytes of a module.
pub const MAGIC: [u8; 8] = *b"TOROMOD\0";
/// The version that is written and read.
pub const VERSION: u32 = 1;
/// Files begin at multiples of it.
pub const PAGE_BYTES: usize = 4096;
/// The longest path, and the longest target of a symbolic link.
pub const PATH_BYTES_MAX: usize = 4095;
/// The longest part of a path.
pub const NAME_BYTES_MAX: usize = 255;

const HEADER_BYTES: usize = 64;
const ENTRY_BYTES: usize = 64;
const KIND_DIRECTORY: u8 = 1;
const KIND_FILE: u8 = 2;
const KIND_SYMLINK: u8 = 3;
const FLAG_READ_ONLY: u8 = 1;

/// The order of entries: as the paths' parts, one after the other.
fn compare(one: &[u8], other: &[u8]) -> Ordering {
    // No part has a zero byte, so with that for a slash a directory is directly before what is in it.
    let rank = |byte: &u8| if *byte == b'/' { 0 } else { *byte };
    one.iter().map(rank).cmp(other.iter().map(rank))
}

/// The directory of a path; `None` for the root's.
fn parent(path: &[u8]) -> Option<&[u8]> {
    match path.iter().rposition(|byte| *byte == b'/') {
        Some(slash) => Some(&path[..slash]),
        None if path.is_empty() => None,
        None => Some(&[]),
    }
}

/// Whether `path` lies somewhere in `directory`.
fn is_inside(path: &[u8], directory: &[u8]) -> bool {
    let rest = path.strip_prefix(directory);
    rest.is_some_and(|rest| if directory.is_empty() { !rest.is_empty() } else { rest.starts_with(b"/") })
}

/// Whether a path is one that an entry can have.
fn is_path(path: &[u8]) -> bool {
    let is_name = |name: &[u8]| {
        let is_special = name.is_empty() || name == b"." || name == b"..";
        !is_special && name.len() <= NAME_BYTES_MAX && !name.contains(&0)
    };
    path.is_empty() || path.len() <= PATH_BYTES_MAX && path.split(|byte| *byte == b'/').all(is_name)
}

/// Whether a symbolic link can lead there.
fn is_target(target: &[u8]) -> bool {
    !target.is_empty() && target.len() <= PATH_BYTES_MAX && !target.contains(&0)
}

#[cfg(test)]
mod tests;
