//! The command line inside an image: a section that the guest reserves and `toro build` fills.
//!
//! Layout: magic, length of the text as a little-endian `u32`, text, zeros; [`SECTION_BYTES`] in all.

/// Name of the ELF section.
pub const SECTION: &str = ".toro.cmdline";
/// First bytes of the section.
pub const MAGIC: [u8; 8] = *b"TOROCMD1";
/// Size of the section.
pub const SECTION_BYTES: usize = 2048;
/// Longest text that fits.
pub const TEXT_BYTES_MAX: usize = SECTION_BYTES - TEXT_AT;

const LEN_AT: usize = MAGIC.len();
const TEXT_AT: usize = LEN_AT + 4;

/// The text does not fit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooLong {
    /// Its length; [`TEXT_BYTES_MAX`] is the limit.
    pub len_bytes: usize,
}

/// A section with no text: the guest's static.
pub const fn empty() -> [u8; SECTION_BYTES] {
    let mut section = [0; SECTION_BYTES];
    let mut at = 0;
    while at < MAGIC.len() {
        section[at] = MAGIC[at];
        at += 1;
    }
    section
}

/// The text of a section; `None` when the bytes are not one.
pub fn read(section: &[u8]) -> Option<&str> {
    let len = section.strip_prefix(&MAGIC)?.first_chunk::<4>()?;
    let len = u32::from_le_bytes(*len) as usize;
    core::str::from_utf8(section.get(TEXT_AT..)?.get(..len)?).ok()
}

/// Replaces the text of a section.
pub fn write(section: &mut [u8; SECTION_BYTES], text: &str) -> Result<(), TooLong> {
    if text.len() > TEXT_BYTES_MAX {
        return Err(TooLong { len_bytes: text.len() });
    }
    *section = empty();
    section[LEN_AT..TEXT_AT].copy_from_slice(&(text.len() as u32).to_le_bytes());
    section[TEXT_AT..TEXT_AT + text.len()].copy_from_slice(text.as_bytes());
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_survives() {
        let mut section = empty();
        assert_eq!(read(&section), Some(""));
        write(&mut section, "arg=app").unwrap();
        assert_eq!(read(&section), Some("arg=app"));
        write(&mut section, "a=b").unwrap();
        assert_eq!(read(&section), Some("a=b"));
    }

    #[test]
    fn the_longest_text_fits_and_one_more_does_not() {
        let mut section = empty();
        let text = "x".repeat(TEXT_BYTES_MAX);
        write(&mut section, &text).unwrap();
        assert_eq!(read(&section), Some(text.as_str()));
        assert_eq!(
            write(&mut section, &"x".repeat(TEXT_BYTES_MAX + 1)),
            Err(TooLong { len_bytes: TEXT_BYTES_MAX + 1 })
        );
    }

    #[test]
    fn lying_bytes_are_refused() {
        let mut section = empty();
        section[LEN_AT..TEXT_AT].copy_from_slice(&u32::MAX.to_le_bytes());
        assert_eq!(read(&section), None);
        assert_eq!(read(b"TOROCMD1"), None);
        assert_eq!(read(b"something else entirely"), None);
    }
}
