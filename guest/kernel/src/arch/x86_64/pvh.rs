//! Reads `hvm_start_info` (Xen's PVH protocol, `xen/include/public/arch-x86/hvm/start_info.h`).
//!
//! The structures lie in memory marked usable and were written by the VMM or its firmware: every pointer
//! is read through a window and checked, and everything is copied.

#![expect(unsafe_code, reason = "the VMM's structures are read at physical addresses")]

use super::paging;
use crate::arch::SpinLock;
use crate::boot::{self, BootError, BootInfo, COMMAND_LINE_BYTES_MAX, MEMORY_MAP_ENTRIES_MAX};
use crate::mm::PhysAddr;
use toro_memory::map::{self, Range};

const MAGIC: u32 = 0x336e_c578;
const WINDOW_BYTES: u64 = 2 << 20;
const MEMORY_RAM: u32 = 1;

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

/// Structures of plain integers: any bits are a value.
///
/// # Safety
/// The type has no padding and no invalid bit pattern.
unsafe trait Plain: Copy {}
// SAFETY: integers without padding.
unsafe impl Plain for StartInfo {}
// SAFETY: integers without padding.
unsafe impl Plain for MapEntry {}
// SAFETY: integers without padding.
unsafe impl Plain for Module {}
// SAFETY: an integer.
unsafe impl Plain for u8 {}

static COMMAND_LINE: SpinLock<[u8; COMMAND_LINE_BYTES_MAX]> = SpinLock::new([0; COMMAND_LINE_BYTES_MAX]);

/// Shows `bytes` bytes at `address` in the early window, which spans at least 2 MiB from any address.
fn window(what: &'static str, address: u64, bytes: u64) -> Result<*const u8, BootError> {
    if bytes > WINDOW_BYTES || address.checked_add(bytes).is_none_or(|end| end > 1 << 32) {
        return Err(BootError::OutOfReach { what, address, bytes });
    }
    Ok(paging::early_window(address))
}

fn read<T: Plain>(what: &'static str, address: u64) -> Result<T, BootError> {
    let from = window(what, address, size_of::<T>() as u64)?;
    // SAFETY: the window maps these bytes for reading, and any bits are a `T`.
    Ok(unsafe { from.cast::<T>().read_unaligned() })
}

/// Copies what the VMM handed over at physical `start_info`.
#[cold]
pub(super) fn boot_info(start_info: u64, image: Range) -> Result<BootInfo, BootError> {
    let info: StartInfo = read("start info", start_info)?;
    if info.magic != MAGIC {
        return Err(BootError::BadMagic(info.magic));
    }
    let command_line = command_line(info.command_line)?;
    // Whatever is wrong with the rest is told in the stream and with the token that the host expects.
    crate::console::start_streams(boot::command_line(command_line), paging::image_base());
    let mut memory = memory_map(&info)?;
    if !memory.ranges().iter().any(|range| range.start <= image.start && image.end <= range.end) {
        return Err(BootError::ImageNotInRam(image));
    }
    memory.reserve(image.start, image.bytes()).map_err(BootError::Memory)?;
    memory.reserve(0, toro_memory::PAGE_BYTES).map_err(BootError::Memory)?; // firmware's vectors; and frame 0 is "none"
    let mut module = None;
    for index in 0..u64::from(info.modules) {
        let address = info.module_list.saturating_add(index * size_of::<Module>() as u64);
        let entry: Module = read("boot module list", address)?;
        memory.reserve(entry.start, entry.bytes).map_err(BootError::Memory)?;
        // The first is ours; the memory of others is left alone.
        module = module.or(Some(Range { start: entry.start, end: entry.start + entry.bytes }));
    }
    Ok(BootInfo { memory, command_line, rsdp: (info.rsdp != 0).then_some(PhysAddr(info.rsdp)), module })
}

fn memory_map(info: &StartInfo) -> Result<map::Usable, BootError> {
    let count = info.memory_map_entries;
    if info.version == 0 || count == 0 {
        return Err(BootError::Memory(map::MapError::NoUsableMemory));
    }
    if count as usize > MEMORY_MAP_ENTRIES_MAX {
        return Err(BootError::LongMemoryMap(count));
    }
    let bytes = u64::from(count) * size_of::<MapEntry>() as u64;
    let from = window("memory map", info.memory_map, bytes)?.cast::<MapEntry>();
    // SAFETY: the window maps `count` entries for reading.
    let entry = |index: usize| unsafe { from.add(index).read_unaligned() };
    let entries = (0..count as usize).map(entry).map(|entry| (entry.start, entry.bytes, entry.kind == MEMORY_RAM));
    map::clean(entries).map_err(BootError::Memory)
}

fn command_line(address: u64) -> Result<&'static str, BootError> {
    if address == 0 {
        return Ok("");
    }
    let from = window("command line", address, COMMAND_LINE_BYTES_MAX as u64)?;
    let text = COMMAND_LINE.with(|buffer| {
        for (index, byte) in buffer.iter_mut().enumerate() {
            // SAFETY: the window maps as many bytes as the buffer has.
            *byte = unsafe { from.add(index).read_volatile() };
            if *byte == 0 {
                // SAFETY: the buffer is a static, filled once, here; it only ever holds bytes.
                return Some(unsafe { core::slice::from_raw_parts(buffer.as_ptr(), index) });
            }
        }
        None
    });
    core::str::from_utf8(text.ok_or(BootError::LongCommandLine)?).map_err(|_| BootError::CommandLineNotText)
}

const _: () = assert!(size_of::<StartInfo>() == 56 && size_of::<MapEntry>() == 24 && size_of::<Module>() == 32);
