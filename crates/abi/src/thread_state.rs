//! What the threads of a crashed program have in registers: the host writes it into a core file.

use crate::record::{field, hex_bytes, number, write_hex};
use alloc::vec::Vec;
use core::fmt;

/// Bytes in a record, which stays a line that is written in one piece.
pub const BYTES_MAX: usize = 96;

/// General registers in a state: those of a report, then the bases of fs and gs, 8 bytes each, little-endian.
pub const REGISTERS: usize = 20;
/// Bytes that follow: x87 and SSE, as `FXSAVE` stores them.
pub const FXSAVE_BYTES: usize = 512;
/// Bytes of a whole state.
pub const STATE_BYTES: usize = REGISTERS * 8 + FXSAVE_BYTES;
/// Threads whose states a guest sends, the one that the report is about first.
pub const THREADS_MAX: usize = 256;

/// A piece of a thread's state, as it is written. `Display` writes the line without its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Piece<'a> {
    /// The thread's number.
    pub thread: u32,
    /// Where in the state these bytes are.
    pub offset: usize,
    /// The bytes: [`BYTES_MAX`] at most.
    pub bytes: &'a [u8],
}

impl fmt::Display for Piece<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "event=thread-state thread={} offset={} bytes=", self.thread, self.offset)?;
        write_hex(f, self.bytes)
    }
}

/// Reads a piece, if a line is one: thread, offset, bytes.
#[must_use]
pub fn parse(line: &str) -> Option<(u32, usize, Vec<u8>)> {
    if field(line, "event")?.encoded() != "thread-state" {
        return None;
    }
    let thread = u32::try_from(number(field(line, "thread")?)?).ok()?;
    let offset = usize::try_from(number(field(line, "offset")?)?).ok()?;
    let bytes = hex_bytes(field(line, "bytes")?)?;
    (bytes.len() <= BYTES_MAX && offset.checked_add(bytes.len())? <= STATE_BYTES).then_some((thread, offset, bytes))
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::ToString;
    use alloc::vec;

    #[test]
    fn a_piece_is_read_as_it_was_written() {
        let piece = Piece { thread: 12, offset: 96, bytes: &[0, 0xff, 0x12] };
        assert_eq!(piece.to_string(), "event=thread-state thread=12 offset=96 bytes=00ff12");
        assert_eq!(parse(&piece.to_string()), Some((12, 96, vec![0, 0xff, 0x12])));
        let longest = Piece { thread: u32::MAX, offset: STATE_BYTES, bytes: &[1; BYTES_MAX] };
        assert!(longest.to_string().len() < 256);
    }

    #[test]
    fn what_is_no_piece_is_not_read() {
        for line in [
            "event=thread-state thread=1 offset=0",
            "event=thread-state thread=x offset=0 bytes=00",
            "event=thread-state thread=1 offset=672 bytes=00",
            "event=thread-state thread=1 offset=0 bytes=0",
            "event=stack at=0x1 bytes=00",
        ] {
            assert_eq!(parse(line), None, "{line}");
        }
    }
}
