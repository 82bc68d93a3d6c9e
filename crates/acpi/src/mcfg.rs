//! The memory-mapped configuration space of PCI (MCFG).

use crate::Table;
use crate::bytes::{u8_at, u16_at, u64_at};

/// One range of buses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Segment {
    /// Where the configuration space of bus 0 is, even when the range begins at a later bus.
    pub address: u64,
    /// The segment group.
    pub group: u16,
    /// The first bus.
    pub bus_first: u8,
    /// The last bus.
    pub bus_last: u8,
}

/// The table of configuration spaces.
#[derive(Clone, Copy, Debug)]
pub struct Mcfg<'m>(Table<'m>);

impl<'m> Mcfg<'m> {
    /// The signature that finds it.
    pub const SIGNATURE: [u8; 4] = *b"MCFG";

    /// Reads the table.
    pub fn new(table: Table<'m>) -> Mcfg<'m> {
        Mcfg(table)
    }

    /// All ranges whose buses are in order.
    pub fn segments(&self) -> impl Iterator<Item = Segment> + use<'m> {
        let entries = self.0.body().get(8..).unwrap_or_default().chunks_exact(16);
        entries.filter_map(|entry| {
            let segment = Segment {
                address: u64_at(entry, 0)?,
                group: u16_at(entry, 8)?,
                bus_first: u8_at(entry, 10)?,
                bus_last: u8_at(entry, 11)?,
            };
            (segment.bus_first <= segment.bus_last).then_some(segment)
        })
    }
}
