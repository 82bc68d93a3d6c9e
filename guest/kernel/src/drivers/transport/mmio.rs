//! A virtio device with its registers at a fixed place.

use super::super::DeviceError;
use super::super::registers::{Doorbell, DoorbellWidth, Registers};
use super::Line;
use crate::arch::interrupt::Vector;
use crate::arch::io_apic;
use core::fmt;

const MAGIC: usize = 0x000;
const VERSION: usize = 0x004;
const DEVICE_ID: usize = 0x008;
const DEVICE_FEATURES: usize = 0x010;
const DEVICE_FEATURES_SELECT: usize = 0x014;
const DRIVER_FEATURES: usize = 0x020;
const DRIVER_FEATURES_SELECT: usize = 0x024;
const QUEUE_SELECT: usize = 0x030;
const QUEUE_SIZE_MAX: usize = 0x034;
const QUEUE_SIZE: usize = 0x038;
const QUEUE_READY: usize = 0x044;
const QUEUE_NOTIFY: usize = 0x050;
const INTERRUPT_ACKNOWLEDGE: usize = 0x064;
const STATUS: usize = 0x070;
const QUEUE_DESCRIPTORS: usize = 0x080;
const QUEUE_DRIVER: usize = 0x090;
const QUEUE_DEVICE: usize = 0x0a0;
const CONFIG: usize = 0x100;

/// "virt"
const MAGIC_VALUE: u32 = 0x7472_6976;
/// Bytes of registers with the configuration of any device that we drive.
const BYTES: u64 = 0x200;

/// A device at a fixed place.
#[derive(Debug)]
pub(in super::super) struct Mmio {
    address: u64,
    gsi: u32,
    registers: Registers,
    config: Registers,
}

impl Mmio {
    /// The device at `address` and its type; `None` when there is nothing, as in an empty slot of QEMU's.
    pub(in super::super) fn open(address: u64, gsi: u32) -> Result<Option<(u32, Mmio)>, DeviceError> {
        let registers = Registers::map(address, BYTES)?;
        if registers.read_u32(MAGIC) != MAGIC_VALUE {
            return Ok(None);
        }
        let device_type = registers.read_u32(DEVICE_ID);
        if device_type == 0 {
            return Ok(None);
        }
        if registers.read_u32(VERSION) != 2 {
            return Err(DeviceError::Legacy);
        }
        let config = registers.tail(CONFIG);
        Ok(Some((device_type, Mmio { address, gsi, registers, config })))
    }

    pub(super) fn features(&self) -> u64 {
        let half = |select| {
            self.registers.write_u32(DEVICE_FEATURES_SELECT, select);
            u64::from(self.registers.read_u32(DEVICE_FEATURES))
        };
        half(0) | half(1) << 32
    }

    pub(super) fn accept_features(&self, features: u64) {
        for (select, half) in [(0, features as u32), (1, (features >> 32) as u32)] {
            self.registers.write_u32(DRIVER_FEATURES_SELECT, select);
            self.registers.write_u32(DRIVER_FEATURES, half);
        }
    }

    pub(super) fn queue_size_max(&self, index: u16) -> u32 {
        self.registers.write_u32(QUEUE_SELECT, index.into());
        self.registers.read_u32(QUEUE_SIZE_MAX)
    }

    pub(super) fn start_queue(
        &self,
        index: u16,
        size: u16,
        parts: [u64; 3],
        _interrupt: Option<Line>,
    ) -> Result<Doorbell, DeviceError> {
        self.registers.write_u32(QUEUE_SELECT, index.into());
        self.registers.write_u32(QUEUE_SIZE, size.into());
        for (register, address) in [QUEUE_DESCRIPTORS, QUEUE_DRIVER, QUEUE_DEVICE].into_iter().zip(parts) {
            self.registers.write_u64(register, address);
        }
        self.registers.write_u32(QUEUE_READY, 1);
        Ok(self.registers.doorbell(QUEUE_NOTIFY, index, DoorbellWidth::Bits32))
    }

    pub(super) fn route_interrupts(&self, vector: Vector) -> Result<(), DeviceError> {
        Ok(io_apic::route_gsi(self.gsi, vector)?)
    }

    /// Lowers the line, whatever raised it: used buffers or a change of the configuration.
    pub(super) fn acknowledge_interrupt(&self) {
        self.registers.write_u32(INTERRUPT_ACKNOWLEDGE, 3);
    }

    pub(super) fn config(&self) -> Option<&Registers> {
        Some(&self.config)
    }

    pub(super) fn status(&self) -> u8 {
        self.registers.read_u32(STATUS) as u8
    }

    pub(super) fn set_status(&self, status: u8) {
        self.registers.write_u32(STATUS, status.into());
    }
}

impl fmt::Display for Mmio {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "mmio {:#x}", self.address)
    }
}
