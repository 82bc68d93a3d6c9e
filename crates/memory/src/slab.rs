//! Small objects: one size class a page, the free objects of a page linked through themselves.
//!
//! A page starts with a [`Header`]; the page of an object is its address rounded down, so freeing needs
//! no search. Pages with free objects are in their class's list; an empty page goes back to the frames,
//! but for the last one of its class.

#![expect(unsafe_code, reason = "free objects and page headers are linked through raw memory")]

use crate::PAGE_BYTES;
use core::ptr::{self, NonNull};

/// Largest object a slab holds, in bytes.
pub const OBJECT_BYTES_MAX: usize = 2016;

/// Object sizes in bytes. The powers of two are aligned to their size, the others to 16.
const CLASSES: [u16; 18] =
    [16, 32, 48, 64, 80, 96, 128, 160, 192, 256, 320, 384, 512, 672, 800, 1024, 1344, OBJECT_BYTES_MAX as u16];

/// Class of a size in units of 16 bytes.
const CLASS_OF: [u8; OBJECT_BYTES_MAX / 16 + 1] = {
    let mut table = [0; OBJECT_BYTES_MAX / 16 + 1];
    let mut units = 0;
    let mut class = 0;
    while units < table.len() {
        if units * 16 > CLASSES[class] as usize {
            class += 1;
        }
        table[units] = class as u8;
        units += 1;
    }
    table
};

struct Header {
    next: *mut Header,
    previous: *mut Header,
    free: *mut Free,
    used: u16,
    /// Offset of the first object never handed out.
    fresh: u16,
    class: u8,
}

struct Free {
    next: *mut Free,
}

/// Where pages come from and go to.
///
/// # Safety
/// `page` returns a page of 4 KiB, aligned to 4 KiB, that nothing else uses until it is given to `give_back`.
pub unsafe trait Pages {
    /// A page, or `None` when there is none.
    fn page(&mut self) -> Option<NonNull<u8>>;
    /// Takes a page back.
    fn give_back(&mut self, page: NonNull<u8>);
}

/// The size classes and their pages with room.
pub struct Slabs {
    partial: [*mut Header; CLASSES.len()],
}

// SAFETY: the pointers lead to pages the slabs own; whoever holds `&mut Slabs` has them alone.
unsafe impl Send for Slabs {}

/// The class for a layout, or `None` when it is not a small object.
pub const fn class_for(bytes: usize, align: usize) -> Option<usize> {
    let bytes = if align <= 16 {
        bytes
    } else if bytes > align {
        bytes.next_power_of_two()
    } else {
        align
    };
    if bytes <= OBJECT_BYTES_MAX && align <= 1024 { Some(CLASS_OF[bytes.div_ceil(16)] as usize) } else { None }
}

impl Slabs {
    /// Empty slabs.
    pub const fn new() -> Self {
        Self { partial: [ptr::null_mut(); CLASSES.len()] }
    }

    /// An object of `class`, not initialised.
    pub fn allocate(&mut self, class: usize, pages: &mut impl Pages) -> Option<NonNull<u8>> {
        let mut page = self.partial[class];
        if page.is_null() {
            page = Self::new_page(class, pages)?;
            self.partial[class] = page;
        }
        let bytes = CLASSES[class];
        // SAFETY: a page in a class's list is a live slab page that `self` owns; its header, its chain of
        // free objects and its fresh part lie within it by construction.
        unsafe {
            let header = &mut *page;
            let object = if header.free.is_null() {
                let object = page.cast::<u8>().add(usize::from(header.fresh));
                header.fresh += bytes;
                object
            } else {
                let object = header.free;
                header.free = (*object).next;
                object.cast()
            };
            header.used += 1;
            if header.free.is_null() && u64::from(header.fresh + bytes) > PAGE_BYTES {
                self.unlink(page);
            }
            Some(NonNull::new_unchecked(object))
        }
    }

    /// Gives an object back.
    ///
    /// # Safety
    /// `object` came from [`Self::allocate`] of these slabs and is used by nobody any more.
    pub unsafe fn free(&mut self, object: NonNull<u8>, pages: &mut impl Pages) {
        let page = object.as_ptr().map_addr(|address| address & !(PAGE_BYTES as usize - 1)).cast::<Header>();
        // SAFETY: by this function's contract the object lies in a live slab page of ours.
        unsafe {
            let header = &mut *page;
            let was_full =
                header.free.is_null() && u64::from(header.fresh + CLASSES[usize::from(header.class)]) > PAGE_BYTES;
            let object = object.as_ptr().cast::<Free>();
            (*object).next = header.free;
            header.free = object;
            header.used -= 1;
            if was_full {
                self.link(page);
            }
            let alone = header.next.is_null() && header.previous.is_null();
            if header.used == 0 && !alone {
                self.unlink(page);
                pages.give_back(NonNull::new_unchecked(page.cast()));
            }
        }
    }

