//! What an image brings with it, so that it boots alone: sections that the guest reserves and `toro build` fills.
//!
//! The command line: magic, length of the text as a little-endian `u32`, text, zeros; [`SECTION_BYTES`] in all. Where the
//! boot module is, in [`ModulePlace`].

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

/// Name of the ELF section that says where the boot module is.
pub const MODULE_SECTION: &str = ".toro.module";
/// First bytes of that section.
pub const MODULE_MAGIC: [u8; 8] = *b"TOROMDL1";
/// Size of that section: magic, address and length as little-endian `u64`.
pub const MODULE_SECTION_BYTES: usize = 24;

/// Where a boot module is that is loaded with the image, as one more of its segments.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ModulePlace {
    /// Its physical address, at a page.
    pub address: u64,
    /// Its length in bytes.
    pub len_bytes: u64,
}

impl ModulePlace {
    /// A section that says that there is none: the guest's static.
    pub const fn none() -> [u8; MODULE_SECTION_BYTES] {
        let mut section = [0; MODULE_SECTION_BYTES];
        let mut at = 0;
        while at < MODULE_MAGIC.len() {
            section[at] = MODULE_MAGIC[at];
            at += 1;
        }
        section
    }

    /// What a section says; `None` when there is no module, or the bytes are not a section.
    pub fn read(section: &[u8]) -> Option<Self> {
        let (place, _) = section.strip_prefix(&MODULE_MAGIC)?.as_chunks::<8>();
        let [address, len_bytes] = [*place.first()?, *place.get(1)?].map(u64::from_le_bytes);
        (len_bytes > 0).then_some(Self { address, len_bytes })
    }

    /// The section that says this.
    pub fn section(self) -> [u8; MODULE_SECTION_BYTES] {
        let mut section = Self::none();
        section[8..16].copy_from_slice(&self.address.to_le_bytes());
        section[16..].copy_from_slice(&self.len_bytes.to_le_bytes());
        section
    }
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
    #[test]
    fn the_place_of_a_module_survives() {
        assert_eq!(ModulePlace::read(&ModulePlace::none()), None);
        let place = ModulePlace { address: 0x14_5000, len_bytes: 1 << 33 };
        assert_eq!(ModulePlace::read(&place.section()), Some(place));
        assert_eq!(ModulePlace::read(&place.section()[..20]), None);
        assert_eq!(ModulePlace::read(&[0; 24]), None);
    }
}
