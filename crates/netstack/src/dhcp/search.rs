//! The domains in which short names are looked for, as a server names them: a list (option 119, RFC 3397) or, without one, the
//! domain that the machine is in (option 15).

use crate::dns::{names, names_of_text};
use alloc::string::String;
use alloc::vec::Vec;
use smoltcp::wire::DhcpOption;

/// The machine's domain.
pub(super) const DOMAIN_OPTION: u8 = 15;
/// The list.
pub(super) const SEARCH_OPTION: u8 = 119;
/// What more than one option may hold together.
const LIST_BYTES_MAX: usize = 1024;

/// The domains that the options of a message name.
pub(super) fn domains<'a>(options: impl Iterator<Item = DhcpOption<'a>>) -> Vec<String> {
    let (mut domain, mut list) = (Vec::new(), Vec::new());
    for option in options {
        let text = match option.kind {
            DOMAIN_OPTION => &mut domain,
            SEARCH_OPTION => &mut list,
            _ => continue,
        };
        // A long option comes in several, which are one (RFC 3396).
        if text.len() + option.data.len() > LIST_BYTES_MAX || text.try_reserve(option.data.len()).is_err() {
            continue;
        }
        text.extend_from_slice(option.data);
    }
    let listed = names(&list);
    // Some servers end the domain with a zero; others name several, as they are written into files.
    if listed.is_empty() { names_of_text(&domain) } else { listed }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn from(options: &[(u8, &[u8])]) -> Vec<String> {
        domains(options.iter().map(|&(kind, data)| DhcpOption { kind, data }))
    }

    #[test]
    fn a_list_is_one_in_several_options() {
        // In one option, and in two with another in between.
        let first = b"\x03eng\x05apple\x03com\x00\x09marketing\xc0\x04";
        let wanted = ["eng.apple.com", "marketing.apple.com"];
        assert_eq!(from(&[(SEARCH_OPTION, first)]), wanted);
        assert_eq!(from(&[(SEARCH_OPTION, &first[..9]), (6, &[1; 4]), (SEARCH_OPTION, &first[9..])]), wanted);
        assert_eq!(from(&[(DOMAIN_OPTION, b"other.test"), (SEARCH_OPTION, first)]), wanted);
    }

    #[test]
    fn the_domain_stands_for_a_list() {
        assert_eq!(from(&[(DOMAIN_OPTION, b"example.org")]), ["example.org"]);
        assert_eq!(from(&[(DOMAIN_OPTION, b"a.test. b_1.test\0")]), ["a.test", "b_1.test"]);
        assert_eq!(from(&[(SEARCH_OPTION, b"\xc0\x00"), (DOMAIN_OPTION, b"a.test")]), ["a.test"]);
        assert!(from(&[]).is_empty());
    }

    #[test]
    fn what_is_no_domain_is_none() {
        for text in [&b"a\nnameserver 6.6.6.6"[..], b"a..b", b".", b"\xc3\xa4", b"-", b"a;b"] {
            let found = from(&[(DOMAIN_OPTION, text)]);
            assert!(found.iter().all(|name| !name.contains(['\n', ';']) && !name.contains("..")), "{found:?}");
        }
        assert!(from(&[(DOMAIN_OPTION, &[b'a'; 64])]).is_empty());
    }
}
