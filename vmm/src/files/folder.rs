//! A folder of the host, with all that is in it.

use super::source::Source;
use super::{Files, Skipped};
use std::collections::HashMap;
use std::fs::{FileType, Metadata as HostMetadata};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::Path;
use toro_abi::module::{Metadata, Time, Tree};

/// Paths of the guest under which files are that have several names, by device and number.
type Links = HashMap<(u64, u64), Vec<u8>>;

impl Files {
    /// Adds the folder as the guest's directory `to`, which replaces what was there.
    pub(super) fn add_folder(&mut self, from: &Path, to: &[u8], is_read_only: bool) -> Result<(), String> {
        let metadata = std::fs::metadata(from).map_err(|error| naming(from, &error))?;
        self.tree.directory(to, metadata_of(&metadata, is_read_only)).map_err(|why| naming(from, &why))?;
        let mut links = Links::new();
        let mut folders = vec![(from.to_owned(), to.to_vec())];
        while let Some((folder, place)) = folders.pop() {
            for item in std::fs::read_dir(&folder).map_err(|error| naming(&folder, &error))? {
                let item = item.map_err(|error| naming(&folder, &error))?;
                let mut place = place.clone();
                if !place.is_empty() {
                    place.push(b'/');
                }
                place.extend_from_slice(item.file_name().as_bytes());
                if self.add_item(&item.path(), &place, is_read_only, &mut links)? {
                    folders.push((item.path(), place));
                }
            }
        }
        Ok(())
    }

    /// Adds what is at `from`; true when it is a folder, whose contents are yet to come.
    fn add_item(&mut self, from: &Path, to: &[u8], is_read_only: bool, links: &mut Links) -> Result<bool, String> {
        let host = std::fs::symlink_metadata(from).map_err(|error| naming(from, &error))?;
        let metadata = metadata_of(&host, is_read_only);
        let added = if host.is_dir() {
            self.tree.directory(to, metadata)
        } else if host.is_symlink() {
            let target = std::fs::read_link(from).map_err(|error| naming(from, &error))?;
            self.tree.symlink(to, metadata, target.as_os_str().as_bytes())
        } else if host.is_file() {
            match links.get(&(host.dev(), host.ino())) {
                Some(first) => self.tree.hard_link(to, first),
                None => {
                    if host.nlink() > 1 {
                        links.insert((host.dev(), host.ino()), to.to_vec());
                    }
                    return add_file(&mut self.tree, from, &host, to, is_read_only).map(|()| false);
                }
            }
        } else {
            let what = kind(host.file_type());
            self.skipped.push(Skipped { path: from.display().to_string(), what });
            return Ok(false);
        };
        added.map(|()| host.is_dir()).map_err(|why| naming(from, &why))
    }
}

/// Adds a file of the host.
pub(super) fn add_file(
    tree: &mut Tree<Source>,
    from: &Path,
    host: &HostMetadata,
    to: &[u8],
    is_read_only: bool,
) -> Result<(), String> {
    if !host.is_file() {
        return Err(naming(from, &format_args!("it is {}, not a file", kind(host.file_type()))));
    }
    let source = Source::File { path: from.to_owned(), bytes: host.len() };
    tree.file(to, metadata_of(host, is_read_only), host.len(), source).map_err(|why| naming(from, &why))
}

fn metadata_of(host: &HostMetadata, is_read_only: bool) -> Metadata {
    Metadata {
        mode: (host.mode() & 0o7777) as u16,
        uid: host.uid(),
        gid: host.gid(),
        mtime: Time { seconds: host.mtime(), nanoseconds: host.mtime_nsec().clamp(0, 999_999_999) as u32 },
        is_read_only,
    }
}

fn kind(of: FileType) -> &'static str {
    if of.is_socket() {
        "a socket"
    } else if of.is_fifo() {
        "a pipe"
    } else if of.is_dir() {
        "a folder"
    } else {
        "a device"
    }
}

fn naming(path: &Path, why: &dyn std::fmt::Display) -> String {
    format!("{}: {why}", path.display())
}
