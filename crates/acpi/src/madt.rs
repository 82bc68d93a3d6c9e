//! The interrupt controllers (MADT, signature `APIC`): processors, I/O APICs, and lines that were moved.

use crate::bytes::{u8_at, u16_at, u32_at, u64_at};
use crate::{Error, Table};

const FLAG_ENABLED: u32 = 1;

/// One entry that matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Entry {
    /// A processor that is there (types 0 and 9, enabled). One that is only online-capable may be plugged in later: it
    /// would not answer now. Nor is one whose number means everybody.
    Processor {
        /// Its local APIC.
        apic_id: u32,
    },
    /// An I/O APIC.
    IoApic {
        /// Where its registers are.
        address: u64,
        /// The interrupt number of its first line.
        gsi_base: u32,
    },
    /// An interrupt of the ISA bus that is not on the line of the same number.
    Override {
        /// The ISA interrupt.
        isa_irq: u8,
        /// The line it is on.
        gsi: u32,
        /// Polarity and trigger mode, as the specification has them.
        flags: u16,
    },
    /// The local APIC is not where [`Madt::local_apic`] says.
    LocalApic {
        /// Where its registers are.
        address: u64,
    },
}

/// The table of interrupt controllers.
#[derive(Clone, Copy, Debug)]
pub struct Madt<'m>(Table<'m>);

impl<'m> Madt<'m> {
    /// The signature that finds it.
    pub const SIGNATURE: [u8; 4] = *b"APIC";

    /// Reads the table.
    ///
    /// # Errors
    /// [`Error::Short`] when its fixed part is not there.
    pub fn new(table: Table<'m>) -> Result<Madt<'m>, Error> {
        if table.body().len() < 8 { Err(Error::Short) } else { Ok(Madt(table)) }
    }

    /// Where the registers of the local APICs are, unless an [`Entry::LocalApic`] says otherwise.
    pub fn local_apic(&self) -> u64 {
        u32_at(self.0.body(), 0).unwrap_or(0).into()
    }

    /// There is a pair of 8259 controllers, which must be masked.
    pub fn has_8259(&self) -> bool {
        u32_at(self.0.body(), 4).unwrap_or(0) & 1 != 0
    }

    /// All entries that matter, in the order of the table; it ends at the first entry that cannot be.
    pub fn entries(&self) -> impl Iterator<Item = Entry> + use<'m> {
        let mut rest = &self.0.body()[8..];
        core::iter::from_fn(move || {
            loop {
                let length = usize::from(*rest.get(1)?);
                let entry = rest.get(..length).filter(|entry| entry.len() >= 2)?;
                rest = &rest[length..];
                if let Some(known) = Entry::parse(entry) {
                    return Some(known);
                }
            }
        })
    }
}

impl Entry {
    fn parse(bytes: &[u8]) -> Option<Entry> {
        let usable = |flags: u32| flags & FLAG_ENABLED != 0;
        match bytes[0] {
            0 if usable(u32_at(bytes, 4)?) => {
                Some(u8_at(bytes, 3)?).filter(|id| *id != u8::MAX).map(|id| Entry::Processor { apic_id: id.into() })
            }
            9 if usable(u32_at(bytes, 8)?) => {
                Some(u32_at(bytes, 4)?).filter(|id| *id != u32::MAX).map(|apic_id| Entry::Processor { apic_id })
            }
            1 => Some(Entry::IoApic { address: u32_at(bytes, 4)?.into(), gsi_base: u32_at(bytes, 8)? }),
            2 => Some(Entry::Override { isa_irq: u8_at(bytes, 3)?, gsi: u32_at(bytes, 4)?, flags: u16_at(bytes, 8)? }),
            5 => Some(Entry::LocalApic { address: u64_at(bytes, 4)? }),
            _ => None,
        }
    }
}
