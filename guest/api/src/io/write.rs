//! Where bytes go.

use super::{Error, ErrorKind, Result};
use alloc::boxed::Box;
use alloc::vec::Vec;
use core::fmt;

/// Something that takes bytes in order.
pub trait Write {
    /// Writes some of `buffer`, waiting until some can be written; how many bytes it was.
    ///
    /// # Errors
    /// Nothing was written.
    fn write(&mut self, buffer: &[u8]) -> Result<usize>;

    /// Sends on what is buffered.
    ///
    /// # Errors
    /// Not all of it could be sent on.
    fn flush(&mut self) -> Result<()>;

    /// Writes all of `buffer`.
    ///
    /// # Errors
    /// Some of it may have been written.
    fn write_all(&mut self, mut buffer: &[u8]) -> Result<()> {
        while !buffer.is_empty() {
            match self.write(buffer) {
                Ok(0) => return Err(Error::with_message(ErrorKind::WriteZero, "failed to write the whole buffer")),
                Ok(written) => buffer = &buffer[written..],
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// What `write!` calls.
    ///
    /// # Errors
    /// Those of [`write_all`](Self::write_all).
    fn write_fmt(&mut self, arguments: fmt::Arguments<'_>) -> Result<()> {
        let mut adapter = Adapter { inner: self, result: Ok(()) };
        let formatted = fmt::write(&mut adapter, arguments);
        adapter.result?;
        formatted.map_err(Error::from)
    }

    /// A writer that borrows this one.
    fn by_ref(&mut self) -> &mut Self
    where
        Self: Sized,
    {
        self
    }
}

/// Keeps the error that `fmt::Error` has no room for.
struct Adapter<'a, W: ?Sized> {
    inner: &'a mut W,
    result: Result<()>,
}

impl<W: Write + ?Sized> fmt::Write for Adapter<'_, W> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.result = self.inner.write_all(text.as_bytes());
        if self.result.is_ok() { Ok(()) } else { Err(fmt::Error) }
    }
}

impl<W: Write + ?Sized> Write for &mut W {
    fn write(&mut self, buffer: &[u8]) -> Result<usize> {
        (**self).write(buffer)
    }

    fn flush(&mut self) -> Result<()> {
        (**self).flush()
    }
}

impl<W: Write + ?Sized> Write for Box<W> {
    fn write(&mut self, buffer: &[u8]) -> Result<usize> {
        (**self).write(buffer)
    }

    fn flush(&mut self) -> Result<()> {
        (**self).flush()
    }
}

impl Write for Vec<u8> {
    fn write(&mut self, buffer: &[u8]) -> Result<usize> {
        self.extend_from_slice(buffer);
        Ok(buffer.len())
    }

    fn flush(&mut self) -> Result<()> {
        Ok(())
    }
}

impl Write for &mut [u8] {
    fn write(&mut self, buffer: &[u8]) -> Result<usize> {
        let written = self.len().min(buffer.len());
        let (now, later) = core::mem::take(self).split_at_mut(written);
        now.copy_from_slice(&buffer[..written]);
        *self = later;
        Ok(written)
    }

    fn flush(&mut self) -> Result<()> {
        Ok(())
    }
}
