//! Finding the functions: bus 0, and the buses behind the bridges seen there. No bus is scanned on suspicion; one
//! without a number is given one.

use crate::{Address, Bridges, ConfigSpace};

const HEADER_MULTIFUNCTION: u8 = 0x80;
const HEADER_BRIDGE: u8 = 1;

/// A function that is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Function {
    /// Where.
    pub address: Address,
    /// Who made it.
    pub vendor: u16,
    /// Which of the maker's devices it is.
    pub device: u16,
    /// The layout of its configuration space: 0 for a device, 1 for a bridge.
    pub header: u8,
}

/// Shows `found` each function, parents before what is behind them; the bridges among them.
pub fn enumerate(config: &dyn ConfigSpace, found: &mut dyn FnMut(Function)) -> Bridges {
    let mut bridges = Bridges::default();
    let mut waiting = Buses::default();
    waiting.insert(0);
    let mut seen = waiting;
    while let Some(bus) = waiting.take_first().or_else(|| bridges.number_next(config)) {
        for device in 0..32 {
            let mut functions = 1;
            let mut function = 0;
            while function < functions {
                let address = Address { bus, device, function };
                function += 1;
                let id = config.read(address, 0);
                // Firecracker answers reads that nobody claims with zeros, others with ones.
                if matches!(id as u16, 0 | 0xffff) {
                    continue;
                }
                let header = (config.read(address, 0x0c) >> 16) as u8;
                if header & HEADER_MULTIFUNCTION != 0 && address.function == 0 {
                    functions = 8;
                }
                let header = header & !HEADER_MULTIFUNCTION;
                found(Function { address, vendor: id as u16, device: (id >> 16) as u16, header });
                // A bus is looked at once, wherever bridges say that they lead.
                if header == HEADER_BRIDGE
                    && let Some(behind) = bridges.add(config, address)
                    && !seen.contains(behind)
                {
                    seen.insert(behind);
                    waiting.insert(behind);
                }
            }
        }
    }
    bridges
}

/// A set of bus numbers.
#[derive(Clone, Copy, Default)]
struct Buses([u64; 4]);

impl Buses {
    fn insert(&mut self, bus: u8) {
        self.0[usize::from(bus / 64)] |= 1 << (bus % 64);
    }

    fn contains(&self, bus: u8) -> bool {
        self.0[usize::from(bus / 64)] & 1 << (bus % 64) != 0
    }

    fn take_first(&mut self) -> Option<u8> {
        let (index, word) = self.0.iter_mut().enumerate().find(|(_, word)| **word != 0)?;
        let bit = word.trailing_zeros();
        *word &= *word - 1;
        Some((index * 64) as u8 + bit as u8)
    }
}
