//! What a loader leaves in memory: reading it, and what it must be, whichever protocol (`pvh`, `linux`) led to it.
//!
//! The structures lie in memory marked usable and were written by the VMM or its firmware: every pointer
//! is read through a window and checked, and everything is copied.

#![expect(unsafe_code, reason = "the VMM's structures are read at physical addresses")]

use super::paging;
use crate::arch::SpinLock;
use crate::boot::{self, BootError, COMMAND_LINE_BYTES_MAX, MEMORY_MAP_ENTRIES_MAX};
use crate::mm::PhysAddr;
use toro_acpi::Rsdp;
use toro_memory::map::{self, MapError, Range};

const WINDOW_BYTES: u64 = 2 << 20;
/// Type of a memory map's entry, in both protocols.
const MEMORY_RAM: u32 = 1;

/// Structures of plain integers: any bits are a value.
///
/// # Safety
/// The type has no padding and no invalid bit pattern.
pub(super) unsafe trait Plain: Copy {}
// SAFETY: an integer.
unsafe impl Plain for u8 {}
// SAFETY: an integer.
unsafe impl Plain for u16 {}
// SAFETY: an integer.
unsafe impl Plain for u32 {}

static COMMAND_LINE: SpinLock<[u8; COMMAND_LINE_BYTES_MAX]> = SpinLock::new([0; COMMAND_LINE_BYTES_MAX]);

/// Shows `bytes` bytes at `address` in the early window, which spans at least 2 MiB from any address.
#[inline(never)]
fn window(what: &'static str, address: u64, bytes: u64) -> Result<*const u8, BootError> {
    if bytes > WINDOW_BYTES || address.checked_add(bytes).is_none_or(|end| end > 1 << 32) {
        return Err(BootError::OutOfReach { what, address, bytes });
    }
    Ok(paging::early_window(address))
}

/// Can `bytes` bytes at `address` be read?
pub(super) fn check(what: &'static str, address: u64, bytes: u64) -> Result<(), BootError> {
    window(what, address, bytes).map(|_| ())
}

/// Reads one structure.
#[inline(never)]
pub(super) fn read<T: Plain>(what: &'static str, address: u64) -> Result<T, BootError> {
    let from = window(what, address, size_of::<T>() as u64)?;
    // SAFETY: the window maps these bytes for reading, and any bits are a `T`.
    Ok(unsafe { from.cast::<T>().read_unaligned() })
}

/// The entries of the memory map at `address`; to be used before anything else is read.
pub(super) fn entries<T: Plain>(address: u64, count: u32) -> Result<impl Iterator<Item = T> + Clone, BootError> {
    if count as usize > MEMORY_MAP_ENTRIES_MAX {
        return Err(BootError::LongMemoryMap(count));
    }
    let bytes = u64::from(count) * size_of::<T>() as u64;
    let from = window("memory map", address, bytes)?.cast::<T>();
    // SAFETY: the window maps `count` entries for reading.
    Ok((0..count as usize).map(move |index| unsafe { from.add(index).read_unaligned() }))
}

/// What is usable by `entries` (start, bytes, kind), without what the image and the processor need.
pub(super) fn memory(
    entries: impl Iterator<Item = (u64, u64, u32)> + Clone,
    image: Range,
) -> Result<map::Usable, BootError> {
    let mut memory = map::clean(entries.map(|(start, bytes, kind)| (start, bytes, kind == MEMORY_RAM)))
        .map_err(BootError::Memory)?;
    if !memory.ranges().iter().any(|range| range.start <= image.start && image.end <= range.end) {
        return Err(BootError::ImageNotInRam(image));
    }
    memory.reserve(image.start, image.bytes()).map_err(BootError::Memory)?;
    memory.reserve(0, toro_memory::PAGE_BYTES).map_err(BootError::Memory)?; // firmware's vectors; and frame 0 is "none"
    Ok(memory)
}

/// Where a boot module is.
pub(super) fn range(start: u64, bytes: u64) -> Result<Range, BootError> {
    let end = start.checked_add(bytes).ok_or(BootError::Memory(MapError::Overflow { start, bytes }))?;
    Ok(Range { start, end })
}

/// ACPI's root pointer: what the loader `told`, else what is found in `area`.
pub(super) fn rsdp(told: u64, area: core::ops::Range<u64>) -> Result<Option<PhysAddr>, BootError> {
    if told != 0 {
        return Ok(Some(PhysAddr(told)));
    }
    let bytes = area.end - area.start;
    let from = window("BIOS area", area.start, bytes)?;
    // SAFETY: the window maps these bytes for reading, until the next call of `window`, which is after the search.
    let firmware = unsafe { core::slice::from_raw_parts(from, bytes as usize) };
    Ok(Rsdp::scan(firmware).map(|offset| PhysAddr(area.start + offset as u64)))
}

/// Copies the command line, and lets the console speak as it says: whatever is wrong with the rest is told in the
/// stream and with the token that the host expects.
pub(super) fn command_line(address: u64) -> Result<&'static str, BootError> {
    let text = copy_command_line(address)?;
    crate::console::start_streams(boot::command_line(text), paging::image_base());
    Ok(text)
}

fn copy_command_line(address: u64) -> Result<&'static str, BootError> {
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
