//! Reads `hvm_start_info` (Xen's PVH protocol, `xen/include/public/arch-x86/hvm/start_info.h`).

#![expect(unsafe_code, reason = "the structures are plain integers, of which any bits are a value")]

use super::handover::{self, Plain};
use crate::boot::{BootError, BootInfo};
use toro_memory::map::{self, Range};

const MAGIC: u32 = 0x336e_c578;
/// Where Firecracker puts the root pointer of ACPI without saying so. The whole BIOS area is not searched: a VMM that
/// speaks PVH and has ACPI says where it is.
const FIRECRACKER_RSDP: core::ops::Range<u64> = 0xe_0000..0xe_0040;

#[derive(Clone, Copy)]
#[repr(C)]
struct StartInfo {
    magic: u32,
    version: u32,
    flags: u32,
    modules: u32,
    module_list: u64,
    command_line: u64,
    rsdp: u64,
    memory_map: u64,
    memory_map_entries: u32,
    reserved: u32,
}

#[derive(Clone, Copy)]
#[repr(C)]
struct MapEntry {
    start: u64,
    bytes: u64,
    kind: u32,
    reserved: u32,
}

#[derive(Clone, Copy)]
#[repr(C)]
struct Module {
    start: u64,
    bytes: u64,
    command_line: u64,
    reserved: u64,
}

// SAFETY: integers without padding.
unsafe impl Plain for StartInfo {}
// SAFETY: integers without padding.
unsafe impl Plain for MapEntry {}
// SAFETY: integers without padding.
unsafe impl Plain for Module {}

/// Copies what the VMM handed over at physical `start_info`.
#[cold]
pub(super) fn boot_info(start_info: u64, image: Range) -> Result<BootInfo, BootError> {
    let info: StartInfo = handover::read("start info", start_info)?;
    if info.magic != MAGIC {
        return Err(BootError::BadMagic(info.magic));
    }
    let command_line = handover::command_line(info.command_line)?;
    let rsdp = handover::rsdp(info.rsdp, FIRECRACKER_RSDP)?;
    let memory = memory_map(&info, image)?;
    let mut boot = BootInfo { memory, command_line, rsdp, module: None };
    let step = size_of::<Module>() as u64;
    handover::check("boot module list", info.module_list, u64::from(info.modules) * step)?;
    for index in 0..u64::from(info.modules) {
        let address = info.module_list + index * step;
        let entry: Module = handover::read("boot module list", address)?;
        boot.add_module(handover::range(entry.start, entry.bytes)?)?;
    }
    Ok(boot)
}

fn memory_map(info: &StartInfo, image: Range) -> Result<map::Usable, BootError> {
    let count = if info.version == 0 { 0 } else { info.memory_map_entries };
    let entries = handover::entries::<MapEntry>(info.memory_map, count)?;
    handover::memory(entries.map(|entry| (entry.start, entry.bytes, entry.kind)), image)
}

const _: () = assert!(size_of::<StartInfo>() == 56 && size_of::<MapEntry>() == 24 && size_of::<Module>() == 32);
