//! The fixed description table (FADT, signature `FACP`): how to switch off, reset and tell time.
//!
//! Its length says which fields it has; virtual machines give 0x74 (QEMU's `pc`) to 0x114 bytes.

use crate::bytes::{u8_at, u16_at, u32_at, u64_at};
use crate::{Error, Table};

const FLAG_TIMER_32_BITS: u32 = 1 << 8;
const FLAG_RESET_REGISTER: u32 = 1 << 10;
const FLAG_HARDWARE_REDUCED: u32 = 1 << 20;
const BOOT_NO_CMOS_CLOCK: u16 = 1 << 5;

/// Where a register is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Space {
    /// Physical memory.
    Memory,
    /// Port space.
    Port,
}

/// A register: the generic address structure, or an old-style port.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Register {
    /// Where it is.
    pub space: Space,
    /// Its address or port.
    pub address: u64,
}

impl Register {
    /// Reads a generic address structure; `None` when it is absent or in a space that we do not reach.
    fn generic(bytes: &[u8], offset: usize) -> Option<Register> {
        let space = match u8_at(bytes, offset)? {
            0 => Space::Memory,
            1 => Space::Port,
            _ => return None,
        };
        let address = u64_at(bytes, offset + 4)?;
        (address != 0).then_some(Register { space, address })
    }

    /// Reads an old-style 32-bit port number.
    fn port(bytes: &[u8], offset: usize) -> Option<Register> {
        let address = u32_at(bytes, offset)?.into();
        (address != 0).then_some(Register { space: Space::Port, address })
    }
}

/// The power management timer, which counts at 3,579,545 Hz.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PmTimer {
    /// The counter.
    pub register: Register,
    /// How many bits it has: 24 or 32.
    pub bits: u32,
}

/// The fixed description table.
#[derive(Clone, Copy, Debug)]
pub struct Fadt<'m>(Table<'m>);

impl<'m> Fadt<'m> {
    /// The signature that finds it.
    pub const SIGNATURE: [u8; 4] = *b"FACP";

    /// Reads the table.
    ///
    /// # Errors
    /// [`Error::Short`] when not even the flags of revision 1 are there.
    pub fn new(table: Table<'m>) -> Result<Fadt<'m>, Error> {
        if table.bytes().len() < 116 { Err(Error::Short) } else { Ok(Fadt(table)) }
    }

    /// The table itself.
    pub fn table(&self) -> Table<'m> {
        self.0
    }

    fn flags(&self) -> u32 {
        u32_at(self.0.bytes(), 112).unwrap_or(0)
    }

    /// The machine has none of the hardware that a PC had: no PIC, PIT, PM1 registers or PM timer need be there.
    pub fn hardware_reduced(&self) -> bool {
        self.flags() & FLAG_HARDWARE_REDUCED != 0
    }

    /// The machine says that it has no CMOS clock.
    pub fn without_cmos_clock(&self) -> bool {
        u16_at(self.0.bytes(), 109).unwrap_or(0) & BOOT_NO_CMOS_CLOCK != 0
    }

    /// Where the DSDT is.
    pub fn dsdt_address(&self) -> Option<u64> {
        let wide = u64_at(self.0.bytes(), 140).filter(|address| *address != 0);
        wide.or_else(|| u32_at(self.0.bytes(), 40).filter(|address| *address != 0).map(u64::from))
    }

    /// The register of a hardware-reduced machine that takes `0x20 | type << 2` to switch off.
    pub fn sleep_control(&self) -> Option<Register> {
        Register::generic(self.0.bytes(), 244)
    }

    /// The 16-bit registers of a PC that take `0x2000 | type << 10` to switch off: all that there are.
    pub fn pm1_control(&self) -> impl Iterator<Item = Register> {
        let bytes = self.0.bytes();
        let registers = [(172, 64), (184, 68)];
        registers
            .into_iter()
            .filter_map(|(wide, narrow)| Register::generic(bytes, wide).or_else(|| Register::port(bytes, narrow)))
    }

    /// The register that resets the machine, and the byte to write there.
    pub fn reset(&self) -> Option<(Register, u8)> {
        if self.flags() & FLAG_RESET_REGISTER == 0 {
            return None;
        }
        Some((Register::generic(self.0.bytes(), 116)?, u8_at(self.0.bytes(), 128)?))
    }

    /// The power management timer.
    pub fn pm_timer(&self) -> Option<PmTimer> {
        let bytes = self.0.bytes();
        let register = Register::generic(bytes, 208).or_else(|| {
            let present = u8_at(bytes, 91) == Some(4);
            if present { Register::port(bytes, 76) } else { None }
        })?;
        let bits = if self.flags() & FLAG_TIMER_32_BITS != 0 { 32 } else { 24 };
        Some(PmTimer { register, bits })
    }
}

/// The sleep type that means "off", from the `_S5_` package of a DSDT: `Name (_S5_, Package () { type, ...})`.
///
/// This is the one value that must come from AML; firmware always writes it in this form.
pub fn sleep_type_s5(dsdt: &[u8]) -> Option<u8> {
    const PACKAGE: u8 = 0x12;
    const BYTE_PREFIX: u8 = 0x0a;
    let at = dsdt.windows(5).position(|window| window == [b'_', b'S', b'5', b'_', PACKAGE])?;
    let length_at = at + 5;
    let length_bytes = 1 + usize::from(u8_at(dsdt, length_at)? >> 6);
    let element = length_at + length_bytes + 1; // after the count of elements
    match u8_at(dsdt, element)? {
        BYTE_PREFIX => u8_at(dsdt, element + 1).filter(|kind| *kind < 8),
        kind @ 0..=1 => Some(kind), // ZeroOp, OneOp
        _ => None,
    }
}
