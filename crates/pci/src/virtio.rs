//! The structures of a virtio function, by its vendor capabilities.

use crate::capabilities::registers;
use crate::{Address, Capabilities, ConfigSpace, Function, Msix};

const VENDOR: u16 = 0x1af4;
const CAPABILITY_VENDOR: u8 = 9;

/// A structure in a BAR, as a capability describes it: an allegation until [`Bars::region`](crate::Bars::region).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Structure {
    /// Which BAR.
    pub bar: u8,
    /// Where in it.
    pub offset: u32,
    /// How long.
    pub bytes: u32,
}

/// The structures that a modern virtio function has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct VirtioStructures {
    /// Features, status and queues.
    pub common: Structure,
    /// Where to notify.
    pub notify: Structure,
    /// Bytes between the notification registers of two queues.
    pub notify_multiplier: u32,
    /// Configuration of this type of device, where it has one.
    pub device: Option<Structure>,
    /// Interrupts, where it has MSI-X.
    pub msix: Option<Msix>,
}

/// The virtio device type of a PCI function: 1 net, 3 console, 4 rng... `None` when it is not virtio.
///
/// Transitional functions (0x1000 to 0x103f) are virtio too: their modern structures are used.
pub fn virtio_device_type(config: &dyn ConfigSpace, function: &Function) -> Option<u16> {
    match (function.vendor, function.device) {
        (VENDOR, 0x1040..=0x107f) => Some(function.device - 0x1040),
        (VENDOR, 0x1000..=0x103f) => Some((config.read(function.address, 0x2c) >> 16) as u16),
        _ => None,
    }
}

impl VirtioStructures {
    /// Finds the structures of `function`: the first of each kind, which the device prefers. `None` when one that
    /// must be there is not: a legacy function.
    pub fn find(config: &dyn ConfigSpace, function: Address) -> Option<VirtioStructures> {
        let (mut common, mut notify, mut device, mut msix) = (None, None, None, None);
        for capability in Capabilities::new(config, function) {
            msix = msix.or_else(|| Msix::read(config, function, capability));
            // Kind and length come with the register that the walk has read.
            let (bytes, kind) = ((capability.head >> 16) as u8, (capability.head >> 24) as u8);
            if capability.id != CAPABILITY_VENDOR || bytes < 16 {
                continue;
            }
            let structure = || {
                let [place, offset, bytes] = registers(config, function, capability.offset.checked_add(4)?)?;
                Some(Structure { bar: place as u8, offset, bytes }).filter(|structure| structure.bar < 6)
            };
            match kind {
                1 if common.is_none() => common = structure(),
                2 if notify.is_none() && bytes >= 20 => {
                    let multiplier = || registers(config, function, capability.offset.checked_add(16)?);
                    notify = structure().zip(multiplier());
                }
                4 if device.is_none() => device = structure(),
                _ => {}
            }
        }
        let (notify, [notify_multiplier]) = notify?;
        Some(VirtioStructures { common: common?, notify, notify_multiplier, device, msix })
    }

    /// The BARs that the structures are in, as bits.
    pub fn bars(&self) -> u8 {
        let optional = [self.device, self.msix.map(|msix| msix.table)];
        let all = [self.common, self.notify].into_iter().chain(optional.into_iter().flatten());
        all.fold(0, |bits, structure| bits | 1 << structure.bar)
    }
}
