//! The list of capabilities in configuration space.

use crate::{Address, ConfigSpace};

const STATUS_HAS_LIST: u32 = 1 << 20;
/// More than fit into what is left of 256 bytes: a longer list is a loop.
const CAPABILITIES_MAX: u8 = 48;

/// One capability.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Capability {
    /// What it is.
    pub id: u8,
    /// Where it begins.
    pub offset: u8,
    /// Its first register, which holds `id`.
    pub head: u32,
}

/// Walks the list of one function; ends at whatever cannot be.
#[derive(Debug)]
pub struct Capabilities<C> {
    config: C,
    function: Address,
    next: u8,
    left: u8,
}

impl<C: ConfigSpace> Capabilities<C> {
    /// The list of `function`.
    pub fn new(config: C, function: Address) -> Capabilities<C> {
        let has_list = config.read(function, 4) & STATUS_HAS_LIST != 0;
        let next = if has_list { config.read(function, 0x34) as u8 } else { 0 };
        Capabilities { config, function, next, left: CAPABILITIES_MAX }
    }
}

impl<C: ConfigSpace> Iterator for Capabilities<C> {
    type Item = Capability;

    fn next(&mut self) -> Option<Capability> {
        let offset = self.next & !3;
        if offset < 0x40 {
            return None; // 0 ends the list; what is lower is the header
        }
        self.left = self.left.checked_sub(1)?;
        let head = self.config.read(self.function, offset);
        self.next = (head >> 8) as u8;
        Some(Capability { id: head as u8, offset, head })
    }
}

/// Reads `N` registers from `offset` on; `None` when they do not fit into configuration space.
pub(crate) fn registers<const N: usize>(config: &dyn ConfigSpace, function: Address, offset: u8) -> Option<[u32; N]> {
    if usize::from(offset) + 4 * N > 256 {
        return None;
    }
    Some(core::array::from_fn(|index| config.read(function, offset + 4 * index as u8)))
}
