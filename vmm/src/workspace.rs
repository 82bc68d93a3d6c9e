//! A private folder for one run: the VMM's control socket and generated files. Removed with its owner.

use crate::error::Error;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

/// A folder that only this user can enter.
#[derive(Debug)]
pub(crate) struct PrivateFolder {
    path: PathBuf,
}

impl PrivateFolder {
    pub(crate) fn new() -> Result<Self, Error> {
        // Not $TMPDIR when it is long: the path of a Unix socket has 107 bytes at most.
        let base = std::env::temp_dir();
        let base = if base.as_os_str().len() > 64 { PathBuf::from("/tmp") } else { base };
        let path = base.join(format!("toro-{:016x}", random()?));
        std::fs::DirBuilder::new().mode(0o700).create(&path).map_err(|error| {
            Error::new(format!("cannot create folder {}: {error}", path.display()))
                .help("set TMPDIR to a folder that you can write to")
        })?;
        Ok(Self { path })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for PrivateFolder {
    fn drop(&mut self) {
        // A folder left behind in /tmp harms nobody, and a destructor has nobody to tell.
        let _removed = std::fs::remove_dir_all(&self.path);
    }
}

/// A random number from the kernel.
pub(crate) fn random() -> Result<u64, Error> {
    let mut bytes = [0; 8];
    match rustix::rand::getrandom(&mut bytes, rustix::rand::GetRandomFlags::empty()) {
        Ok(8) => Ok(u64::from_ne_bytes(bytes)),
        Ok(_) => Err(Error::new("cannot get random numbers: the kernel gave too few")),
        Err(error) => Err(Error::new(format!("cannot get random numbers: {error}"))),
    }
}
