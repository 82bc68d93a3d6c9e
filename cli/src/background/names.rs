//! Names of guests: those that may be chosen, and those that are made up.

use std::hash::{BuildHasher, RandomState};
use toro_vmm::Error;

/// Longest name: it is a folder's, and the guest's host name.
const NAME_BYTES_MAX: usize = 63;

/// Fails for a name that a folder or a host cannot have, or that an option could be taken for.
pub(crate) fn check(name: &str) -> Result<(), Error> {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '-');
    let starts_well = name.starts_with(|c: char| c.is_ascii_alphanumeric());
    if starts_well && name.chars().all(is_plain) && name.len() <= NAME_BYTES_MAX {
        return Ok(());
    }
    Err(Error::new(format!("cannot name a guest `{name}`")).help(
        "a name has letters, digits, `_`, `.` and `-`, starts with a letter or digit, and has at most 63 characters",
    ))
}

const QUALITIES: [&str; 16] = [
    "brave", "calm", "eager", "fair", "gentle", "happy", "keen", "light", "merry", "noble", "proud", "quick", "quiet",
    "swift", "warm", "wise",
];
const ANIMALS: [&str; 16] = [
    "badger", "bison", "crane", "dolphin", "falcon", "fox", "heron", "ibex", "lynx", "otter", "owl", "raven", "seal",
    "stork", "swan", "wren",
];

/// A name that nobody chose, another one each time; the more attempts failed, the longer.
pub(crate) fn make_up(attempt: u32) -> String {
    let random = RandomState::new().hash_one(attempt);
    let pick = |list: &[&'static str; 16], shift: u32| list[(random >> shift) as usize % 16];
    let name = format!("{}-{}", pick(&QUALITIES, 0), pick(&ANIMALS, 8));
    if attempt < 8 { name } else { format!("{name}-{}", (random >> 16) % 100_000) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_of_folders_and_hosts() {
        for name in ["web", "a", "Web_1.x-y", &"a".repeat(63)] {
            assert!(check(name).is_ok(), "{name}");
        }
        for name in ["", ".", "..", "-d", ".lock", "a/b", "a b", "ä", &"a".repeat(64)] {
            assert!(check(name).is_err(), "{name}");
        }
        for attempt in 0..20 {
            assert!(check(&make_up(attempt)).is_ok());
        }
    }
}
