//! Standard input on the console, host to guest: bytes, with escapes for the two things that are no bytes.

use alloc::vec::Vec;

/// Starts an escape (ASCII "data link escape").
const ESCAPE: u8 = 0x10;

/// The bytes that tell the guest that its input has ended.
pub const END: [u8; 2] = [ESCAPE, b'E'];
/// The bytes that ask the guest to stop.
pub const STOP: [u8; 2] = [ESCAPE, b'S'];

/// Appends `bytes` as the guest must receive them.
pub fn encode(bytes: &[u8], out: &mut Vec<u8>) {
    for &byte in bytes {
        if byte == ESCAPE {
            out.push(ESCAPE);
        }
        out.push(byte);
    }
}

/// What arrived.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Input {
    /// One byte of input.
    Byte(u8),
    /// The input has ended.
    End,
    /// The host asks to stop.
    Stop,
}

/// The guest's side: remembers an escape that is not complete yet.
#[derive(Clone, Copy, Debug, Default)]
pub struct Decoder {
    escaped: bool,
}

impl Decoder {
    /// A decoder at the start of the input.
    pub const fn new() -> Self {
        Self { escaped: false }
    }

    /// Takes one received byte. An unknown escape is dropped: it belongs to a later version.
    pub fn push(&mut self, byte: u8) -> Option<Input> {
        if !self.escaped {
            self.escaped = byte == ESCAPE;
            return (!self.escaped).then_some(Input::Byte(byte));
        }
        self.escaped = false;
        match byte {
            ESCAPE => Some(Input::Byte(ESCAPE)),
            b'E' => Some(Input::End),
            b'S' => Some(Input::Stop),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decode(bytes: &[u8]) -> Vec<Input> {
        let mut decoder = Decoder::new();
        bytes.iter().filter_map(|byte| decoder.push(*byte)).collect()
    }

    #[test]
    fn every_byte_arrives() {
        let all: Vec<u8> = (0..=255).chain([ESCAPE, ESCAPE, b'E']).collect();
        let mut wire = Vec::new();
        encode(&all, &mut wire);
        assert_eq!(decode(&wire), all.iter().map(|byte| Input::Byte(*byte)).collect::<Vec<_>>());
    }

    #[test]
    fn the_end_and_the_wish_to_stop_are_told_from_bytes() {
        let wire = [&b"E"[..], &END, &STOP, &[ESCAPE, b'?'], b"S"].concat();
        assert_eq!(decode(&wire), [Input::Byte(b'E'), Input::End, Input::Stop, Input::Byte(b'S')]);
    }
}
