//! Names as they stand one after the other in messages: of DHCP (RFC 3397), where what a name shares with an earlier one is a reference,
//! and of routers (RFC 8106), where it is not.
//!
//! They end in questions to name servers and in files that programs read, so what is no name of a host is none.

use alloc::string::String;
use alloc::vec::Vec;

/// As many as resolvers take.
const NAMES_MAX: usize = 6;
const LABEL_BYTES_MAX: usize = 63;
/// As it is written.
const NAME_BYTES_MAX: usize = 253;

/// The names of a list, as far as it can be read, and not more than a few.
#[must_use]
pub fn names(list: &[u8]) -> Vec<String> {
    let (mut found, mut at) = (Vec::new(), 0);
    while at < list.len() && found.len() < NAMES_MAX {
        let Some((name, next)) = read_name(list, at) else { break };
        at = next;
        match plain_name(name) {
            Some(name) if found.try_reserve(1).is_ok() => found.push(name),
            _ => {}
        }
    }
    found
}

/// The names of a text, which stand apart; with a dot at the end or without.
pub(crate) fn names_of_text(text: &[u8]) -> Vec<String> {
    let words = text.split(|byte| byte.is_ascii_whitespace() || *byte == 0);
    let mut found = Vec::new();
    for word in words.filter(|word| !word.is_empty()).take(NAMES_MAX) {
        let (word, mut name) = (word.strip_suffix(b".").unwrap_or(word), Vec::new());
        if name.try_reserve_exact(word.len()).is_err() || found.try_reserve(1).is_err() {
            break;
        }
        name.extend_from_slice(word);
        found.extend(plain_name(name));
    }
    found
}

/// The name that begins at `at`, and where the next one does. What it shares with an earlier one stands there, and nowhere behind.
fn read_name(list: &[u8], mut at: usize) -> Option<(Vec<u8>, usize)> {
    let (mut name, mut next, mut limit) = (Vec::new(), None, at);
    name.try_reserve_exact(NAME_BYTES_MAX).ok()?;
    loop {
        match *list.get(at)? {
            0 => return Some((name, next.unwrap_or(at + 1))),
            length @ 1..=0x3f => {
                let label = list.get(at + 1..at + 1 + usize::from(length))?;
                let dot = usize::from(!name.is_empty());
                if name.len() + dot + label.len() > NAME_BYTES_MAX {
                    return None;
                }
                name.extend_from_slice(&b"."[..dot]);
                name.extend_from_slice(label);
                at += 1 + usize::from(length);
            }
            high @ 0xc0.. => {
                let target = usize::from(high & 0x3f) << 8 | usize::from(*list.get(at + 1)?);
                next = next.or(Some(at + 2));
                if target >= limit {
                    return None;
                }
                (at, limit) = (target, target);
            }
            _ => return None,
        }
    }
}

/// A name whose labels are of letters, digits, `-` and `_`.
fn plain_name(name: Vec<u8>) -> Option<String> {
    let is_plain = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    let is_label = |label: &[u8]| (1..=LABEL_BYTES_MAX).contains(&label.len()) && label.iter().all(is_plain);
    let is_name = name.len() <= NAME_BYTES_MAX && name.split(|byte| *byte == b'.').all(is_label);
    String::from_utf8(name).ok().filter(|_| is_name)
}

#[cfg(test)]
mod tests {
    use super::names;

    #[test]
    fn names_share_their_ends() {
        // The example of RFC 3397, 2.
        let list = b"\x03eng\x05apple\x03com\x00\x09marketing\xc0\x04";
        assert_eq!(names(list), ["eng.apple.com", "marketing.apple.com"]);
        // Zeros fill up what routers say.
        assert_eq!(names(b"\x03lab\x04test\x00\x00\x00\x00"), ["lab.test"]);
    }

    #[test]
    fn what_is_no_name_is_none() {
        assert!(names(b"\x04a\nbc\x00\x03a;b\x00\x01\xe4\x00").is_empty());
        assert_eq!(names(&b"\x01a\x00".repeat(9)).len(), super::NAMES_MAX);
    }

    #[test]
    fn names_that_lead_nowhere_end() {
        for list in [&b"\xc0\x00"[..], b"\xc0\x05\x01a\x00", b"\x01a\xc0\x00", b"\x03ab", b"\x40", b"\xc0"] {
            assert!(names(list).is_empty(), "{list:?}");
        }
        let long = [[b"\x3f".as_slice(), &[b'a'; 63]].concat().repeat(5), b"\x00".to_vec()].concat();
        assert!(names(&long).is_empty());
        // What came before is good all the same.
        assert_eq!(names(b"\x01a\x00\xc0\x09"), ["a"]);
    }
}
