//! Where the contents of a file come from.

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::sync::Arc;

/// Contents that are there when they are wanted.
#[derive(Clone, Debug)]
pub(super) enum Source {
    /// A file of the host, of this length when it was found.
    File { path: PathBuf, bytes: u64 },
    /// A part of a file.
    Part { file: Arc<File>, at: u64, bytes: u64 },
    /// Bytes.
    Memory(Arc<[u8]>),
}

impl Source {
    /// The contents. What has become shorter is an error that names it.
    pub(super) fn open(&self) -> io::Result<Reader> {
        match self {
            Self::File { path, bytes } => {
                let file = File::open(path).map_err(|error| naming(path, &error))?;
                Ok(Reader::File { file, path: path.clone(), left: *bytes })
            }
            Self::Part { file, at, bytes } => Ok(Reader::Part { file: file.clone(), at: *at, left: *bytes }),
            Self::Memory(bytes) => Ok(Reader::Memory(io::Cursor::new(bytes.clone()))),
        }
    }
}

/// Contents, while they are read.
pub(super) enum Reader {
    File { file: File, path: PathBuf, left: u64 },
    Part { file: Arc<File>, at: u64, left: u64 },
    Memory(io::Cursor<Arc<[u8]>>),
}

impl Read for Reader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::File { file, path, left } => {
                let count = file.by_ref().take(*left).read(buffer).map_err(|error| naming(path, &error))?;
                if count == 0 && *left > 0 && !buffer.is_empty() {
                    let why = format!("{} became shorter while it was read", path.display());
                    return Err(io::Error::new(io::ErrorKind::UnexpectedEof, why));
                }
                *left -= count as u64;
                Ok(count)
            }
            Self::Part { file, at, left } => {
                let wanted = buffer.len().min(usize::try_from(*left).unwrap_or(usize::MAX));
                let count = file.read_at(&mut buffer[..wanted], *at)?;
                (*at, *left) = (*at + count as u64, *left - count as u64);
                Ok(count)
            }
            Self::Memory(bytes) => bytes.read(buffer),
        }
    }
}

fn naming(path: &std::path::Path, error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("{}: {error}", path.display()))
}
