//! The heap: small objects from slabs, up to 2 MiB from the buddy allocator, the rest from whole blocks.

#![expect(unsafe_code, reason = "implements the global allocator")]

use super::frames::{MEMORY, PageFrames};
use super::{PhysAddr, stack};
use crate::arch::paging;
use core::alloc::{GlobalAlloc, Layout};
use core::ptr::NonNull;
use toro_memory::BLOCK_BYTES;
use toro_memory::buddy::{ORDER_MAX, order_for};
use toro_memory::slab::{self, Pages};

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

// SAFETY: a page frame of order 0 is 4 KiB, aligned, mapped in the direct map, and nobody else's.
unsafe impl Pages for PageFrames {
    fn page(&mut self) -> Option<NonNull<u8>> {
        self.allocate(0).and_then(|frame| NonNull::new(pointer(frame)))
    }

    fn give_back(&mut self, page: NonNull<u8>) {
        self.free(frame(page.as_ptr()), 0);
    }
}

fn pointer(frame: PhysAddr) -> *mut u8 {
    core::ptr::with_exposed_provenance_mut(paging::direct(frame))
}

fn frame(pointer: *mut u8) -> PhysAddr {
    paging::direct_to_physical(pointer.expose_provenance())
}

#[inline]
fn allocate(layout: Layout) -> Option<*mut u8> {
    MEMORY.with(|memory| match size_of(layout) {
        Size::Small(class) => memory.slabs.allocate(class, &mut memory.frames).map(NonNull::as_ptr),
        Size::Frames(order) => memory.frames.allocate(order).map(pointer),
        Size::Blocks(_) if layout.align() > BLOCK_BYTES as usize => None,
        Size::Blocks(count) => memory.frames.allocate_blocks(count).map(pointer),
    })
}

// SAFETY: each kind of memory is at least as large and aligned as the layout asks (classes and orders are
// rounded up, blocks are aligned to 2 MiB), and is nobody else's until it is given back.
unsafe impl GlobalAlloc for Heap {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let allocated = allocate(layout);
        // Memory has run out: what is kept for threads to come is needed now.
        let allocated = allocated.or_else(|| if stack::release_kept() { allocate(layout) } else { None });
        allocated.unwrap_or(core::ptr::null_mut())
    }

    unsafe fn dealloc(&self, object: *mut u8, layout: Layout) {
        MEMORY.with(|memory| match size_of(layout) {
            Size::Small(_) => {
                if let Some(object) = NonNull::new(object) {
                    // SAFETY: by `GlobalAlloc`'s contract it came from `alloc` with this layout, a slab.
                    unsafe { memory.slabs.free(object, &mut memory.frames) };
                }
            }
            Size::Frames(order) => memory.frames.free(frame(object), order),
            Size::Blocks(count) => memory.frames.free_blocks(frame(object), count),
        });
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
