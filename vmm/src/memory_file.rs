//! A file that is in memory alone: it has a path while somebody holds it, and nothing is left of it behind one who is killed.

use crate::error::Error;
use rustix::fs::MemfdFlags;
use std::fs::File;
use std::io::Write;
use std::os::fd::AsRawFd;
use std::path::PathBuf;
use std::sync::Arc;

/// A file in memory. The memory is given back when the last clone is dropped, and nobody has the file open.
#[derive(Clone, Debug)]
pub struct MemoryFile(Arc<File>);

impl MemoryFile {
    /// An empty one; `name` is what `/proc` shows.
    pub fn new(name: &str) -> Result<Self, Error> {
        let file = rustix::fs::memfd_create(name, MemfdFlags::CLOEXEC)
            .map_err(|error| Error::new(format!("cannot make a file in memory: {error}")))?;
        Ok(Self(Arc::new(file.into())))
    }

    /// One that holds `bytes`.
    pub fn holding(name: &str, bytes: &[u8]) -> Result<Self, Error> {
        let file = Self::new(name)?;
        file.file().write_all(bytes).map_err(|error| Error::new(format!("cannot fill a file in memory: {error}")))?;
        Ok(file)
    }

    /// To write and read it. Its position is one for all.
    pub fn file(&self) -> &File {
        &self.0
    }

    /// Bytes that it holds.
    pub fn len_bytes(&self) -> u64 {
        self.0.metadata().map_or(0, |metadata| metadata.len())
    }

    /// By which this process, its children, and other programs of its user open it.
    pub fn path(&self) -> PathBuf {
        format!("/proc/{}/fd/{}", std::process::id(), self.0.as_raw_fd()).into()
    }
}

impl PartialEq for MemoryFile {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl Eq for MemoryFile {}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::Command;

    #[test]
    fn another_program_reads_it_by_its_path() {
        let file = MemoryFile::holding("test", b"in memory").unwrap();
        let output = Command::new("cat").arg(file.path()).output().unwrap();
        assert_eq!((output.stdout, file.len_bytes()), (b"in memory".to_vec(), 9));
        let (path, clone) = (file.path(), file.clone());
        drop(file);
        assert!(path.exists() && clone == clone.clone());
        drop(clone);
        assert!(!path.exists());
    }
}
