//! Files replaced in one step: whoever opens one has all of what was there, or all of what is new.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

/// Writes `bytes` to a new file `aside`, which takes the place of `path`. A file that was there gives it its permissions;
/// else they are `mode`, as far as the umask allows. When it fails, nothing is left aside.
pub(crate) fn replace(path: &Path, aside: &Path, mode: u32, bytes: &[u8]) -> io::Result<()> {
    let there = path.metadata();
    let written = create(aside, mode).and_then(|mut file| {
        // Who may use it is not ours to change.
        there.map_or(Ok(()), |there| file.set_permissions(there.permissions()))?;
        file.write_all(bytes)
    });
    // What cannot be removed was not made; the first error says why.
    written.and_then(|()| std::fs::rename(aside, path)).inspect_err(|_| drop(std::fs::remove_file(aside)))
}

/// Makes a file where there is none.
pub(crate) fn create(path: &Path, mode: u32) -> io::Result<File> {
    OpenOptions::new().write(true).create_new(true).mode(mode).open(path)
}
