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
mod module;
pub mod program;
pub mod shared_frame;
pub mod stack;

use crate::arch::SpinLock;
pub use frames::init;
pub use mappings::{Caching, DeviceMapping, MapError, map_device, map_firmware};
pub use module::module;

/// Bytes of a page.
pub const PAGE_BYTES: usize = toro_memory::PAGE_BYTES as usize;

/// A physical address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct PhysAddr(pub u64);

/// How other cores are asked for what they keep; false when that was in vain.
static ELSEWHERE: SpinLock<fn() -> bool> = SpinLock::new(|| false);

/// From here on, when memory has run out, `reclaim` has the other cores call [`trim`].
pub fn ask_others_by(reclaim: fn() -> bool) {
    ELSEWHERE.with(|elsewhere| *elsewhere = reclaim);
}

/// RAM beside the image, and how much of it nobody uses; in bytes.
#[must_use]
pub fn usage() -> (usize, usize) {
    (frames::total_bytes(), frames::free_bytes())
}

/// Gives back what this core's slabs keep for later; false when that is nothing.
pub fn trim() -> bool {
    heap::trim()
}

/// Whether this core is in the middle of changing what memory is whose: what goes wrong then is the kernel's doing, though the
/// allocator does not say so by its depth.
pub(crate) fn is_at_work() -> bool {
    heap::is_at_work()
}

/// Memory has run out: gives back what is kept for later, the stacks of threads to come and this core's slabs, then what
/// other cores keep, and tries again after each.
fn reclaim_for<T>(mut allocate: impl FnMut() -> Option<T>) -> Option<T> {
    let mut found = None;
    reclaim(&mut || {
        found = allocate();
        found.is_some()
    });
    found
}

#[cold]
#[inline(never)]
fn reclaim(is_enough: &mut dyn FnMut() -> bool) {
    let here = heap::trim() | stack::release_kept();
    if !(here && is_enough()) && ELSEWHERE.with(|elsewhere| *elsewhere)() {
        is_enough();
    }
}

/// No page frame is left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OutOfMemory;

impl core::fmt::Display for OutOfMemory {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("out of memory")
    }
}

impl core::error::Error for OutOfMemory {}
