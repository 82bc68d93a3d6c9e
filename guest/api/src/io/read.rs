//! Where bytes come from.

use super::{Error, ErrorKind, Result};
use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;

/// Bytes that can be read in order.
pub trait Read {
    /// Reads into `buffer`, waiting until there is something; how many bytes it was. 0: the end, or an empty buffer.
    ///
    /// # Errors
    /// Nothing was read.
    fn read(&mut self, buffer: &mut [u8]) -> Result<usize>;

    /// Appends all bytes up to the end; how many they were.
    ///
    /// # Errors
    /// What was read before the error stays in `buffer`.
    fn read_to_end(&mut self, buffer: &mut Vec<u8>) -> Result<usize> {
        let start = buffer.len();
        let mut chunk = [0; 512];
        loop {
            match self.read(&mut chunk) {
                Ok(0) => return Ok(buffer.len() - start),
                Ok(read) => buffer.extend_from_slice(&chunk[..read]),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// Appends all text up to the end; how many bytes it was.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidData`] when it is not UTF-8; then, and after an error of `read`, `buffer` is as it was.
    fn read_to_string(&mut self, buffer: &mut String) -> Result<usize> {
        let mut bytes = Vec::new();
        self.read_to_end(&mut bytes)?;
        append_text(buffer, bytes)
    }

    /// Fills `buffer`.
    ///
    /// # Errors
    /// [`ErrorKind::UnexpectedEof`] when the input ends before; what stands in `buffer` then is not said.
    fn read_exact(&mut self, mut buffer: &mut [u8]) -> Result<()> {
        while !buffer.is_empty() {
            match self.read(buffer) {
                Ok(0) => return Err(Error::with_message(ErrorKind::UnexpectedEof, "failed to fill the whole buffer")),
                Ok(read) => buffer = &mut buffer[read..],
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// A reader that borrows this one.
    fn by_ref(&mut self) -> &mut Self
    where
        Self: Sized,
    {
        self
    }

    /// The bytes, one by one.
    fn bytes(self) -> Bytes<Self>
    where
        Self: Sized,
    {
        Bytes { inner: self }
    }

    /// A reader that ends after `limit` bytes.
    fn take(self, limit: u64) -> Take<Self>
    where
        Self: Sized,
    {
        Take { inner: self, limit }
    }
}

/// A reader with a buffer, from which it can read lines.
pub trait BufRead: Read {
    /// What is in the buffer; read more first if it is empty. Empty: the end.
    ///
    /// # Errors
    /// Those of the reader below.
    fn fill_buf(&mut self) -> Result<&[u8]>;

    /// Takes `amount` bytes out of the buffer.
    fn consume(&mut self, amount: usize);

    /// Appends the bytes up to and with `delimiter`, or to the end; how many they were.
    ///
    /// # Errors
    /// What was read before the error stays in `buffer`.
    fn read_until(&mut self, delimiter: u8, buffer: &mut Vec<u8>) -> Result<usize> {
        let start = buffer.len();
        loop {
            let available = match self.fill_buf() {
                Ok(available) => available,
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(error) => return Err(error),
            };
            let found = available.iter().position(|&byte| byte == delimiter);
            let used = found.map_or(available.len(), |at| at + 1);
            buffer.extend_from_slice(&available[..used]);
            self.consume(used);
            if found.is_some() || used == 0 {
                return Ok(buffer.len() - start);
            }
        }
    }

    /// Appends a line with its line break; how many bytes it was. 0: the end.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidData`] when it is not UTF-8; the line is then lost.
    fn read_line(&mut self, buffer: &mut String) -> Result<usize> {
        let mut bytes = Vec::new();
        self.read_until(b'\n', &mut bytes)?;
        append_text(buffer, bytes)
    }

    /// The lines, without their line breaks.
    fn lines(self) -> Lines<Self>
    where
        Self: Sized,
    {
        Lines { inner: self }
    }

    /// The pieces between `delimiter`s, without them.
    fn split(self, delimiter: u8) -> Split<Self>
    where
        Self: Sized,
    {
        Split { inner: self, delimiter }
    }
}

fn append_text(buffer: &mut String, bytes: Vec<u8>) -> Result<usize> {
    let text = String::from_utf8(bytes)
        .map_err(|_| Error::with_message(ErrorKind::InvalidData, "the input is not valid UTF-8"))?;
    buffer.push_str(&text);
    Ok(text.len())
}

/// See [`Read::bytes`].
#[derive(Debug)]
pub struct Bytes<R> {
    inner: R,
}

impl<R: Read> Iterator for Bytes<R> {
    type Item = Result<u8>;

    fn next(&mut self) -> Option<Result<u8>> {
        let mut byte = [0];
        match self.inner.read(&mut byte) {
            Ok(0) => None,
            Ok(_) => Some(Ok(byte[0])),
            Err(error) => Some(Err(error)),
        }
    }
}

/// See [`Read::take`].
#[derive(Debug)]
pub struct Take<R> {
    inner: R,
    limit: u64,
}

impl<R> Take<R> {
    /// How many bytes may still be read.
    pub fn limit(&self) -> u64 {
        self.limit
    }

    /// The reader below.
    pub fn into_inner(self) -> R {
        self.inner
    }

    fn cap(&self, bytes: usize) -> usize {
        usize::try_from(self.limit).map_or(bytes, |limit| limit.min(bytes))
    }
}

impl<R: Read> Read for Take<R> {
    fn read(&mut self, buffer: &mut [u8]) -> Result<usize> {
        let most = self.cap(buffer.len());
        let read = self.inner.read(&mut buffer[..most])?;
        self.limit = self.limit.saturating_sub(read as u64);
        Ok(read)
    }
}

impl<R: BufRead> BufRead for Take<R> {
    fn fill_buf(&mut self) -> Result<&[u8]> {
        if self.limit == 0 {
            return Ok(&[]);
        }
        let limit = usize::try_from(self.limit).unwrap_or(usize::MAX);
        let available = self.inner.fill_buf()?;
        Ok(&available[..available.len().min(limit)])
    }

    fn consume(&mut self, amount: usize) {
        let amount = self.cap(amount);
        self.limit -= amount as u64;
        self.inner.consume(amount);
    }
}

/// See [`BufRead::lines`].
#[derive(Debug)]
pub struct Lines<R> {
    inner: R,
}

impl<R: BufRead> Iterator for Lines<R> {
    type Item = Result<String>;

    fn next(&mut self) -> Option<Result<String>> {
        let mut line = String::new();
        match self.inner.read_line(&mut line) {
            Ok(0) => None,
            Ok(_) => {
                if line.ends_with('\n') {
                    line.pop();
                    if line.ends_with('\r') {
                        line.pop();
                    }
                }
                Some(Ok(line))
            }
            Err(error) => Some(Err(error)),
        }
    }
}

/// See [`BufRead::split`].
#[derive(Debug)]
pub struct Split<R> {
    inner: R,
    delimiter: u8,
}

impl<R: BufRead> Iterator for Split<R> {
    type Item = Result<Vec<u8>>;

    fn next(&mut self) -> Option<Result<Vec<u8>>> {
        let mut piece = Vec::new();
        match self.inner.read_until(self.delimiter, &mut piece) {
            Ok(0) => None,
            Ok(_) => {
                if piece.last() == Some(&self.delimiter) {
                    piece.pop();
                }
                Some(Ok(piece))
            }
            Err(error) => Some(Err(error)),
        }
    }
}

impl<R: Read + ?Sized> Read for &mut R {
    fn read(&mut self, buffer: &mut [u8]) -> Result<usize> {
        (**self).read(buffer)
    }
}

impl<R: BufRead + ?Sized> BufRead for &mut R {
    fn fill_buf(&mut self) -> Result<&[u8]> {
        (**self).fill_buf()
    }

    fn consume(&mut self, amount: usize) {
        (**self).consume(amount);
    }
}

impl<R: Read + ?Sized> Read for Box<R> {
    fn read(&mut self, buffer: &mut [u8]) -> Result<usize> {
        (**self).read(buffer)
    }
}

impl<R: BufRead + ?Sized> BufRead for Box<R> {
    fn fill_buf(&mut self) -> Result<&[u8]> {
        (**self).fill_buf()
    }

    fn consume(&mut self, amount: usize) {
        (**self).consume(amount);
    }
}

impl Read for &[u8] {
    fn read(&mut self, buffer: &mut [u8]) -> Result<usize> {
        let read = self.len().min(buffer.len());
        let (now, later) = self.split_at(read);
        buffer[..read].copy_from_slice(now);
        *self = later;
        Ok(read)
    }
}

impl BufRead for &[u8] {
    fn fill_buf(&mut self) -> Result<&[u8]> {
        Ok(self)
    }

    fn consume(&mut self, amount: usize) {
        *self = &self[amount..];
    }
}
