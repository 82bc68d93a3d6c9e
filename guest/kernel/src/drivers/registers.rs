//! A device's registers: bounds-checked volatile access, and the doorbell that needs no check any more.

#![expect(unsafe_code, reason = "registers are mapped")]

use super::DeviceError;
use crate::arch::paging;
use crate::mm::{self, Caching, PhysAddr};
use core::ptr::NonNull;

/// Some bytes of registers, mapped for good.
#[derive(Clone, Copy, Debug)]
pub(super) struct Registers {
    base: NonNull<u8>,
    bytes: usize,
}

// SAFETY: registers belong to the machine, not to a core.
unsafe impl Send for Registers {}
// SAFETY: each access is one volatile load or store, of nothing that Rust keeps values in.
unsafe impl Sync for Registers {}

macro_rules! access {
    ($read:ident, $write:ident, $type:ty) => {
        pub(super) fn $read(&self, offset: usize) -> $type {
            let register = self.register::<$type>(offset);
            // SAFETY: `register` checked that it is mapped and aligned.
            unsafe { register.read_volatile() }
        }

        pub(super) fn $write(&self, offset: usize, value: $type) {
            let register = self.register::<$type>(offset);
            // SAFETY: as above; `map` refused RAM, so no memory that Rust knows of is changed.
            unsafe { register.write_volatile(value) };
        }
    };
}

impl Registers {
    /// Maps `bytes` of registers at `address`, which must not be RAM.
    pub(super) fn map(address: u64, bytes: u64) -> Result<Registers, DeviceError> {
        if !address.is_multiple_of(4) {
            return Err(DeviceError::Place(address));
        }
        let end = address.checked_add(bytes).ok_or(DeviceError::Place(address))?;
        let ram = crate::start::boot_info().map_or(&[][..], |boot| boot.memory.ranges());
        if ram.iter().chain([&paging::image()]).any(|ram| address < ram.end && ram.start < end) {
            return Err(DeviceError::Place(address));
        }
        let mapping = mm::map_device(PhysAddr(address), bytes as usize, Caching::Uncached)?;
        let base = NonNull::new(mapping.as_ptr()).ok_or(DeviceError::Place(address))?;
        Ok(Registers { base, bytes: mapping.bytes() })
    }

    /// The registers from `offset` on.
    pub(super) fn tail(&self, offset: usize) -> Registers {
        assert!(self.holds(offset, 0), "register {offset:#x} of {:#x} bytes", self.bytes);
        // SAFETY: inside the mapping.
        Registers { base: unsafe { self.base.add(offset) }, bytes: self.bytes - offset }
    }

    /// Are there `bytes` bytes at `offset`?
    pub(super) fn holds(&self, offset: usize, bytes: usize) -> bool {
        offset.checked_add(bytes).is_some_and(|end| end <= self.bytes)
    }

    fn register<T>(&self, offset: usize) -> NonNull<T> {
        assert!(self.holds(offset, size_of::<T>()), "register {offset:#x} of {:#x} bytes", self.bytes);
        // SAFETY: inside the mapping.
        let register = unsafe { self.base.add(offset) }.cast::<T>();
        assert!(register.is_aligned(), "register {offset:#x} is not aligned");
        register
    }

    access!(read_u8, write_u8, u8);
    access!(read_u16, write_u16, u16);
    access!(read_u32, write_u32, u32);

    /// Writes 64 bits as two halves, the lower one first: the width that every device takes.
    pub(super) fn write_u64(&self, offset: usize, value: u64) {
        self.write_u32(offset, value as u32);
        self.write_u32(offset + 4, (value >> 32) as u32);
    }

    /// The register at `offset`, to be rung with `queue`; the width is the transport's.
    pub(super) fn doorbell(&self, offset: usize, queue: u16, width: DoorbellWidth) -> Doorbell {
        let register = match width {
            DoorbellWidth::Bits16 => self.register::<u16>(offset).cast(),
            DoorbellWidth::Bits32 => self.register::<u32>(offset).cast(),
        };
        Doorbell { register, queue, width }
    }
}

/// How wide a doorbell is.
#[derive(Clone, Copy, Debug)]
pub(super) enum DoorbellWidth {
    /// PCI.
    Bits16,
    /// MMIO.
    Bits32,
}

/// The register that tells the device to look at a queue.
#[derive(Clone, Copy, Debug)]
pub(super) struct Doorbell {
    register: NonNull<u8>,
    queue: u16,
    width: DoorbellWidth,
}

// SAFETY: as for `Registers`.
unsafe impl Send for Doorbell {}

impl Doorbell {
    /// Tells the device to look.
    #[inline]
    pub(super) fn ring(&self) {
        // SAFETY: `doorbell` checked place and alignment for this width.
        unsafe {
            match self.width {
                DoorbellWidth::Bits16 => self.register.cast::<u16>().write_volatile(self.queue),
                DoorbellWidth::Bits32 => self.register.cast::<u32>().write_volatile(self.queue.into()),
            }
        }
    }
}
