//! The root pointer: the one structure whose place the boot protocol tells.

use crate::Error;
use crate::bytes::{array_at, checksum, u8_at, u32_at, u64_at};

const SIGNATURE: &[u8; 8] = b"RSD PTR ";
/// Bytes of revision 0, and of the part of revision 2 that its first checksum covers.
const BYTES_REVISION_0: usize = 20;
/// Bytes of revision 2; as many are worth mapping, revision 0 may lie at the end of what can be mapped.
pub const RSDP_BYTES_MAX: usize = 36;

/// The table that lists all others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Root {
    /// 32-bit addresses.
    Rsdt(u64),
    /// 64-bit addresses.
    Xsdt(u64),
}

/// The root system description pointer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rsdp {
    /// Who made the tables.
    pub oem_id: [u8; 6],
    /// Where the list of tables is.
    pub root: Root,
}

impl Rsdp {
    /// Reads the structure at the beginning of `bytes`: of revision 0, or of revision 2 when enough is there.
    ///
    /// # Errors
    /// [`Error`] when the signature, the length or a checksum is wrong.
    pub fn parse(bytes: &[u8]) -> Result<Rsdp, Error> {
        let first = bytes.get(..BYTES_REVISION_0).ok_or(Error::Short)?;
        if !first.starts_with(SIGNATURE) {
            return Err(Error::Signature);
        }
        if checksum(first) != 0 {
            return Err(Error::Checksum);
        }
        let oem_id = array_at(first, 9).ok_or(Error::Short)?;
        let rsdt = u32_at(first, 16).ok_or(Error::Short)?;
        let mut root = Root::Rsdt(rsdt.into());
        if u8_at(first, 15) >= Some(2) {
            let length = u32_at(bytes, 20).ok_or(Error::Short)? as usize;
            let whole = bytes.get(..length).filter(|whole| whole.len() >= 32).ok_or(Error::Short)?;
            if checksum(whole) != 0 {
                return Err(Error::Checksum);
            }
            match u64_at(whole, 24) {
                Some(xsdt) if xsdt != 0 => root = Root::Xsdt(xsdt),
                _ => {}
            }
        }
        Ok(Rsdp { oem_id, root })
    }

    /// Looks for the structure at each 16-byte boundary of `bytes`, and tells its offset: the last resort, in the BIOS
    /// area from 0xe0000 to 0xfffff.
    pub fn scan(bytes: &[u8]) -> Option<usize> {
        (0..bytes.len()).step_by(16).find(|offset| {
            let here = &bytes[*offset..];
            here.starts_with(SIGNATURE) && Rsdp::parse(here).is_ok()
        })
    }
}
