//! Small objects: one size class a page, the free objects of a page linked through themselves.
//!
//! A page starts with a [`Header`]; the page of an object is its address rounded down, so freeing needs
//! no search. Pages with free objects are in their class's list; an empty page goes back to the frames,
//! but for the last one of its class.
//!
//! Each core has its own slabs, and a page belongs to the core that took it. An object freed on another core goes
//! to its owner's [`Remote`] list, which the owner looks at when a class has run dry. Alone, a core needs no atomics.

#![expect(unsafe_code, reason = "free objects and page headers are linked through raw memory")]

use crate::PAGE_BYTES;
use crate::remote::{Free, Remote};
use crate::sync::AtomicPtr;
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
    /// The owner's list. Never changes while the page is a slab page, so any core may read it.
    owner: *const Remote,
    /// The owner's alone.
    room: Room,
}

struct Room {
    next: *mut Header,
    previous: *mut Header,
    free: *mut Free,
    used: u16,
    /// Offset of the first object never handed out.
    fresh: u16,
    class: u8,
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

/// The size classes of one core, and their pages with room.
pub struct Slabs {
    partial: [*mut Header; CLASSES.len()],
    /// Where others give back what is of these slabs: the first object of their first page. Null before there is one.
    remote: *const Remote,
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
        Self { partial: [ptr::null_mut(); CLASSES.len()], remote: ptr::null() }
    }

    /// An object of `class`, not initialised.
    pub fn allocate(&mut self, class: usize, pages: &mut impl Pages) -> Option<NonNull<u8>> {
        let mut page = self.partial[class];
        if page.is_null() {
            page = self.refill(class, pages)?;
        }
        let bytes = CLASSES[class];
        // SAFETY: a page in a class's list is a live slab page that `self` owns; its header, its chain of
        // free objects and its fresh part lie within it by construction.
        unsafe {
            let room = &mut (*page).room;
            let object = if room.free.is_null() {
                let object = page.cast::<u8>().add(usize::from(room.fresh));
                room.fresh += bytes;
                object
            } else {
                let object = room.free;
                room.free = (*object).next.get();
                object.cast()
            };
            room.used += 1;
            if room.free.is_null() && u64::from(room.fresh + bytes) > PAGE_BYTES {
                self.unlink(page);
            }
            Some(NonNull::new_unchecked(object))
        }
    }

    /// Gives an object back, to these slabs or to their owner's list.
    ///
    /// # Safety
    /// `object` came from [`Self::allocate`] of any slabs and is used by nobody any more.
    #[inline]
    pub unsafe fn free(&mut self, object: NonNull<u8>, pages: &mut impl Pages) {
        // SAFETY: by this function's contract the object lies in a live slab page, large enough for a link.
        unsafe {
            let owner = (*page_of(object)).owner;
            if ptr::eq(owner, self.remote) {
                self.take_back(object, pages);
            } else {
                (*owner).push(object.as_ptr().cast());
            }
        }
    }

    /// Gives back every page that can be: for a machine that has run out. False when there was none.
    pub fn trim(&mut self, pages: &mut impl Pages) -> bool {
        self.drain(pages);
        let mut trimmed = false;
        for class in 0..CLASSES.len() {
            let mut page = self.partial[class];
            while !page.is_null() {
                // SAFETY: a page in a class's list is a live slab page that `self` owns; one that nobody uses may go.
                unsafe {
                    let (next, used) = ((*page).room.next, (*page).room.used);
                    if used == 0 {
                        self.unlink(page);
                        pages.give_back(NonNull::new_unchecked(page.cast()));
                        trimmed = true;
                    }
                    page = next;
                }
            }
        }
        trimmed
    }

    /// A page of `class` with room, at the head of its list: from what others gave back, else a new one.
    #[cold]
    fn refill(&mut self, class: usize, pages: &mut impl Pages) -> Option<*mut Header> {
        if self.remote.is_null() {
            self.begin(pages)?;
        }
        self.drain(pages);
        if self.partial[class].is_null() {
            self.partial[class] = self.new_page(class, pages)?;
        }
        Some(self.partial[class])
    }

