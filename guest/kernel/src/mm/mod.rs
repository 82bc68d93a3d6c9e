//! Memory: page frames, the heap, stacks, and mappings of devices.
//!
//! ```text
//! Usable RAM (boot map) ─ 2 MiB blocks ─ buddy (page frames) ─ slabs ─ the heap
//!                              │                └ stacks, DMA regions, page tables
//!                              └ large allocations, straight from runs of blocks
//! ```
//! A block costs nothing until it is first handed out: then it enters the direct map, so boot does not
//! depend on how much RAM there is.

pub mod dma;
mod frames;
mod heap;
mod mappings;
pub mod stack;

pub use frames::init;
pub use mappings::{Caching, DeviceMapping, MapError, map_device, map_firmware};

/// Bytes of a page.
pub const PAGE_BYTES: usize = toro_memory::PAGE_BYTES as usize;

/// A physical address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct PhysAddr(pub u64);

/// Gives back what is kept for later, the stacks of threads to come and the empty pages of this core's slabs; false when
/// there is nothing.
#[cold]
fn reclaim() -> bool {
    let trimmed = heap::trim();
    stack::release_kept() || trimmed
}

/// No page frame is left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OutOfMemory;

impl core::fmt::Display for OutOfMemory {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("out of memory")
    }
}
