//! Intel's MP table: the processors of machines without ACPI (QEMU's microvm, Firecracker without it).

use crate::Error;
use crate::bytes::{checksum, u8_at, u16_at, u32_at};

const POINTER_SIGNATURE: &[u8; 4] = b"_MP_";
const POINTER_BYTES: usize = 16;
const SIGNATURE: &[u8; 4] = b"PCMP";
const HEADER_BYTES: usize = 44;
const PROCESSOR_BYTES: usize = 20;
const OTHER_BYTES: usize = 8;
const FLAG_ENABLED: u8 = 1;

/// Where a machine may keep the pointer to its table: address and length in bytes. The last KiB of base memory, where
/// the extended BIOS data begin, and the BIOS itself.
pub const MP_AREAS: [(u64, usize); 2] = [(0x9_fc00, 0x400), (0xf_0000, 0x1_0000)];

/// The table of processors, buses and interrupts; of them, the processors.
#[derive(Clone, Copy, Debug)]
pub struct MpTable<'m>(&'m [u8]);

impl<'m> MpTable<'m> {
    /// The address of the table, from the pointer somewhere in `area`, which begins at a 16-byte boundary.
    pub fn find(area: &[u8]) -> Option<u64> {
        let mut places = area.chunks_exact(POINTER_BYTES);
        let sound = |place: &&[u8]| place.starts_with(POINTER_SIGNATURE) && place[8] == 1 && checksum(place) == 0;
        let address = u32_at(places.find(sound)?, 4)?;
        (address != 0).then_some(address.into())
    }

    /// Reads the table at `address`; `read` maps so many bytes of physical memory, or cannot.
    ///
    /// # Errors
    /// [`Error`] when it cannot be read, or has a wrong signature, length or checksum.
    pub fn open(address: u64, read: impl Fn(u64, usize) -> Option<&'m [u8]>) -> Result<MpTable<'m>, Error> {
        let head = read(address, HEADER_BYTES).ok_or(Error::Unreadable(address))?;
        if !head.starts_with(SIGNATURE) {
            return Err(Error::Signature);
        }
        let length = usize::from(u16_at(head, 4).ok_or(Error::Short)?);
        if length < HEADER_BYTES {
            return Err(Error::Short);
        }
        let table = read(address, length).filter(|table| table.len() == length).ok_or(Error::Unreadable(address))?;
        if checksum(table) != 0 { Err(Error::Checksum) } else { Ok(MpTable(table)) }
    }

    /// The local APICs of the processors that are there, in the order of the table. They come first in it, so it ends at the
    /// first entry of a type that cannot be.
    pub fn processors(&self) -> impl Iterator<Item = u32> + use<'m> {
        let mut rest = self.0.get(HEADER_BYTES..).unwrap_or_default();
        core::iter::from_fn(move || {
            loop {
                let bytes = match *rest.first()? {
                    0 => PROCESSOR_BYTES,
                    1..=4 => OTHER_BYTES,
                    _ => return None,
                };
                let entry = rest.get(..bytes)?;
                rest = &rest[bytes..];
                if bytes == PROCESSOR_BYTES && entry[3] & FLAG_ENABLED != 0 {
                    return u8_at(entry, 1).map(u32::from);
                }
            }
        })
    }
}