    /// Takes the first page, which is kept for good: others know it by the list in it.
    fn begin(&mut self, pages: &mut impl Pages) -> Option<()> {
        const CLASS: usize = class_for(64, 64).unwrap(); // a cache line of its own
        let page = self.new_page(CLASS, pages)?;
        // SAFETY: a new page is ours alone, and its first object is what the list takes.
        unsafe {
            let header = &mut *page;
            let remote = page.cast::<u8>().add(usize::from(header.room.fresh)).cast::<Remote>();
            remote.write(Remote { head: AtomicPtr::new(ptr::null_mut()) });
            header.room.fresh += CLASSES[CLASS];
            header.room.used = 1;
            header.owner = remote;
            self.remote = remote;
        }
        self.partial[CLASS] = page;
        Some(())
    }

    /// Takes back what other cores freed.
    fn drain(&mut self, pages: &mut impl Pages) {
        // SAFETY: the list stays for good once there is one.
        let mut object = unsafe { self.remote.as_ref() }.map_or(ptr::null_mut(), Remote::take);
        while let Some(taken) = NonNull::new(object) {
            // SAFETY: whoever pushed it has promised what `free` asks, and read from the page that it is ours.
            unsafe {
                object = taken.as_ref().next.get();
                self.take_back(taken.cast(), pages);
            }
        }
    }

    /// # Safety
    /// As [`Self::free`], and the object is of these slabs.
    unsafe fn take_back(&mut self, object: NonNull<u8>, pages: &mut impl Pages) {
        let page = page_of(object);
        // SAFETY: by this function's contract the object lies in a live slab page of ours.
        unsafe {
            let room = &mut (*page).room;
            let was_full = room.free.is_null() && u64::from(room.fresh + CLASSES[usize::from(room.class)]) > PAGE_BYTES;
            let object = object.as_ptr().cast::<Free>();
            (*object).next.set(room.free);
            room.free = object;
            room.used -= 1;
            if was_full {
                self.link(page);
            }
            let room = &(*page).room;
            let alone = room.next.is_null() && room.previous.is_null();
            if room.used == 0 && !alone {
                self.unlink(page);
                pages.give_back(NonNull::new_unchecked(page.cast()));
            }
        }
    }

    fn new_page(&self, class: usize, pages: &mut impl Pages) -> Option<*mut Header> {
        let page = pages.page()?.as_ptr().cast::<Header>();
        let bytes = CLASSES[class];
        let first = if bytes.is_power_of_two() { bytes.max(64) } else { 64 };
        let room = Room {
            next: ptr::null_mut(),
            previous: ptr::null_mut(),
            free: ptr::null_mut(),
            used: 0,
            fresh: first,
            class: class as u8,
        };
        // SAFETY: by `Pages`' contract the page is ours alone, aligned and large enough.
        unsafe { page.write(Header { owner: self.remote, room }) };
        Some(page)
    }

    /// # Safety
    /// `page` is a live slab page in no list.
    unsafe fn link(&mut self, page: *mut Header) {
        // SAFETY: the caller's page and the head of the list are live pages of ours.
        unsafe {
            let head = &mut self.partial[usize::from((*page).room.class)];
            (*page).room.previous = ptr::null_mut();
            (*page).room.next = *head;
            if !head.is_null() {
                (**head).room.previous = page;
            }
            *head = page;
        }
    }

    /// # Safety
    /// `page` is a live slab page in its class's list.
    unsafe fn unlink(&mut self, page: *mut Header) {
        // SAFETY: the page and its neighbours in the list are live pages of ours.
        unsafe {
            let room = &mut (*page).room;
            if room.previous.is_null() {
                self.partial[usize::from(room.class)] = room.next;
            } else {
                (*room.previous).room.next = room.next;
            }
            if !room.next.is_null() {
                (*room.next).room.previous = room.previous;
            }
            room.next = ptr::null_mut();
            room.previous = ptr::null_mut();
        }
    }
}

