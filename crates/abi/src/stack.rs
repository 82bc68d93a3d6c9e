//! Pieces of a crashed program's stack: the guest has no tables to unwind it by, the host has.

use crate::record::{field, hex_bytes, number, write_hex};
use alloc::vec::Vec;
use core::fmt;

/// Bytes in a record, which stays a line that is written in one piece.
pub const BYTES_MAX: usize = 96;

/// A piece, as it is written. `Display` writes the line without its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Piece<'a> {
    /// The address of the first byte.
    pub at: u64,
    /// The bytes: [`BYTES_MAX`] at most.
    pub bytes: &'a [u8],
}

impl fmt::Display for Piece<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "event=stack at={:#x} bytes=", self.at)?;
        write_hex(f, self.bytes)
    }
}

/// Reads a piece, if a line is one: its address and its bytes.
#[must_use]
pub fn parse(line: &str) -> Option<(u64, Vec<u8>)> {
    if field(line, "event")?.encoded() != "stack" {
        return None;
    }
    let bytes = hex_bytes(field(line, "bytes")?).filter(|bytes| bytes.len() <= BYTES_MAX)?;
    Some((number(field(line, "at")?)?, bytes))
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::ToString;
    use alloc::vec;

    #[test]
    fn a_piece_is_read_as_it_was_written() {
        let piece = Piece { at: 0x7ffe_0000_1000, bytes: &[0, 0xff, 0x12] };
        assert_eq!(piece.to_string(), "event=stack at=0x7ffe00001000 bytes=00ff12");
        assert_eq!(parse(&piece.to_string()), Some((piece.at, vec![0, 0xff, 0x12])));
        assert!(Piece { at: u64::MAX, bytes: &[1; BYTES_MAX] }.to_string().len() < 256);
    }

    #[test]
    fn what_is_no_piece_is_not_read() {
        for line in
            ["event=stack at=0x1", "event=stack at=x bytes=00", "event=stack at=1 bytes=+1", "event=boot bytes=00"]
        {
            assert_eq!(parse(line), None, "{line}");
        }
    }
}
