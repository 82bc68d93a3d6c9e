//! Buffers around readers and writers whose every call is dear.

use super::{BufRead, Error, ErrorKind, Read, Result, Write};
use alloc::boxed::Box;
use alloc::vec;
use alloc::vec::Vec;
use core::fmt;

const BYTES_DEFAULT: usize = 4096;

/// Reads ahead into a buffer.
pub struct BufReader<R: ?Sized> {
    buffer: Box<[u8]>,
    start: usize,
    end: usize,
    inner: R,
}

impl<R> BufReader<R> {
    /// A buffer of 4 KiB before `inner`.
    pub fn new(inner: R) -> Self {
        Self::with_capacity(BYTES_DEFAULT, inner)
    }

    /// A buffer of `bytes` before `inner`.
    pub fn with_capacity(bytes: usize, inner: R) -> Self {
        BufReader { buffer: vec![0; bytes].into_boxed_slice(), start: 0, end: 0, inner }
    }

    /// The reader below; what was read ahead is lost.
    pub fn into_inner(self) -> R {
        self.inner
    }
}

impl<R: ?Sized> BufReader<R> {
    /// What has been read ahead.
    pub fn buffer(&self) -> &[u8] {
        &self.buffer[self.start..self.end]
    }

    /// The reader below.
    pub fn get_ref(&self) -> &R {
        &self.inner
    }

    /// The reader below. Reading from it directly loses the order.
    pub fn get_mut(&mut self) -> &mut R {
        &mut self.inner
    }
}

impl<R: Read + ?Sized> Read for BufReader<R> {
    fn read(&mut self, buffer: &mut [u8]) -> Result<usize> {
        if self.start == self.end && buffer.len() >= self.buffer.len() {
            return self.inner.read(buffer); // nothing is gained by copying
        }
        let read = self.fill_buf()?.read(buffer)?;
        self.consume(read);
        Ok(read)
    }
}

impl<R: Read + ?Sized> BufRead for BufReader<R> {
    fn fill_buf(&mut self) -> Result<&[u8]> {
        if self.start == self.end {
            self.start = 0;
            self.end = 0;
            self.end = self.inner.read(&mut self.buffer)?;
        }
        Ok(&self.buffer[self.start..self.end])
    }

    fn consume(&mut self, amount: usize) {
        self.start = (self.start + amount).min(self.end);
    }
}

impl<R: fmt::Debug> fmt::Debug for BufReader<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BufReader").field("inner", &self.inner).field("buffered", &(self.end - self.start)).finish()
    }
}

/// Collects small writes into large ones. Call [`flush`](Write::flush): what is still buffered when it is dropped is
/// written then, but an error in that goes unseen.
pub struct BufWriter<W: Write> {
    buffer: Vec<u8>,
    inner: W,
}

impl<W: Write> BufWriter<W> {
    /// A buffer of 4 KiB before `inner`.
    pub fn new(inner: W) -> Self {
        Self::with_capacity(BYTES_DEFAULT, inner)
    }

    /// A buffer of `bytes` before `inner`.
    pub fn with_capacity(bytes: usize, inner: W) -> Self {
        BufWriter { buffer: Vec::with_capacity(bytes), inner }
    }

    /// What is buffered.
    pub fn buffer(&self) -> &[u8] {
        &self.buffer
    }

    /// The writer below.
    pub fn get_ref(&self) -> &W {
        &self.inner
    }

    /// The writer below. Writing to it directly loses the order.
    pub fn get_mut(&mut self) -> &mut W {
        &mut self.inner
    }

    /// Writes out the buffer; what could not be written stays in it.
    fn empty(&mut self) -> Result<()> {
        let mut written = 0;
        let result = loop {
            if written == self.buffer.len() {
                break Ok(());
            }
            match self.inner.write(&self.buffer[written..]) {
                Ok(0) => break Err(Error::with_message(ErrorKind::WriteZero, "failed to write the buffered data")),
                Ok(bytes) => written += bytes,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => break Err(error),
            }
        };
        self.buffer.drain(..written);
        result
    }
}

impl<W: Write> Write for BufWriter<W> {
    fn write(&mut self, buffer: &[u8]) -> Result<usize> {
        if self.buffer.len() + buffer.len() > self.buffer.capacity() {
            self.empty()?;
        }
        if buffer.len() >= self.buffer.capacity() {
            return self.inner.write(buffer);
        }
        self.buffer.extend_from_slice(buffer);
        Ok(buffer.len())
    }

    fn flush(&mut self) -> Result<()> {
        self.empty()?;
        self.inner.flush()
    }
}

impl<W: Write> Drop for BufWriter<W> {
    fn drop(&mut self) {
        // Nobody is left to be told; whoever cares has flushed.
        self.empty().ok();
    }
}

impl<W: Write + fmt::Debug> fmt::Debug for BufWriter<W> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BufWriter").field("inner", &self.inner).field("buffered", &self.buffer.len()).finish()
    }
}
