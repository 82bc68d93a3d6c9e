//! Mappings beside the direct map: devices, firmware tables, stacks.
//!
//! Address space is given out upward and never taken back: 512 GiB of it, and only stacks come and go,
//! which `stack` uses again.

#![expect(unsafe_code, reason = "device registers are mapped")]

use super::frames::{FRAMES, METADATA_BYTES};
use super::{PAGE_BYTES, PhysAddr};
use crate::arch::{SpinLock, cpu, paging};

use paging::Access;

/// How accesses to a mapping are cached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Caching {
    /// Each access reaches the device.
    Uncached,
    /// Ordinary memory.
    WriteBack,
}

/// Why something cannot be mapped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MapError {
    /// No frame for a page table.
    OutOfMemory,
    /// The address is above what a page table can hold, or the slot for mappings is used up.
    OutOfReach,
    /// Tables are said to be where the kernel has its own memory.
    IsRam,
    /// No controller serves this line.
    NoSuchDevice,
}

impl core::fmt::Display for MapError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(match self {
            Self::OutOfMemory => "no memory for page tables",
            Self::OutOfReach => "the address is out of reach",
            Self::IsRam => "it lies in usable RAM",
            Self::NoSuchDevice => "no controller serves it",
        })
    }
}

/// Physical memory of a device, mapped for good.
#[derive(Clone, Copy, Debug)]
pub struct DeviceMapping {
    base: usize,
    bytes: usize,
}

impl DeviceMapping {
    /// First byte.
    pub fn as_ptr(&self) -> *mut u8 {
        core::ptr::with_exposed_provenance_mut(self.base)
    }

    /// Length in bytes.
    pub fn bytes(&self) -> usize {
        self.bytes
    }
}

impl core::error::Error for MapError {}

const CACHE: usize = 16;

struct Mappings {
    /// Bytes of the slot given out so far, behind the metadata of frames.
    used: u64,
    /// Device pages mapped before: several devices share a page, and controllers are asked for again.
    known: [(PhysAddr, usize, u64); CACHE],
    known_count: usize,
}

static MAPPINGS: SpinLock<Mappings> =
    SpinLock::new(Mappings { used: 0, known: [(PhysAddr(0), 0, 0); CACHE], known_count: 0 });

/// Address space for `bytes`, a multiple of the page size; nothing is mapped there yet.
pub(super) fn reserve(bytes: u64) -> Result<u64, MapError> {
    MAPPINGS.with(|mappings| {
        if bytes > paging::SLOT_BYTES - METADATA_BYTES - mappings.used {
            return Err(MapError::OutOfReach);
        }
        let address = paging::mappings_base() + METADATA_BYTES + mappings.used;
        mappings.used += bytes;
        Ok(address)
    })
}

fn map(physical: PhysAddr, bytes: usize, access: Access) -> Result<usize, MapError> {
    let offset = physical.0 as usize % PAGE_BYTES;
    let first = physical.0 - offset as u64;
    let pages = (offset + bytes).div_ceil(PAGE_BYTES) as u64;
    let span = pages * PAGE_BYTES as u64;
    if first.checked_add(span).is_none_or(|end| end > cpu::physical_end()) {
        return Err(MapError::OutOfReach);
    }
    let address = reserve(span)?;
    FRAMES.with(|frames| {
        let mut pages = (0..span).step_by(PAGE_BYTES);
        pages.try_for_each(|page| {
            // SAFETY: the address was just reserved; the frames are a device's or firmware's, not RAM in use.
            unsafe { frames.map(address + page, Some(PhysAddr(first + page)), access) }
                .map_err(|_| MapError::OutOfMemory)
        })
    })?;
    Ok(address as usize + offset)
}

/// Maps `bytes` bytes of a device's registers for good. A page mapped before is used again.
///
/// # Errors
/// [`MapError`].
#[cold]
pub fn map_device(physical: PhysAddr, bytes: usize, caching: Caching) -> Result<DeviceMapping, MapError> {
    let access = match caching {
        Caching::Uncached => Access::Device,
        Caching::WriteBack => Access::ReadWrite,
    };
    let offset = physical.0 as usize % PAGE_BYTES;
    let page = PhysAddr(physical.0 - offset as u64);
    let span = (offset + bytes).next_multiple_of(PAGE_BYTES);
    let known = MAPPINGS.with(|mappings| {
        mappings.known[..mappings.known_count]
            .iter()
            .find(|known| known.0 == page && known.1 >= span)
            .map(|known| known.2)
    });
    let base = match known {
        Some(base) => base,
        None => {
            let base = map(page, span, access)? as u64;
            MAPPINGS.with(|mappings| {
                if mappings.known_count < CACHE {
                    mappings.known[mappings.known_count] = (page, span, base);
                    mappings.known_count += 1;
                }
            });
            base
        }
    };
    Ok(DeviceMapping { base: base as usize + offset, bytes })
}

/// Maps tables that the firmware left in memory, for reading, for good.
///
/// # Errors
/// [`MapError`].
pub fn map_firmware(physical: PhysAddr, bytes: usize) -> Result<&'static [u8], MapError> {
    let end = physical.0.checked_add(bytes as u64).ok_or(MapError::OutOfReach)?;
    let ram = crate::start::boot_info().map_or(&[][..], |boot| boot.memory.ranges());
    if ram.iter().chain([&paging::image()]).any(|ram| physical.0 < ram.end && ram.start < end) {
        return Err(MapError::IsRam);
    }
    let base = map(physical, bytes, Access::ReadOnly)?;
    // SAFETY: mapped for good; these frames are no usable RAM, so the kernel gives them to nobody, and any bytes
    // are valid.
    Ok(unsafe { core::slice::from_raw_parts(core::ptr::with_exposed_provenance(base), bytes) })
}
