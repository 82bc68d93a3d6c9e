//! Percent-encoding: any bytes as one word without spaces, `=` or line ends.

use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

/// Whether `byte` stands for itself. Everything else, `%`, `=` and space among them, is written `%XX`.
const fn is_plain(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~' | b'/' | b':' | b',' | b'@' | b'+')
}

const HEX: &[u8; 16] = b"0123456789abcdef";

/// Writes the encoding of `bytes`.
pub fn write(out: &mut impl fmt::Write, bytes: &[u8]) -> fmt::Result {
    for &byte in bytes {
        if is_plain(byte) {
            out.write_char(byte as char)?;
        } else {
            out.write_char('%')?;
            out.write_char(HEX[usize::from(byte >> 4)] as char)?;
            out.write_char(HEX[usize::from(byte & 15)] as char)?;
        }
    }
    Ok(())
}

/// The encoding of `bytes`, to print.
#[derive(Clone, Copy, Debug)]
pub struct Encoded<'a>(pub &'a [u8]);

impl fmt::Display for Encoded<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write(f, self.0)
    }
}

/// Encodes all that is formatted through it: `write!(Writer(&mut line), "{message}")`.
#[derive(Debug)]
pub struct Writer<'a, W>(pub &'a mut W);

impl<W: fmt::Write> fmt::Write for Writer<'_, W> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        write(self.0, text.as_bytes())
    }
}

/// `bytes` as one encoded word.
pub fn encode(bytes: &[u8]) -> String {
    alloc::format!("{}", Encoded(bytes))
}

/// Encoded text that is known to be well formed; it decodes without failing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Value<'a> {
    encoded: &'a str,
}

/// A `%` that two hexadecimal digits do not follow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BadEscape;

impl<'a> Value<'a> {
    /// Checks `encoded`.
    pub fn new(encoded: &'a str) -> Result<Self, BadEscape> {
        let bytes = encoded.as_bytes();
        let mut at = 0;
        while at < bytes.len() {
            if bytes[at] == b'%' {
                let digits = bytes.get(at + 1..at + 3).ok_or(BadEscape)?;
                if !digits.iter().all(u8::is_ascii_hexdigit) {
                    return Err(BadEscape);
                }
                at += 3;
            } else {
                at += 1;
            }
        }
        Ok(Self { encoded })
    }

    /// The text as it was written, still encoded: enough for numbers and names, which need no escapes.
    pub const fn encoded(self) -> &'a str {
        self.encoded
    }

    /// The decoded bytes.
    pub const fn bytes(self) -> Bytes<'a> {
        Bytes { rest: self.encoded.as_bytes() }
    }

    /// The decoded bytes in one piece.
    pub fn to_vec(self) -> Vec<u8> {
        self.bytes().collect()
    }

    /// The decoded text; bytes that are not UTF-8 become U+FFFD.
    pub fn to_text(self) -> String {
        match String::from_utf8(self.to_vec()) {
            Ok(text) => text,
            Err(error) => String::from_utf8_lossy(error.as_bytes()).into_owned(),
        }
    }
}

/// Iterator of decoded bytes, from [`Value::bytes`].
#[derive(Clone, Debug)]
pub struct Bytes<'a> {
    rest: &'a [u8],
}

impl Iterator for Bytes<'_> {
    type Item = u8;

    fn next(&mut self) -> Option<u8> {
        match *self.rest {
            [b'%', high, low, ref rest @ ..] => {
                self.rest = rest;
                Some(digit(high) << 4 | digit(low))
            }
            [byte, ref rest @ ..] => {
                self.rest = rest;
                Some(byte)
            }
            [] => None,
        }
    }
}

/// The value of a hexadecimal digit; `Value::new` saw that it is one.
const fn digit(byte: u8) -> u8 {
    match byte {
        b'0'..=b'9' => byte - b'0',
        b'a'..=b'f' => byte - b'a' + 10,
        b'A'..=b'F' => byte - b'A' + 10,
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use core::fmt::Write;

    #[test]
    fn every_byte_survives_the_round_trip() {
        let all: Vec<u8> = (0..=255).collect();
        let word = encode(&all);
        assert!(!word.contains([' ', '=', '\n']), "{word}");
        assert_eq!(Value::new(&word).unwrap().to_vec(), all);
    }

    #[test]
    fn plain_text_stays_readable() {
        assert_eq!(encode(b"10.0.2.15/24"), "10.0.2.15/24");
        assert_eq!(encode("a b=ü".as_bytes()), "a%20b%3d%c3%bc");
    }

    #[test]
    fn half_an_escape_is_refused() {
        for text in ["%", "%2", "a%2", "%zz", "%2z", "%%20"] {
            assert_eq!(Value::new(text), Err(BadEscape), "{text}");
        }
    }

    #[test]
    fn bytes_that_are_no_text_are_shown_as_such() {
        assert_eq!(Value::new("a%ff").unwrap().to_text(), "a\u{fffd}");
    }

    #[test]
    fn formatting_goes_through_the_writer() {
        let mut line = String::new();
        write!(Writer(&mut line), "{} = {}", String::from("a b"), 1).unwrap();
        assert_eq!(line, "a%20b%20%3d%201");
    }
}
