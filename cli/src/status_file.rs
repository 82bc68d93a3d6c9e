//! `--status-file` and `--report`: that one can be written is found out before the guest starts, and a reader never sees half of it.

use crate::replace::{create, replace};
use serde_json::Value;
use std::fs::OpenOptions;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use toro_vmm::Error;

/// A new one can be read and written by whom the umask allows.
const MODE: u32 = 0o666;

/// Where the end of a run is written.
pub(crate) struct StatusFile {
    /// What named it.
    option: &'static str,
    path: PathBuf,
    /// A file beside it that takes its place; `None` where none can be made, or where it is no file but a pipe or a device.
    aside: Option<PathBuf>,
}

impl StatusFile {
    /// Fails when it cannot be written. What is there stays until the end.
    pub(crate) fn check(option: &'static str, path: &Path) -> Result<Self, Error> {
        // What a link leads to takes the new text, not the link.
        let path = path.canonicalize().unwrap_or_else(|_| path.into());
        let is_special = path.metadata().is_ok_and(|metadata| !metadata.is_file());
        let aside = (!is_special).then(|| aside(&path)).flatten();
        let tried = match &aside {
            Some(aside) => create(aside, MODE).and_then(|_| std::fs::remove_file(aside)),
            None => Err(io::Error::other("it has no folder")),
        };
        match tried {
            Ok(()) => Ok(Self { option, path, aside }),
            // The folder may be closed to us, and the file in it open.
            Err(error) => match OpenOptions::new().write(true).open(&path) {
                Ok(_) => Ok(Self { option, path, aside: None }),
                Err(_) if !path.exists() => Err(cannot_write(option, &path, &error)),
                Err(error) => Err(cannot_write(option, &path, &error)),
            },
        }
    }

    /// Writes how the run ended.
    pub(crate) fn write(&self, report: &Value) -> Result<(), Error> {
        let text = format!("{report:#}\n");
        let in_place = || std::fs::write(&self.path, &text);
        let done = match &self.aside {
            Some(aside) => replace(&self.path, aside, MODE, text.as_bytes()).or_else(|error| match error.kind() {
                // In place there is no more room, and what was there would be lost.
                ErrorKind::StorageFull | ErrorKind::QuotaExceeded => Err(error),
                _ => in_place(),
            }),
            None => in_place(),
        };
        done.map_err(|error| cannot_write(self.option, &self.path, &error))
    }
}

fn cannot_write(option: &str, path: &Path, error: &io::Error) -> Error {
    let cure = format!("{option} FILE names a file to write to");
    Error::new(format!("cannot write {}: {error}", path.display())).help(cure)
}

/// A name beside it that is nobody else's.
fn aside(path: &Path) -> Option<PathBuf> {
    let name = path.file_name()?.to_string_lossy();
    Some(path.with_file_name(format!(".{name}.{}", std::process::id())))
}
