//! Access to configuration space, and the name of a function in it.

use core::fmt;

/// Which function: bus, device, function number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Address {
    /// The bus.
    pub bus: u8,
    /// The device on the bus: 0 to 31.
    pub device: u8,
    /// The function of the device: 0 to 7.
    pub function: u8,
}

impl Address {
    /// The function's bits in an ECAM address (`<< 12`) and in the 0xcf8 register (`<< 8`).
    pub const fn bits(self) -> u32 {
        (self.bus as u32) << 8 | (self.device as u32 & 31) << 3 | self.function as u32 & 7
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:02x}:{:02x}.{}", self.bus, self.device, self.function)
    }
}

/// The first 256 bytes of the configuration space of every function, by aligned 32-bit registers.
pub trait ConfigSpace {
    /// Reads the register at byte offset `register`; all ones where there is no function.
    fn read(&self, function: Address, register: u8) -> u32;
    /// Writes the register at byte offset `register`.
    fn write(&self, function: Address, register: u8, value: u32);
}

impl<C: ConfigSpace + ?Sized> ConfigSpace for &C {
    fn read(&self, function: Address, register: u8) -> u32 {
        (**self).read(function, register)
    }
    fn write(&self, function: Address, register: u8, value: u32) {
        (**self).write(function, register, value);
    }
}
