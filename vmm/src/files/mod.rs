//! The files of a guest, gathered from the host's: a root from a folder or an archive, volumes, a program. They become a boot
//! module.
//!
//! Paths of the guest are those of a root that programs cannot leave: links in it lead to places in it, wherever they seem to
//! lead. Contents stay where they are until the module is written.

mod archive;
mod folder;
mod lookup;
mod source;

use crate::error::Error;
use crate::memory_file::MemoryFile;
use source::Source;
use std::fmt;
use std::io::{BufWriter, Read, Write};
use std::path::Path;
use toro_abi::module::{Metadata, Tree, Unfit};
use toro_abi::outcome::status;

/// Where a program of the host is put: nothing else has this folder.
const PROGRAM_FOLDER: &str = "app";

/// The files of a guest to be.
#[derive(Debug)]
pub struct Files {
    tree: Tree<Source>,
    skipped: Vec<Skipped>,
}

/// Something of the host that a guest cannot have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Skipped {
    /// Its path on the host, or in the archive.
    pub path: String,
    /// What it is.
    pub what: &'static str,
}

impl fmt::Display for Skipped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.path, self.what)
    }
}

impl Default for Files {
    fn default() -> Self {
        Self::new()
    }
}

impl Files {
    /// A root with nothing in it.
    pub fn new() -> Self {
        Self { tree: Tree::new(), skipped: Vec::new() }
    }

    /// What was left out so far: devices, sockets, pipes.
    pub fn skipped(&self) -> &[Skipped] {
        &self.skipped
    }

    /// Bytes of the module.
    pub fn module_bytes(&self) -> u64 {
        self.tree.module_bytes()
    }

    /// Fills the root with what `from` holds: a folder, or an archive made by tar.
    ///
    /// # Errors
    /// When it is neither, cannot be read, or holds what no guest can have.
    pub fn add_root(&mut self, from: &Path) -> Result<(), Error> {
        let fail = |why: &dyn fmt::Display| Error::new(format!("cannot use root {}: {why}", from.display()));
        let metadata =
            std::fs::metadata(from).map_err(|error| fail(&error).help("--root takes a folder or a tar file"))?;
        let added = if metadata.is_dir() { self.add_folder(from, b"", false) } else { self.add_archive(from) };
        added.map_err(|why| fail(&why).help("--root takes a folder or a tar file"))
    }

    /// Puts what `from` holds, a folder or a file, at `to`, an absolute path of the guest, where it hides what was there.
    /// Nobody can change it there.
    ///
    /// # Errors
    /// When it cannot be read, or `to` is no place for it.
    pub fn add_volume(&mut self, from: &Path, to: &str) -> Result<(), Error> {
        let fail = |why: &dyn fmt::Display| Error::new(format!("cannot put volume {} at {to}: {why}", from.display()));
        let place = self.place(to).map_err(|why| fail(&why))?;
        if place.is_empty() {
            return Err(fail(&"that is the root itself").help("--root takes a folder for all of it"));
        }
        let metadata =
            std::fs::metadata(from).map_err(|error| fail(&error).help("-v HOST:GUEST, for example -v ./site:/www"))?;
        self.tree.remove(&place);
        let added = if metadata.is_dir() {
            self.add_folder(from, &place, true)
        } else {
            folder::add_file(&mut self.tree, from, &metadata, &place, true)
        };
        added.map_err(|why| fail(&why))
    }

    /// Puts a program of the host into the folder `/app`; its path there.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn add_program(&mut self, from: &Path) -> Result<String, Error> {
        let fail = |why: &dyn fmt::Display| {
            Error::new(format!("cannot run {}: {why}", from.display())).with_status(status::NOT_RUNNABLE)
        };
        let metadata = std::fs::metadata(from).map_err(|error| fail(&error))?;
        let name = from.file_name().and_then(|name| name.to_str()).ok_or_else(|| fail(&"its name is no text"))?;
        let path = Self::program_path(name);
        let place = self.place(&path).map_err(|why| fail(&why))?;
        folder::add_file(&mut self.tree, from, &metadata, &place, false).map_err(|why| fail(&why))?;
        Ok(path)
    }

    /// The path of a program of the host in the guest.
    pub fn program_path(name: &str) -> String {
        format!("/{PROGRAM_FOLDER}/{name}")
    }

    /// Makes a directory at an absolute path of the guest, where there is none; an error when something else is there.
    ///
    /// # Errors
    /// When something else is there.
    pub fn make_directory(&mut self, path: &str) -> Result<(), Error> {
        let made = self.place(path).and_then(|place| match self.tree.is_directory(&place) {
            true => Ok(()),
            false if self.tree.contains(&place) => Err(Unfit::NotADirectory.to_string()),
            false => self.tree.directory(&place, Metadata::with_mode(0o755)).map_err(|why| why.to_string()),
        });
        made.map_err(|why| Error::new(format!("cannot begin in {path}: {why}")))
    }

    /// The contents of a file at an absolute path of the guest, and who may do what with it; `None` when there is none.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn read(&self, path: &str) -> Result<Option<(Metadata, Vec<u8>)>, Error> {
        let Some((metadata, source)) = self.resolve(path).and_then(|place| self.tree.source(&place)) else {
            return Ok(None);
        };
        let mut bytes = Vec::new();
        let read = source.open().and_then(|mut reader| reader.read_to_end(&mut bytes));
        read.map_err(|error| Error::new(format!("cannot read {path}: {error}")))?;
        Ok(Some((*metadata, bytes)))
    }

    /// The module, in memory.
    ///
    /// # Errors
    /// When a file cannot be read, or there is no memory.
    pub fn module(&self) -> Result<MemoryFile, Error> {
        let file = MemoryFile::new("toro-module")?;
        self.write(&mut file.file())?;
        Ok(file)
    }

    /// Writes the module.
    ///
    /// # Errors
    /// When a file cannot be read, or `out` cannot be written.
    pub fn write(&self, out: &mut impl Write) -> Result<(), Error> {
        let mut out = BufWriter::with_capacity(1 << 20, out);
        let written = self.tree.write(&mut out, Source::open).and_then(|()| out.flush());
        written.map_err(|error| Error::new(format!("cannot pack the guest's files: {error}")))
    }
}

#[cfg(test)]
mod tests;
