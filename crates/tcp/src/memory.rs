//! The network's share of memory: what connections and datagrams may take of it, and buffers of streams to be used again.
//!
//! Buffers come in sizes that are powers of two. One that is given back is kept for the next, up to a bound; when memory is
//! wanted for something else, those go first.

use alloc::boxed::Box;
use alloc::vec::Vec;

/// The smallest buffer: a full segment and some.
pub(crate) const BUFFER_BYTES_MIN: usize = 2 << 10;
/// The largest.
pub(crate) const BUFFER_BYTES_MAX: usize = 4 << 20;
const SIZES: usize = (BUFFER_BYTES_MAX / BUFFER_BYTES_MIN).ilog2() as usize + 1;
/// Spare buffers are kept as long as they are no more than this part of the network's share.
const SPARE_PART: usize = 4;

/// Accounts and spare buffers.
#[derive(Debug)]
pub struct Memory {
    limit_bytes: usize,
    /// Spare buffers are kept up to so much.
    spare_max_bytes: usize,
    /// From so much on, beside spare buffers, memory is scarce.
    scarce_bytes: usize,
    /// Spare buffers included.
    used_bytes: usize,
    spare_bytes: usize,
    /// By size.
    spares: [Vec<Box<[u8]>>; SIZES],
    /// How often something was refused.
    pub refused: u64,
}

/// Which size holds so many bytes.
#[inline]
fn size(bytes: usize) -> usize {
    if bytes <= BUFFER_BYTES_MIN { 0 } else { (bytes - 1).ilog2() as usize - BUFFER_BYTES_MIN.ilog2() as usize + 1 }
}

impl Memory {
    /// So much may be used.
    #[must_use]
    pub fn new(limit_bytes: usize) -> Self {
        Memory {
            limit_bytes,
            spare_max_bytes: limit_bytes / SPARE_PART,
            scarce_bytes: limit_bytes - limit_bytes / 4,
            used_bytes: 0,
            spare_bytes: 0,
            spares: [const { Vec::new() }; SIZES],
            refused: 0,
        }
    }

    /// Bytes in use, spare buffers included.
    #[must_use]
    pub fn used_bytes(&self) -> usize {
        self.used_bytes
    }

    /// Bytes of spare buffers.
    #[must_use]
    pub fn spare_bytes(&self) -> usize {
        self.spare_bytes
    }

    /// So much is in use that nobody should get more than they need.
    #[inline]
    #[must_use]
    pub fn is_scarce(&self) -> bool {
        self.used_bytes - self.spare_bytes >= self.scarce_bytes
    }

    /// A buffer of at least so many bytes; `None` when the network's share is used up, or none is that large.
    #[inline]
    pub fn take(&mut self, bytes: usize) -> Option<Box<[u8]>> {
        let size = size(bytes);
        match self.spares.get_mut(size)?.pop() {
            Some(spare) => {
                self.spare_bytes -= spare.len();
                Some(spare)
            }
            None => self.make(BUFFER_BYTES_MIN << size),
        }
    }

    #[cold]
    fn make(&mut self, bytes: usize) -> Option<Box<[u8]>> {
        if !self.charge(bytes) {
            return None;
        }
        let mut buffer = Vec::new();
        if buffer.try_reserve_exact(bytes).is_err() {
            self.refund(bytes);
            self.refused += 1;
            return None;
        }
        buffer.resize(bytes, 0);
        Some(buffer.into_boxed_slice())
    }

    /// Takes a buffer back; nothing for one that is none.
    #[inline]
    pub fn put(&mut self, buffer: Box<[u8]>) {
        let spares = &mut self.spares[size(buffer.len())];
        let spare_bytes = self.spare_bytes + buffer.len();
        // None that is none: it would be found among the smallest.
        if spare_bytes <= self.spare_max_bytes && spares.len() < spares.capacity() && !buffer.is_empty() {
            spares.push(buffer);
            self.spare_bytes = spare_bytes;
        } else {
            self.put_rarely(buffer);
        }
    }

    #[cold]
    fn put_rarely(&mut self, buffer: Box<[u8]>) {
        let bytes = buffer.len();
        if bytes == 0 {
            return;
        }
        let spares = &mut self.spares[size(bytes)];
        if self.spare_bytes + bytes <= self.spare_max_bytes && spares.try_reserve(1).is_ok() {
            spares.push(buffer);
            self.spare_bytes += bytes;
        } else {
            self.refund(bytes);
        }
    }

    /// Takes memory from the network's share; `false` when it is used up.
    pub fn charge(&mut self, bytes: usize) -> bool {
        while self.used_bytes + bytes > self.limit_bytes
            && let Some(spare) = self.spares.iter_mut().rev().find_map(Vec::pop)
        {
            self.spare_bytes -= spare.len();
            self.refund(spare.len());
        }
        let fits = self.used_bytes + bytes <= self.limit_bytes;
        if fits {
            self.used_bytes += bytes;
        } else {
            self.refused += 1;
        }
        fits
    }

    /// Gives memory back to the share.
    pub fn refund(&mut self, bytes: usize) {
        self.used_bytes -= bytes;
    }
}

#[cfg(test)]
mod tests {
    use super::{BUFFER_BYTES_MAX, Memory, size};

    #[test]
    fn sizes_are_powers_of_two() {
        for (bytes, expected) in [(0, 0), (1, 0), (2048, 0), (2049, 1), (4096, 1), (4097, 2), (BUFFER_BYTES_MAX, 11)] {
            assert_eq!(size(bytes), expected, "{bytes}");
        }
    }

    #[test]
    fn what_is_given_back_is_used_again_and_goes_first() {
        let mut memory = Memory::new(64 << 10);
        let buffer = memory.take(3000).unwrap();
        assert_eq!((buffer.len(), memory.used_bytes()), (4096, 4096));
        let place = buffer.as_ptr();
        memory.put(buffer);
        assert_eq!(memory.used_bytes(), 4096);
        let again = memory.take(4096).unwrap();
        assert_eq!(again.as_ptr(), place);
        memory.put(again);
        assert!(memory.charge(62 << 10), "the spare buffer makes room");
        assert_eq!(memory.used_bytes(), 62 << 10);
        assert!(memory.take(4096).is_none() && memory.is_scarce());
        memory.refund(62 << 10);
        assert!(memory.take(BUFFER_BYTES_MAX + 1).is_none());
        let large = memory.take(32 << 10).unwrap();
        memory.put(large);
        assert_eq!(memory.used_bytes(), 0, "a spare buffer is no more than a quarter");
    }
}
