//! The heap: small objects from the core's slabs, up to 2 MiB from the buddy allocator, the rest from whole blocks.

#![expect(unsafe_code, reason = "implements the global allocator")]

use super::frames::FRAMES;
use super::{PhysAddr, reclaim_for};
use crate::arch::{core_local, paging, running};
use core::alloc::{GlobalAlloc, Layout};
use core::ptr::NonNull;
use toro_memory::BLOCK_BYTES;
use toro_memory::buddy::{ORDER_MAX, order_for};
use toro_memory::slab::{self, Pages, Slabs};

core_local! {
    /// The small objects that this core allocated.
    static SLABS: Slabs = Slabs::new();
}

struct Heap;

#[global_allocator]
static HEAP: Heap = Heap;

enum Size {
    /// Of this slab class.
    Small(usize),
    /// A run of this order.
    Frames(u8),
    /// So many blocks.
    Blocks(u32),
}

fn size_of(layout: Layout) -> Size {
    if let Some(class) = slab::class_for(layout.size(), layout.align()) {
        return Size::Small(class);
    }
    let order = order_for(layout.size().max(layout.align()));
    if order <= ORDER_MAX {
        Size::Frames(order)
    } else {
        Size::Blocks(u32::try_from(layout.size().div_ceil(BLOCK_BYTES as usize)).unwrap_or(u32::MAX))
    }
}

/// The machine's page frames, for slabs.
struct PageFrames;

// SAFETY: a page frame of order 0 is 4 KiB, aligned, mapped in the direct map, and nobody else's.
unsafe impl Pages for PageFrames {
    fn page(&mut self) -> Option<NonNull<u8>> {
        FRAMES.with(|frames| frames.allocate(0)).and_then(|frame| NonNull::new(pointer(frame)))
    }

    fn give_back(&mut self, page: NonNull<u8>) {
        FRAMES.with(|frames| frames.free(frame(page.as_ptr()), 0));
    }
}

/// Gives back what this core's slabs keep for later; false when that is nothing.
pub(super) fn trim() -> bool {
    SLABS.with(|slabs| slabs.trim(&mut PageFrames))
}

fn pointer(frame: PhysAddr) -> *mut u8 {
    core::ptr::with_exposed_provenance_mut(paging::direct(frame))
}

fn frame(pointer: *mut u8) -> PhysAddr {
    paging::direct_to_physical(pointer.expose_provenance())
}

#[inline]
fn allocate_small(class: usize) -> Option<*mut u8> {
    SLABS.with(|slabs| slabs.allocate(class, &mut PageFrames)).map(NonNull::as_ptr)
}

fn allocate(layout: Layout) -> Option<*mut u8> {
    match size_of(layout) {
        Size::Small(class) => allocate_small(class),
        Size::Frames(order) => FRAMES.with(|frames| frames.allocate(order)).map(pointer),
        Size::Blocks(_) if layout.align() > BLOCK_BYTES as usize => None,
        Size::Blocks(count) => FRAMES.with(|frames| frames.allocate_blocks(count)).map(pointer),
    }
}

/// What is not small, or for which memory must be found first.
#[inline(never)]
fn allocate_any(layout: Layout) -> Option<*mut u8> {
    allocate(layout).or_else(|| reclaim_for(|| allocate(layout)))
}

#[inline(never)]
fn free_large(object: *mut u8, layout: Layout) {
    match size_of(layout) {
        Size::Small(_) => {}
        Size::Frames(order) => FRAMES.with(|frames| frames.free(frame(object), order)),
        Size::Blocks(count) => FRAMES.with(|frames| frames.free_blocks(frame(object), count)),
    }
}

/// Whether this core is in the middle of changing the heap.
pub(super) fn is_at_work() -> bool {
    SLABS.is_busy() || FRAMES.is_held_here()
}

// SAFETY: each kind of memory is at least as large and aligned as the layout asks (classes and orders are
// rounded up, blocks are aligned to 2 MiB), and is nobody else's until it is given back.
unsafe impl GlobalAlloc for Heap {
    #[inline(never)] // there are many callers
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let small = slab::class_for(layout.size(), layout.align()).and_then(allocate_small);
        small.or_else(|| allocate_any(layout)).map_or(core::ptr::null_mut(), |object| {
            running::count(layout.size() as i64);
            object
        })
    }

    #[inline(never)]
    unsafe fn dealloc(&self, object: *mut u8, layout: Layout) {
        running::count(-(layout.size() as i64));
        match (slab::class_for(layout.size(), layout.align()), NonNull::new(object)) {
            // SAFETY: by `GlobalAlloc`'s contract it came from `alloc` with this layout, from some core's slabs.
            (Some(_), Some(object)) => SLABS.with(|slabs| unsafe { slabs.free(object, &mut PageFrames) }),
            _ => free_large(object, layout),
        }
    }

    unsafe fn realloc(&self, object: *mut u8, layout: Layout, new_bytes: usize) -> *mut u8 {
        // SAFETY: by `GlobalAlloc`'s contract the new size makes a valid layout.
        let new_layout = unsafe { Layout::from_size_align_unchecked(new_bytes, layout.align()) };
        let fits = match (size_of(layout), size_of(new_layout)) {
            (Size::Small(old), Size::Small(new)) => old == new,
            (Size::Frames(old), Size::Frames(new)) => old == new,
            (Size::Blocks(old), Size::Blocks(new)) => old == new,
            _ => false,
        };
        if fits {
            running::count(new_bytes as i64 - layout.size() as i64);
            return object;
        }
        // SAFETY: the layouts are valid, and the objects are distinct and at least as long as the copy.
        unsafe {
            let new = self.alloc(new_layout);
            if !new.is_null() {
                core::ptr::copy_nonoverlapping(object, new, layout.size().min(new_bytes));
                self.dealloc(object, layout);
            }
            new
        }
    }
}