    fn new_page(class: usize, pages: &mut impl Pages) -> Option<*mut Header> {
        let page = pages.page()?.as_ptr().cast::<Header>();
        let bytes = CLASSES[class];
        let first = if bytes.is_power_of_two() { bytes.max(64) } else { 64 };
        let header = Header {
            next: ptr::null_mut(),
            previous: ptr::null_mut(),
            free: ptr::null_mut(),
            used: 0,
            fresh: first,
            class: class as u8,
        };
        // SAFETY: by `Pages`' contract the page is ours alone, aligned and large enough.
        unsafe { page.write(header) };
        Some(page)
    }

    /// # Safety
    /// `page` is a live slab page in no list.
    unsafe fn link(&mut self, page: *mut Header) {
        // SAFETY: the caller's page and the head of the list are live pages of ours.
        unsafe {
            let head = &mut self.partial[usize::from((*page).class)];
            (*page).previous = ptr::null_mut();
            (*page).next = *head;
            if !head.is_null() {
                (**head).previous = page;
            }
            *head = page;
        }
    }

    /// # Safety
    /// `page` is a live slab page in its class's list.
    unsafe fn unlink(&mut self, page: *mut Header) {
        // SAFETY: the page and its neighbours in the list are live pages of ours.
        unsafe {
            let header = &mut *page;
            if header.previous.is_null() {
                self.partial[usize::from(header.class)] = header.next;
            } else {
                (*header.previous).next = header.next;
            }
            if !header.next.is_null() {
                (*header.next).previous = header.previous;
            }
            header.next = ptr::null_mut();
            header.previous = ptr::null_mut();
        }
    }
}

impl Default for Slabs {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::alloc::{Layout, alloc, dealloc};

    struct Host {
        pages: usize,
        limit: usize,
    }

    const PAGE: Layout = Layout::new::<Page>();
    #[repr(align(4096))]
    struct Page {
        _bytes: [u8; 4096],
    }

    // SAFETY: the host's allocator returns memory nobody else has, of the layout asked for.
    unsafe impl Pages for Host {
        fn page(&mut self) -> Option<NonNull<u8>> {
            if self.pages == self.limit {
                return None;
            }
            self.pages += 1;
            // SAFETY: the layout has a size.
            NonNull::new(unsafe { alloc(PAGE) })
        }
        fn give_back(&mut self, page: NonNull<u8>) {
            self.pages -= 1;
            // SAFETY: it came from `page`.
            unsafe { dealloc(page.as_ptr(), PAGE) };
        }
    }

    #[test]
    fn objects_do_not_overlap_and_are_aligned() {
        let (mut slabs, mut host) = (Slabs::new(), Host { pages: 0, limit: 10_000 });
        let mut objects = Vec::new();
        for (bytes, align) in [(1, 1), (16, 16), (17, 8), (64, 64), (100, 128), (512, 512), (1000, 1024), (2016, 16)] {
            let class = class_for(bytes, align).unwrap();
            for _ in 0..300 {
                let object = slabs.allocate(class, &mut host).unwrap();
                assert_eq!(object.as_ptr() as usize % align, 0, "{bytes} bytes aligned to {align}");
                objects.push((object, bytes));
            }
        }
        objects.sort();
        for pair in objects.windows(2) {
            assert!(pair[0].0.as_ptr() as usize + pair[0].1 <= pair[1].0.as_ptr() as usize);
        }
        for (object, _) in objects {
            // SAFETY: allocated above, freed once.
            unsafe { slabs.free(object, &mut host) };
        }
        assert!(host.pages <= CLASSES.len(), "{} pages are kept by empty classes", host.pages);
    }

    #[test]
    fn a_freed_object_is_used_again_before_a_new_page() {
        let (mut slabs, mut host) = (Slabs::new(), Host { pages: 0, limit: 1 });
        let class = class_for(2000, 1).unwrap();
        let first = slabs.allocate(class, &mut host).unwrap();
        assert!(slabs.allocate(class, &mut host).is_some());
        assert_eq!(slabs.allocate(class, &mut host), None, "no page is left");
        // SAFETY: allocated above, freed once.
        unsafe { slabs.free(first, &mut host) };
        assert_eq!(slabs.allocate(class, &mut host), Some(first));
    }

    #[test]
    fn what_is_not_small_has_no_class() {
        assert_eq!(class_for(2017, 8), None);
        assert_eq!(class_for(8, 2048), None);
        assert!(class_for(1025, 32).is_none_or(|class| CLASSES[class].is_power_of_two()));
        assert_eq!(class_for(0, 1), Some(0));
    }
}
