//! Standard input on the console, host to guest: bytes, with escapes for what are no bytes of the program's.

use alloc::vec::Vec;

/// Starts an escape (ASCII "data link escape").
const ESCAPE: u8 = 0x10;

/// The bytes that tell the guest that its input has ended.
pub const END: [u8; 2] = [ESCAPE, b'E'];
/// The bytes that ask the guest to stop.
pub const STOP: [u8; 2] = [ESCAPE, b'S'];
/// The bytes that ask the guest what it has counted, since revision 1: see [`crate::stats`].
pub const STATISTICS: [u8; 2] = [ESCAPE, b'Q'];
/// The bytes that ask the guest how its network stands, since revision 2: see [`crate::sockets`].
pub const NETWORK: [u8; 2] = [ESCAPE, b'N'];

const WALL_CLOCK: u8 = b'T';
const WALL_CLOCK_DIGITS: u8 = 16;

/// The bytes that tell the guest what time it is, in nanoseconds since 1970 UTC, since revision 1.
pub fn wall_clock(ns: u64) -> [u8; 18] {
    let mut bytes = [ESCAPE; 18];
    bytes[1] = WALL_CLOCK;
    for (at, digit) in bytes[2..].iter_mut().enumerate() {
        *digit = b"0123456789abcdef"[(ns >> (60 - 4 * at) & 15) as usize];
    }
    bytes
}

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
    /// The host asks what the machine has counted.
    Statistics,
    /// The host asks how the network stands.
    Network,
    /// The host says what time it is: nanoseconds since 1970 UTC.
    WallClock(u64),
}

/// The guest's side: remembers an escape that is not complete yet.
#[derive(Clone, Copy, Debug, Default)]
pub struct Decoder {
    escaped: bool,
    /// How many digits of a time are still to come, and those that have.
    digits: u8,
    ns: u64,
}

impl Decoder {
    /// A decoder at the start of the input.
    pub const fn new() -> Self {
        Self { escaped: false, digits: 0, ns: 0 }
    }

    /// Takes one received byte. An unknown escape is dropped: it belongs to a later revision.
    pub fn push(&mut self, byte: u8) -> Option<Input> {
        if self.digits > 0 {
            return self.push_digit(byte);
        }
        if !self.escaped {
            self.escaped = byte == ESCAPE;
            return (!self.escaped).then_some(Input::Byte(byte));
        }
        self.escaped = false;
        match byte {
            ESCAPE => Some(Input::Byte(ESCAPE)),
            b'E' => Some(Input::End),
            b'S' => Some(Input::Stop),
            b'Q' => Some(Input::Statistics),
            b'N' => Some(Input::Network),
            WALL_CLOCK => {
                (self.digits, self.ns) = (WALL_CLOCK_DIGITS, 0);
                None
            }
            _ => None,
        }
    }

    /// What is no digit ends a time that was none.
    fn push_digit(&mut self, byte: u8) -> Option<Input> {
        let Some(digit) = char::from(byte).to_digit(16) else {
            self.digits = 0;
            return self.push(byte);
        };
        self.ns = self.ns << 4 | u64::from(digit);
        self.digits -= 1;
        (self.digits == 0).then_some(Input::WallClock(self.ns))
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
    fn what_the_kernel_is_told_is_told_from_bytes() {
        let wire = [&b"E"[..], &END, &STOP, &[ESCAPE, b'?'], &STATISTICS, &NETWORK, b"S"].concat();
        let all = [Input::Byte(b'E'), Input::End, Input::Stop, Input::Statistics, Input::Network, Input::Byte(b'S')];
        assert_eq!(decode(&wire), all);
    }

    #[test]
    fn a_time_arrives_as_it_was_sent() {
        for ns in [0, 1_786_000_000_123_456_789, u64::MAX] {
            let wire = [&wall_clock(ns)[..], b"5"].concat();
            assert_eq!(decode(&wire), [Input::WallClock(ns), Input::Byte(b'5')]);
        }
        let cut = [&wall_clock(7)[..9], &STOP, b"x"].concat();
        assert_eq!(decode(&cut), [Input::Stop, Input::Byte(b'x')]);
    }
}