fn page_of(object: NonNull<u8>) -> *mut Header {
    object.as_ptr().map_addr(|address| address & !(PAGE_BYTES as usize - 1)).cast()
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
        assert!(host.pages <= CLASSES.len() + 1, "{} pages are kept by empty classes", host.pages);
    }

    #[test]
    fn a_freed_object_is_used_again_before_a_new_page() {
        let (mut slabs, mut host) = (Slabs::new(), Host { pages: 0, limit: 2 }); // one more, for the list
        let class = class_for(2000, 1).unwrap();
        let first = slabs.allocate(class, &mut host).unwrap();
        assert!(slabs.allocate(class, &mut host).is_some());
        assert_eq!(slabs.allocate(class, &mut host), None, "no page is left");
        // SAFETY: allocated above, freed once.
        unsafe { slabs.free(first, &mut host) };
        assert_eq!(slabs.allocate(class, &mut host), Some(first));
    }

    #[test]
    fn what_others_free_is_used_again_when_a_class_runs_dry() {
        let (mut mine, mut my_pages) = (Slabs::new(), Host { pages: 0, limit: 2 });
        let (mut other, mut other_pages) = (Slabs::new(), Host { pages: 0, limit: 0 });
        let class = class_for(2000, 1).unwrap();
        let objects = [(); 2].map(|()| mine.allocate(class, &mut my_pages).unwrap());
        for object in objects {
            // SAFETY: allocated above, freed once.
            unsafe { other.free(object, &mut other_pages) };
        }
        let again = [(); 2].map(|()| mine.allocate(class, &mut my_pages).unwrap());
        assert!(objects.iter().all(|object| again.contains(object)));
        assert_eq!(mine.allocate(class, &mut my_pages), None);
    }

    #[test]
    fn trimming_keeps_no_empty_page() {
        let (mut mine, mut pages) = (Slabs::new(), Host { pages: 0, limit: 10 });
        let (mut other, mut other_pages) = (Slabs::new(), Host { pages: 0, limit: 0 });
        let [_kept, freed, freed_elsewhere] = [0, 1, 2].map(|class| mine.allocate(class, &mut pages).unwrap());
        // SAFETY: allocated above, freed once.
        unsafe {
            mine.free(freed, &mut pages);
            other.free(freed_elsewhere, &mut other_pages);
        }
        assert_eq!(pages.pages, 4);
        assert!(mine.trim(&mut pages));
        assert_eq!((pages.pages, mine.trim(&mut pages)), (2, false));
    }

    /// Threads allocate, hand what they have to each other, and free what they got: nothing is handed out twice
    /// while it is in use, and at the end every page is back.
    #[test]
    fn threads_free_what_others_allocated() {
        const THREADS: usize = 4;
        const ROUNDS: usize = 3000;
        struct Owned(NonNull<u8>, usize);
        // SAFETY: whoever holds it has the object alone.
        unsafe impl Send for Owned {}
        let (senders, receivers): (Vec<_>, Vec<_>) = (0..THREADS).map(|_| std::sync::mpsc::channel::<Owned>()).unzip();
        let done = std::sync::Barrier::new(THREADS);
        std::thread::scope(|scope| {
            for (number, receiver) in receivers.into_iter().enumerate() {
                let (senders, done) = (senders.clone(), &done);
                scope.spawn(move || {
                    let (mut slabs, mut host) = (Slabs::new(), Host { pages: 0, limit: usize::MAX });
                    let mut random = number as u64 + 1;
                    for _ in 0..ROUNDS {
                        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                        let bytes = (random >> 33) as usize % OBJECT_BYTES_MAX + 1;
                        let object = slabs.allocate(class_for(bytes, 1).unwrap(), &mut host).unwrap();
                        // SAFETY: the object is ours, and so long.
                        unsafe { object.as_ptr().write_bytes(bytes as u8, bytes) };
                        senders[(random >> 60) as usize % THREADS].send(Owned(object, bytes)).unwrap();
                        if let Ok(Owned(object, bytes)) = receiver.try_recv() {
                            check_and_free(object, bytes, &mut slabs, &mut host);
                        }
                    }
                    drop(senders);
                    done.wait();
                    while let Ok(Owned(object, bytes)) = receiver.try_recv() {
                        check_and_free(object, bytes, &mut slabs, &mut host);
                    }
                    done.wait();
                    slabs.trim(&mut host);
                    assert_eq!(host.pages, 1, "the first page stays");
                });
            }
        });

        fn check_and_free(object: NonNull<u8>, bytes: usize, slabs: &mut Slabs, host: &mut Host) {
            // SAFETY: whoever sent it gave it to us, so long.
            let content = unsafe { core::slice::from_raw_parts(object.as_ptr(), bytes) };
            assert!(content.iter().all(|byte| *byte == bytes as u8), "an object in use was handed out again");
            // SAFETY: as above.
            unsafe { slabs.free(object, host) };
        }
    }

    #[test]
    fn what_is_not_small_has_no_class() {
        assert_eq!(class_for(2017, 8), None);
        assert_eq!(class_for(8, 2048), None);
        assert!(class_for(1025, 32).is_none_or(|class| CLASSES[class].is_power_of_two()));
        assert_eq!(class_for(0, 1), Some(0));
    }
}
