//! MSI-X: interrupts that are memory writes. Firecracker and Cloud Hypervisor offer no others.

use crate::capabilities::registers;
use crate::{Address, Capability, ConfigSpace, Structure};

const CONTROL_ENABLE: u32 = 1 << 31;
const CONTROL_MASK_ALL: u32 = 1 << 30;

/// The MSI-X capability of a function.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Msix {
    function: Address,
    offset: u8,
    /// How many vectors it has.
    pub vectors: u16,
    /// The table of vectors: 16 bytes each, address (8), data (4), mask (4).
    pub table: Structure,
}

impl Msix {
    /// The number that says what the capability is.
    pub const ID: u8 = 0x11;
    /// Bytes of a table entry.
    pub const ENTRY_BYTES: u32 = 16;

    /// Reads the capability; `None` when it is another one, or is cut off.
    pub fn read(config: &dyn ConfigSpace, function: Address, capability: Capability) -> Option<Msix> {
        if capability.id != Msix::ID {
            return None;
        }
        let [head, table] = registers(config, function, capability.offset)?;
        let vectors = (head >> 16 & 0x7ff) as u16 + 1;
        let bytes = u32::from(vectors) * Msix::ENTRY_BYTES;
        let table = Structure { bar: table as u8 & 7, offset: table & !7, bytes };
        Some(Msix { function, offset: capability.offset, vectors, table })
    }

    /// Turns MSI-X on. Entries of the table that were not written are masked.
    pub fn enable(&self, config: &dyn ConfigSpace) {
        let head = config.read(self.function, self.offset);
        config.write(self.function, self.offset, head & !CONTROL_MASK_ALL | CONTROL_ENABLE);
    }
}
