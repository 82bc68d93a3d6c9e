//! Reads the zero page of Linux's 64-bit boot protocol (`Documentation/arch/x86/boot.rst`, `zero-page.rst`), by which
//! Firecracker enters an ELF whose PVH note it does not know.

#![expect(unsafe_code, reason = "the structures are plain integers, of which any bits are a value")]

use super::handover::{self, Plain};
use crate::boot::{BootError, BootInfo};
use toro_memory::map::Range;

const BOOT_FLAG: u16 = 0xaa55;
const HEADER: u32 = u32::from_le_bytes(*b"HdrS");

const ACPI_RSDP: u64 = 0x70;
const RAMDISK_HIGH: u64 = 0xc0;
const RAMDISK_BYTES_HIGH: u64 = 0xc4;
const COMMAND_LINE_HIGH: u64 = 0xc8;
const MAP_ENTRIES: u64 = 0x1e8;
const BOOT_FLAG_AT: u64 = 0x1fe;
const HEADER_AT: u64 = 0x202;
const RAMDISK: u64 = 0x218;
const RAMDISK_BYTES: u64 = 0x21c;
const COMMAND_LINE: u64 = 0x228;
const MAP: u64 = 0x2d0;

/// Where the firmware of a PC leaves the root pointer of ACPI.
const BIOS_AREA: core::ops::Range<u64> = 0xe_0000..0x10_0000;

/// An entry of the e820 table.
#[derive(Clone, Copy)]
#[repr(C, packed(4))]
struct MapEntry {
    start: u64,
    bytes: u64,
    kind: u32,
}

// SAFETY: integers without padding.
unsafe impl Plain for MapEntry {}

/// Copies what the loader handed over in the zero page at physical `zero_page`.
#[cold]
pub(super) fn boot_info(zero_page: u64, image: Range) -> Result<BootInfo, BootError> {
    let at = |offset| zero_page.saturating_add(offset);
    let number = |offset| handover::read::<u32>("zero page", at(offset));
    let wide = |low, high| Ok::<u64, BootError>(u64::from(number(low)?) | u64::from(number(high)?) << 32);
    let (flag, header): (u16, u32) = (handover::read("zero page", at(BOOT_FLAG_AT))?, number(HEADER_AT)?);
    if flag != BOOT_FLAG || header != HEADER {
        return Err(BootError::BadZeroPage { flag, header });
    }
    let command_line = handover::command_line(wide(COMMAND_LINE, COMMAND_LINE_HIGH)?)?;
    let rsdp = handover::rsdp(wide(ACPI_RSDP, ACPI_RSDP + 4)?, BIOS_AREA)?;
    let (ramdisk, bytes) = (wide(RAMDISK, RAMDISK_HIGH)?, wide(RAMDISK_BYTES, RAMDISK_BYTES_HIGH)?);
    let count: u8 = handover::read("zero page", at(MAP_ENTRIES))?;
    let entries = handover::entries::<MapEntry>(at(MAP), count.into())?;
    let memory = handover::memory(entries.map(|entry| (entry.start, entry.bytes, entry.kind)), image)?;
    let mut boot = BootInfo { memory, command_line, rsdp, module: None };
    if bytes > 0 {
        boot.add_module(handover::range(ramdisk, bytes)?)?;
    }
    Ok(boot)
}

const _: () = assert!(size_of::<MapEntry>() == 20);
