//! PCI configuration space, by memory and by ports.

use super::registers::Registers;
use crate::arch::port;
use core::cell::Cell;
use toro_acpi::Segment;
use toro_pci::{Address, ConfigSpace};

const FUNCTION_BYTES: u64 = 4096;
const ADDRESS: u16 = 0xcf8;
const DATA: u16 = 0xcfc;
const ENABLE: u32 = 1 << 31;

/// Configuration space in memory: 4 KiB for each function, mapped when it is first looked at.
pub(super) struct MemoryWindow {
    segment: Segment,
    /// Function 0 of each device of bus 0: there all devices of most machines are.
    mapped: [Cell<Option<Registers>>; 32],
}

impl MemoryWindow {
    pub(super) fn new(segment: Segment) -> MemoryWindow {
        MemoryWindow { segment, mapped: [const { Cell::new(None) }; 32] }
    }

    fn registers(&self, function: Address) -> Option<Registers> {
        if !(self.segment.bus_first..=self.segment.bus_last).contains(&function.bus) {
            return None;
        }
        let cached = self.mapped.get(function.bits() as usize >> 3).filter(|_| function.function == 0);
        if let Some(registers) = cached.and_then(Cell::get) {
            return Some(registers);
        }
        let address = self.segment.address.checked_add(u64::from(function.bits()) << 12)?;
        let registers = Registers::map(address, FUNCTION_BYTES).ok()?;
        if let Some(cached) = cached {
            cached.set(Some(registers));
        }
        Some(registers)
    }
}

impl ConfigSpace for MemoryWindow {
    fn read(&self, function: Address, register: u8) -> u32 {
        self.registers(function).map_or(u32::MAX, |registers| registers.read_u32(register.into()))
    }

    fn write(&self, function: Address, register: u8, value: u32) {
        if let Some(registers) = self.registers(function) {
            registers.write_u32(register.into(), value);
        }
    }
}

/// Configuration space behind the ports 0xcf8 and 0xcfc.
pub(super) struct Ports(());

impl Ports {
    /// The ports, where they are: the address port keeps what is written.
    pub(super) fn present() -> Option<Ports> {
        port::outl(ADDRESS, ENABLE);
        (port::inl(ADDRESS) == ENABLE).then_some(Ports(()))
    }

    fn select(&self, function: Address, register: u8) {
        port::outl(ADDRESS, ENABLE | function.bits() << 8 | u32::from(register & !3));
    }
}

impl ConfigSpace for Ports {
    fn read(&self, function: Address, register: u8) -> u32 {
        self.select(function, register);
        port::inl(DATA)
    }

    fn write(&self, function: Address, register: u8, value: u32) {
        self.select(function, register);
        port::outl(DATA, value);
    }
}
