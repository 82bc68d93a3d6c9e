//! A record: one line of `key=value` pairs, values percent-encoded.

use crate::percent::Value;
use alloc::vec::Vec;
use core::fmt;

/// The value of `key` in a record line; `None` when it is absent or badly encoded.
pub fn field<'a>(line: &'a str, key: &str) -> Option<Value<'a>> {
    line.split_ascii_whitespace()
        .filter_map(|pair| pair.split_once('='))
        .find(|(name, _)| *name == key)
        .and_then(|(_, value)| Value::new(value).ok())
}

/// Reads a number, decimal or `0x` hexadecimal.
pub(crate) fn number(value: Value<'_>) -> Option<u64> {
    let text = value.encoded();
    match text.strip_prefix("0x") {
        Some(digits) => u64::from_str_radix(digits, 16).ok(),
        None => text.parse().ok(),
    }
}

/// Writes bytes as two digits each.
pub(crate) fn write_hex(f: &mut fmt::Formatter<'_>, bytes: &[u8]) -> fmt::Result {
    bytes.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
}

/// Reads such bytes.
pub(crate) fn hex_bytes(value: Value<'_>) -> Option<Vec<u8>> {
    let (pairs, rest) = value.encoded().as_bytes().as_chunks::<2>();
    let digit = |digit: u8| Some(char::from(digit).to_digit(16)? as u8);
    let bytes = pairs.iter().map(|[high, low]| Some(digit(*high)? << 4 | digit(*low)?)).collect::<Option<_>>()?;
    rest.is_empty().then_some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_found_by_their_whole_name() {
        let line = "event=listen port=80 support=1\n";
        assert_eq!(number(field(line, "port").unwrap()), Some(80));
        assert_eq!(field(line, "por"), None);
        assert_eq!(field("a=%", "a"), None);
    }
}
