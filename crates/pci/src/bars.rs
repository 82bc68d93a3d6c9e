//! Base address registers: how large, where, and a place for those that the firmware left without one.

use core::fmt;
use core::ops::Range;

use crate::{Address, ConfigSpace, Structure};

const COMMAND: u8 = 4;
const COMMAND_MEMORY: u32 = 1 << 1;
const COMMAND_MASTER: u32 = 1 << 2;
const COMMAND_NO_INTX: u32 = 1 << 10;
const BARS: u8 = 6;

/// What a BAR maps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BarKind {
    /// Memory whose address has 32 bits.
    Memory32,
    /// Memory whose address has 64 bits; takes the next register too.
    Memory64,
    /// Ports, which we do not use.
    Port,
}

/// One implemented BAR.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bar {
    /// What it maps.
    pub kind: BarKind,
    /// Where it is; 0 when the firmware gave it no place.
    pub address: u64,
    /// Its size, a power of two.
    pub bytes: u64,
}

/// A range of physical memory inside a BAR.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Region {
    /// The first byte.
    pub address: u64,
    /// How many bytes.
    pub bytes: u64,
}

/// There is no address left for a BAR.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NoSpace {
    /// Which BAR.
    pub index: u8,
    /// Its size.
    pub bytes: u64,
}

impl fmt::Display for NoSpace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "no address space for BAR {} of {} bytes", self.index, self.bytes)
    }
}

impl core::error::Error for NoSpace {}

/// Physical addresses from which BARs without a place are given one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Window(Range<u64>);

impl Window {
    /// A window over `range`.
    pub fn new(range: Range<u64>) -> Window {
        Window(range)
    }

    pub(crate) fn take(&mut self, bytes: u64) -> Option<u64> {
        let address = self.0.start.checked_next_multiple_of(bytes)?;
        let end = address.checked_add(bytes).filter(|end| *end <= self.0.end)?;
        self.0.start = end;
        Some(address)
    }
}

/// The BARs of one function.
#[derive(Clone, Copy, Debug)]
pub struct Bars {
    function: Address,
    bars: [Option<Bar>; BARS as usize],
}

impl Bars {
    /// Sizes the BARs whose bit is set in `wanted`. The function answers to no address until
    /// [`enable`](Self::enable).
    pub fn probe(config: &dyn ConfigSpace, function: Address, wanted: u8) -> Bars {
        let command = config.read(function, COMMAND) & 0xffff;
        config.write(function, COMMAND, command & !(COMMAND_MEMORY | 1));
        let mut bars = [None; BARS as usize];
        let mut index = 0;
        while index < BARS {
            let low = config.read(function, register(index));
            let is_wide = low & 0b111 == 0b100 && index + 1 < BARS;
            if wanted & 1 << index != 0 {
                bars[usize::from(index)] = size(config, function, index, low, is_wide);
            }
            index += if is_wide { 2 } else { 1 };
        }
        Bars { function, bars }
    }

    /// The BAR of this number, if it is implemented and was asked for.
    pub fn get(&self, index: u8) -> Option<Bar> {
        self.bars.get(usize::from(index)).copied().flatten()
    }

    /// Gives each memory BAR without an address one from `window`.
    ///
    /// # Errors
    /// [`NoSpace`] when one does not fit.
    pub fn assign(&mut self, config: &dyn ConfigSpace, window: &mut Window) -> Result<(), NoSpace> {
        for (index, slot) in (0..).zip(&mut self.bars) {
            let Some(bar) = slot.as_mut().filter(|bar| bar.address == 0 && bar.kind != BarKind::Port) else {
                continue;
            };
            let address = window.take(bar.bytes);
            let fits = |address: &u64| bar.kind == BarKind::Memory64 || address + bar.bytes <= 1 << 32;
            let address = address.filter(fits).ok_or(NoSpace { index, bytes: bar.bytes })?;
            config.write(self.function, register(index), address as u32);
            if bar.kind == BarKind::Memory64 {
                config.write(self.function, register(index + 1), (address >> 32) as u32);
            }
            bar.address = address;
        }
        Ok(())
    }

    /// Lets the function answer to its addresses and read and write memory, and not raise its interrupt line.
    pub fn enable(&self, config: &dyn ConfigSpace) {
        let command = config.read(self.function, COMMAND) & 0xffff;
        config.write(self.function, COMMAND, command | COMMAND_MEMORY | COMMAND_MASTER | COMMAND_NO_INTX);
    }

    /// Where `structure` is, when at least `bytes_min` of it lie inside a memory BAR that has an address.
    pub fn region(&self, structure: Structure, bytes_min: u64) -> Option<Region> {
        let bar = self.get(structure.bar)?;
        if bar.kind == BarKind::Port || bar.address == 0 {
            return None;
        }
        let (offset, bytes) = (u64::from(structure.offset), u64::from(structure.bytes));
        let inside = offset.checked_add(bytes)? <= bar.bytes;
        let address = bar.address.checked_add(offset)?;
        (inside && bytes >= bytes_min).then_some(Region { address, bytes })
    }
}

const fn register(index: u8) -> u8 {
    0x10 + 4 * index
}

/// Finds the size of a BAR: the address bits that can be set. Leaves the register as it was.
fn size(config: &dyn ConfigSpace, function: Address, index: u8, low: u32, is_wide: bool) -> Option<Bar> {
    let mask_of = |register: u8, value: u32| {
        config.write(function, register, u32::MAX);
        let mask = config.read(function, register);
        config.write(function, register, value);
        mask
    };
    let low_mask = mask_of(register(index), low);
    if low & 1 != 0 {
        return (low_mask & !3 != 0).then_some(Bar { kind: BarKind::Port, address: (low & !3).into(), bytes: 0 });
    }
    let (mut address, mut mask) = (u64::from(low & !15), u64::from(low_mask & !15) | 0xffff_ffff << 32);
    if is_wide {
        let high = config.read(function, register(index + 1));
        let high_mask = mask_of(register(index + 1), high);
        address |= u64::from(high) << 32;
        mask = mask & 0xffff_ffff | u64::from(high_mask) << 32;
    } else if low_mask & !15 == 0 {
        return None;
    }
    if mask == 0 {
        return None;
    }
    let kind = if is_wide { BarKind::Memory64 } else { BarKind::Memory32 };
    Some(Bar { kind, address, bytes: 1 << mask.trailing_zeros() })
}
