//! An archive made by tar: owners, modes, times and links as they are in it.

use super::source::Source;
use super::{Files, Skipped};
use std::fs::File;
use std::io::Read;
use std::path::Path;
use std::sync::Arc;
use tar::{Archive, Entry, EntryType};
use toro_abi::module::{Metadata, Time};

/// What compressed archives begin with, and what makes plain ones of them.
const COMPRESSED: [(&[u8], &str); 4] =
    [(b"\x1f\x8b", "gunzip"), (b"BZh", "bunzip2"), (b"\xfd7zXZ\0", "unxz"), (b"\x28\xb5\x2f\xfd", "unzstd")];

impl Files {
    /// Adds the archive's contents as the root.
    pub(super) fn add_archive(&mut self, from: &Path) -> Result<(), String> {
        let file = Arc::new(File::open(from).map_err(|error| error.to_string())?);
        let mut start = [0; 6];
        let count = (&*file).read(&mut start).map_err(|error| error.to_string())?;
        if let Some((_, program)) = COMPRESSED.iter().find(|(magic, _)| start[..count].starts_with(magic)) {
            return Err(format!("it is compressed; `{program}` makes a plain archive of it"));
        }
        let bytes = file.metadata().map_err(|error| error.to_string())?.len();
        let whole = Source::Part { file: file.clone(), at: 0, bytes };
        let reader = whole.open().map_err(|error| error.to_string())?;
        let mut archive = Archive::new(reader);
        let entries = archive.entries().map_err(|error| error.to_string())?;
        let mut count = 0;
        for entry in entries {
            self.add_entry(&mut entry.map_err(|error| not_an_archive(&error))?, &file)?;
            count += 1;
        }
        if count == 0 { Err("it is empty, or no archive".into()) } else { Ok(()) }
    }

    fn add_entry(&mut self, entry: &mut Entry<'_, impl Read>, file: &Arc<File>) -> Result<(), String> {
        let path = entry.path_bytes().into_owned();
        let shown = path.escape_ascii().to_string();
        let fail = |why: &dyn std::fmt::Display| format!("entry {shown}: {why}");
        let metadata = metadata_of(entry).map_err(|error| fail(&error))?;
        let kind = entry.header().entry_type();
        let place = self.entry_place(&path).map_err(|why| fail(&why))?;
        let added = match kind {
            EntryType::Directory => self.tree.directory(&place, metadata),
            EntryType::Regular | EntryType::Continuous => {
                let (at, bytes) = (entry.raw_file_position(), entry.size());
                self.tree.file(&place, metadata, bytes, Source::Part { file: file.clone(), at, bytes })
            }
            // Its bytes do not lie in one piece.
            EntryType::GNUSparse => {
                let mut contents = Vec::new();
                entry.read_to_end(&mut contents).map_err(|error| fail(&error))?;
                self.tree.file(&place, metadata, contents.len() as u64, Source::Memory(contents.into()))
            }
            EntryType::Symlink | EntryType::Link => {
                let target = entry.link_name_bytes().ok_or_else(|| fail(&"it is a link to nothing"))?.into_owned();
                if kind == EntryType::Symlink {
                    self.tree.symlink(&place, metadata, &target)
                } else {
                    let of = self.entry_place(&target).map_err(|why| fail(&why))?;
                    self.tree.hard_link(&place, &of)
                }
            }
            EntryType::Char | EntryType::Block | EntryType::Fifo => {
                let what = if kind == EntryType::Fifo { "a pipe" } else { "a device" };
                self.skipped.push(Skipped { path: shown, what });
                return Ok(());
            }
            EntryType::XGlobalHeader => return Ok(()),
            other => return Err(fail(&format_args!("its type {:?} is unknown", char::from(other.as_byte())))),
        };
        added.map_err(|why| fail(&why))
    }

    /// Where an entry goes: its directory may be reached through links.
    fn entry_place(&self, path: &[u8]) -> Result<Vec<u8>, String> {
        let parts: Vec<&[u8]> = path.split(|byte| *byte == b'/').filter(|part| !matches!(*part, b"" | b".")).collect();
        if parts.contains(&&b".."[..]) {
            return Err("it leads out of the archive".into());
        }
        let Some((name, directory)) = parts.split_last() else { return Ok(Vec::new()) };
        let mut place = self.place_of(&directory.join(&b'/'))?;
        if !place.is_empty() {
            place.push(b'/');
        }
        place.extend_from_slice(name);
        Ok(place)
    }
}

fn metadata_of(entry: &mut Entry<'_, impl Read>) -> std::io::Result<Metadata> {
    let header = entry.header();
    let (mode, uid, gid, mtime) = (header.mode()?, header.uid()?, header.gid()?, header.mtime()?);
    let number =
        |number: u64| u32::try_from(number).map_err(|_| std::io::Error::other("its owner's number is too large"));
    let mut metadata = Metadata {
        mode: (mode & 0o7777) as u16,
        uid: number(uid)?,
        gid: number(gid)?,
        mtime: Time { seconds: mtime.cast_signed(), nanoseconds: 0 },
        is_read_only: false,
    };
    // What does not fit into the header, or more exactly.
    for extension in entry.pax_extensions()?.into_iter().flatten().flatten() {
        let (Ok(key), Ok(value)) = (extension.key(), extension.value()) else { continue };
        match key {
            "GNU.sparse.major" | "GNU.sparse.map" => {
                let why = "it is stored sparsely, in pax's way; tar's option --format=gnu stores it readably";
                return Err(std::io::Error::other(why));
            }
            "uid" => metadata.uid = value.parse().unwrap_or(metadata.uid),
            "gid" => metadata.gid = value.parse().unwrap_or(metadata.gid),
            "mtime" => metadata.mtime = moment(value).unwrap_or(metadata.mtime),
            _ => {}
        }
    }
    Ok(metadata)
}

/// A decimal number of seconds: `1700000000.25`, `-0.5`.
fn moment(text: &str) -> Option<Time> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let seconds: i64 = whole.parse().ok()?;
    let digits: String = fraction.chars().chain("000000000".chars()).take(9).collect();
    let nanoseconds: u32 = digits.parse().ok()?;
    Some(match whole.starts_with('-') && nanoseconds > 0 {
        false => Time { seconds, nanoseconds },
        true => Time { seconds: seconds - 1, nanoseconds: 1_000_000_000 - nanoseconds },
    })
}

fn not_an_archive(error: &std::io::Error) -> String {
    format!("it is damaged, or no archive: {error}")
}
