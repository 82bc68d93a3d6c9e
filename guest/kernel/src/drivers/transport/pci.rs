//! A virtio device on PCI.

use super::super::DeviceError;
use super::super::registers::{Doorbell, DoorbellWidth, Registers};
use super::Line;
use crate::arch::cores;
use crate::arch::interrupt::{self, Vector};
use core::fmt;
use toro_pci::{Address, Bars, ConfigSpace, Msix, Structure, VirtioStructures, Window};

const DEVICE_FEATURES_SELECT: usize = 0x00;
const DEVICE_FEATURES: usize = 0x04;
const DRIVER_FEATURES_SELECT: usize = 0x08;
const DRIVER_FEATURES: usize = 0x0c;
const CONFIG_VECTOR: usize = 0x10;
const STATUS: usize = 0x14;
const QUEUE_SELECT: usize = 0x16;
const QUEUE_SIZE: usize = 0x18;
const QUEUE_VECTOR: usize = 0x1a;
const QUEUE_ENABLE: usize = 0x1c;
const QUEUE_NOTIFY_OFFSET: usize = 0x1e;
const QUEUE_DESCRIPTORS: usize = 0x20;
const QUEUE_DRIVER: usize = 0x28;
const QUEUE_DEVICE: usize = 0x30;
const COMMON_BYTES: u64 = 0x38;
/// More of a structure is never looked at.
const STRUCTURE_BYTES_MAX: u64 = 0x1000;
const ENTRY_BYTES: usize = Msix::ENTRY_BYTES as usize;
/// More entries of the MSI-X table are never used: one for each core, and one for changes of the configuration.
const LINES_MAX: u16 = 65;

/// A device on PCI.
#[derive(Debug)]
pub(in super::super) struct Pci {
    function: Address,
    common: Registers,
    notify: Registers,
    notify_multiplier: u32,
    config: Option<Registers>,
    /// The MSI-X table.
    vectors: Option<Registers>,
}

impl Pci {
    /// The device at `function`; BARs that the firmware left without a place get one from `window`.
    pub(in super::super) fn open(
        config: &dyn ConfigSpace,
        function: Address,
        window: &mut Window,
    ) -> Result<Pci, DeviceError> {
        let structures = VirtioStructures::find(config, function).ok_or(DeviceError::Legacy)?;
        let mut bars = Bars::probe(config, function, structures.bars());
        bars.assign(config, window)?;
        bars.enable(config);
        let map = |structure: Structure, bytes_min: u64| {
            let region = bars.region(structure, bytes_min).filter(|region| region.address.is_multiple_of(4));
            let region = region.ok_or(DeviceError::Structures)?;
            Registers::map(region.address, region.bytes.min(STRUCTURE_BYTES_MAX))
        };
        let vectors = match structures.msix {
            Some(msix) => {
                let table = map(msix.table, Msix::ENTRY_BYTES.into())?;
                msix.enable(config);
                Some(table)
            }
            None => None,
        };
        Ok(Pci {
            function,
            common: map(structures.common, COMMON_BYTES)?,
            notify: map(structures.notify, 2)?,
            notify_multiplier: structures.notify_multiplier,
            config: structures.device.map(|device| map(device, 1)).transpose()?,
            vectors,
        })
    }

    pub(super) fn features(&self) -> u64 {
        let half = |select| {
            self.common.write_u32(DEVICE_FEATURES_SELECT, select);
            u64::from(self.common.read_u32(DEVICE_FEATURES))
        };
        half(0) | half(1) << 32
    }

    pub(super) fn accept_features(&self, features: u64) {
        for (select, half) in [(0, features as u32), (1, (features >> 32) as u32)] {
            self.common.write_u32(DRIVER_FEATURES_SELECT, select);
            self.common.write_u32(DRIVER_FEATURES, half);
        }
    }

    pub(super) fn queue_size_max(&self, index: u16) -> u32 {
        self.common.write_u16(QUEUE_SELECT, index);
        self.common.read_u16(QUEUE_SIZE).into()
    }

    pub(super) fn start_queue(
        &self,
        index: u16,
        size: u16,
        parts: [u64; 3],
        interrupt: Option<Line>,
    ) -> Result<Doorbell, DeviceError> {
        self.common.write_u16(QUEUE_SELECT, index);
        self.common.write_u16(QUEUE_SIZE, size);
        if let Some(Line(entry)) = interrupt {
            self.common.write_u16(QUEUE_VECTOR, entry);
            if self.common.read_u16(QUEUE_VECTOR) != entry {
                return Err(DeviceError::Interrupt);
            }
        }
        for (register, address) in [QUEUE_DESCRIPTORS, QUEUE_DRIVER, QUEUE_DEVICE].into_iter().zip(parts) {
            self.common.write_u64(register, address);
        }
        let steps = usize::from(self.common.read_u16(QUEUE_NOTIFY_OFFSET));
        let offset = steps.checked_mul(self.notify_multiplier as usize);
        let offset = offset.filter(|offset| offset % 2 == 0 && self.notify.holds(*offset, 2));
        let doorbell = self.notify.doorbell(offset.ok_or(DeviceError::Structures)?, index, DoorbellWidth::Bits16);
        self.common.write_u16(QUEUE_ENABLE, 1);
        Ok(doorbell)
    }

    /// Entries of the MSI-X table that can be reached.
    pub(super) fn lines(&self) -> u16 {
        let Some(table) = &self.vectors else { return 0 };
        let reached = |entries: &u16| !table.holds(0, usize::from(*entries) * ENTRY_BYTES);
        (1..=LINES_MAX).find(reached).map_or(LINES_MAX, |entries| entries - 1)
    }

    pub(super) fn route_interrupts(&self, Line(entry): Line, vector: Vector) -> Result<(), DeviceError> {
        let offset = usize::from(entry) * ENTRY_BYTES;
        let table = self.vectors.as_ref().filter(|table| table.holds(offset, ENTRY_BYTES));
        let table = table.ok_or(DeviceError::Interrupt)?;
        let message = interrupt::msi_message_to(cores::current(), vector);
        let (address, data) = message.ok_or(DeviceError::Interrupt)?;
        table.write_u64(offset, address);
        table.write_u32(offset + 8, data);
        table.write_u32(offset + 12, 0); // not masked
        Ok(())
    }

    pub(super) fn route_changes(&self, Line(entry): Line) -> bool {
        self.common.write_u16(CONFIG_VECTOR, entry);
        self.common.read_u16(CONFIG_VECTOR) == entry
    }

    pub(super) fn config(&self) -> Option<&Registers> {
        self.config.as_ref()
    }

    pub(super) fn status(&self) -> u8 {
        self.common.read_u8(STATUS)
    }

    pub(super) fn set_status(&self, status: u8) {
        self.common.write_u8(STATUS, status);
    }
}

impl fmt::Display for Pci {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "pci {}", self.function)
    }
}
