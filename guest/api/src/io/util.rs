//! Small readers, writers and helpers.

use super::{BufRead, ErrorKind, Read, Result, Write};
use alloc::string::String;

/// Reads nothing: always at its end.
#[derive(Clone, Copy, Debug, Default)]
pub struct Empty;

/// Takes everything and keeps nothing.
#[derive(Clone, Copy, Debug, Default)]
pub struct Sink;

/// A reader at its end.
#[must_use]
pub const fn empty() -> Empty {
    Empty
}

/// A writer that keeps nothing.
#[must_use]
pub const fn sink() -> Sink {
    Sink
}

/// Copies everything from `reader` to `writer`; how many bytes it was.
///
/// # Errors
/// The first of either; what was copied before stays copied.
pub fn copy<R: Read + ?Sized, W: Write + ?Sized>(reader: &mut R, writer: &mut W) -> Result<u64> {
    let mut buffer = [0; 2048];
    let mut copied = 0;
    loop {
        match reader.read(&mut buffer) {
            Ok(0) => return Ok(copied),
            Ok(read) => {
                writer.write_all(&buffer[..read])?;
                copied += read as u64;
            }
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

/// All text up to the end of `reader`.
///
/// # Errors
/// Those of [`Read::read_to_string`].
pub fn read_to_string<R: Read>(mut reader: R) -> Result<String> {
    let mut text = String::new();
    reader.read_to_string(&mut text)?;
    Ok(text)
}

impl Read for Empty {
    fn read(&mut self, _: &mut [u8]) -> Result<usize> {
        Ok(0)
    }
}

impl BufRead for Empty {
    fn fill_buf(&mut self) -> Result<&[u8]> {
        Ok(&[])
    }

    fn consume(&mut self, _: usize) {}
}

impl Write for Sink {
    fn write(&mut self, buffer: &[u8]) -> Result<usize> {
        Ok(buffer.len())
    }

    fn flush(&mut self) -> Result<()> {
        Ok(())
    }
}
