//! Page tables of the lower half.
//!
//! A first table of their own: its upper half is the kernel's, whose entries never change, its lower half the program's.
//! Tables are made when a page needs them and taken down with their last page: each entry that names a table counts, in bits
//! that the processor ignores, what is in that table. An entry of a page says whether its frame is its own.
//!
//! "Accessed" and "dirty" are set from the start, so the processor never writes here. All functions are for one core at a time.

#![expect(unsafe_code, reason = "page tables are written")]

use super::END;
use super::removed::Removed;
use crate::arch::x86_64::{SSE, paging};
use crate::mm::PhysAddr;
use core::arch::asm;

pub(super) const PRESENT: u64 = 1;
const WRITABLE: u64 = 1 << 1;
const USER: u64 = 1 << 2;
const ACCESSED: u64 = 1 << 5;
const DIRTY: u64 = 1 << 6;
/// The frame goes with the page.
pub(super) const OWNED: u64 = 1 << 9;
/// Something is here, present or not.
const USED: u64 = 1 << 10;
/// The frame is somebody else's, who lets it be written.
const LENT: u64 = 1 << 11;
const NO_EXECUTE: u64 = 1 << 63;
pub(super) const ADDRESS: u64 = 0x000f_ffff_ffff_f000;
const TABLE: u64 = PRESENT | WRITABLE | USER | ACCESSED;
/// One page or table more, in the entry that names the table it is in.
const ONE: u64 = 1 << 52;
const COUNT: u64 = 0x3ff << 52;
const PAGE: usize = 4096;

/// What a program may do with a page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rights {
    /// Nothing; what is in it is kept.
    None,
    /// Read it.
    Read,
    /// Read and write it.
    ReadWrite,
    /// Read and run it.
    ReadExecute,
    /// All: for programs that make code.
    ReadWriteExecute,
}

impl Rights {
    const fn bits(self) -> u64 {
        match self {
            Self::None => NO_EXECUTE,
            Self::Read => PRESENT | NO_EXECUTE,
            Self::ReadWrite => PRESENT | WRITABLE | NO_EXECUTE,
            Self::ReadExecute => PRESENT,
            Self::ReadWriteExecute => PRESENT | WRITABLE,
        }
    }

    const fn of(entry: u64) -> Self {
        match (entry & PRESENT != 0, entry & WRITABLE != 0, entry & NO_EXECUTE == 0) {
            (false, _, _) => Self::None,
            (_, false, false) => Self::Read,
            (_, true, false) => Self::ReadWrite,
            (_, false, true) => Self::ReadExecute,
            (_, true, true) => Self::ReadWriteExecute,
        }
    }

    /// These without writing.
    #[must_use]
    pub const fn without_write(self) -> Self {
        match self {
            Self::ReadWrite => Self::Read,
            Self::ReadWriteExecute => Self::ReadExecute,
            other => other,
        }
    }
}

/// What a page shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// A frame that goes with the page.
    Owned(PhysAddr),
    /// A frame that stays whatever happens to the page, and is never written through it.
    Borrowed(PhysAddr),
    /// A frame that outlives the page, and may be written through it.
    Lent(PhysAddr),
}

impl Source {
    fn entry(self, rights: Rights) -> u64 {
        match self {
            Self::Owned(frame) => frame.0 | OWNED | rights.bits(),
            Self::Borrowed(frame) => frame.0 | rights.without_write().bits(),
            Self::Lent(frame) => frame.0 | LENT | rights.bits(),
        }
        .wrapping_add(USED | USER | ACCESSED | DIRTY)
    }

    const fn of(entry: u64) -> Self {
        let frame = PhysAddr(entry & ADDRESS);
        match (entry & OWNED != 0, entry & LENT != 0) {
            (true, _) => Self::Owned(frame),
            (false, true) => Self::Lent(frame),
            (false, false) => Self::Borrowed(frame),
        }
    }
}

/// Why a page was not entered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Entry {
    /// There is one already.
    Occupied,
    /// No frame is left for a table.
    NoTable,
}

/// A page, as it is entered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Leaf {
    /// What may be done with it.
    pub rights: Rights,
    /// Its frame goes with it.
    pub owned: bool,
}

/// The first table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Root(pub(super) PhysAddr);

/// Clears a frame, which is in the direct map.
///
/// # Safety
/// The frame is the caller's.
#[inline]
pub unsafe fn clear_page(frame: PhysAddr) {
    // SAFETY: by this function's contract.
    unsafe {
        asm!(
            ".if {sse}",
            "xorps xmm0, xmm0",
            "2:",
            "movaps [rdi], xmm0",
            "movaps [rdi + 0x10], xmm0",
            "movaps [rdi + 0x20], xmm0",
            "movaps [rdi + 0x30], xmm0",
            "movaps [rdi + 0x40], xmm0",
            "movaps [rdi + 0x50], xmm0",
            "movaps [rdi + 0x60], xmm0",
            "movaps [rdi + 0x70], xmm0",
            "sub rdi, -128",
            "test edi, 0xfff",
            "jnz 2b",
            ".else",
            "2:",
            "mov qword ptr [rdi], 0",
            "add rdi, 8",
            "test edi, 0xfff",
            "jnz 2b",
            ".endif",
            inout("rdi") paging::direct(frame) => _,
            sse = const SSE,
            clobber_abi("C"),
            options(nostack),
        );
    }
}

/// The frame of a page of the kernel, for [`Source::Borrowed`]; `None` when it is not mapped.
#[must_use]
pub fn kernel_page(page: &'static [u8; PAGE]) -> Option<PhysAddr> {
    paging::physical(page.as_ptr().addr()).filter(|frame| frame.0.is_multiple_of(PAGE as u64))
}

fn slot(table: u64, page: usize, level: u32) -> *mut u64 {
    let index = page >> (12 + 9 * level) & 511;
    core::ptr::with_exposed_provenance_mut::<u64>(paging::direct(PhysAddr(table & ADDRESS))).wrapping_add(index)
}

fn read(slot: *mut u64) -> u64 {
    // SAFETY: slots are of tables that are in use, which the direct map has.
    unsafe { slot.read_volatile() }
}

fn write(slot: *mut u64, value: u64) {
    // SAFETY: as above; what is entered is the business of the functions below, one core at a time.
    unsafe { slot.write_volatile(value) };
}

/// How many slots from `first` on surely hold nothing, of at most `most`: a stack's table, say, is nearly empty.
fn absent(first: *mut u64, most: usize) -> usize {
    const STEP: usize = 8;
    let is_empty = |count: usize| (0..STEP).fold(0, |all, at| all | read(first.wrapping_add(count + at))) == 0;
    (0..).step_by(STEP).find(|count| count + STEP > most || !is_empty(*count)).unwrap_or(0)
}

/// The slots that lead to a page, from the top: as far as there are tables.
struct Path {
    slots: [*mut u64; 3],
    /// Tables that are missing.
    missing: usize,
}

impl Root {
    /// Makes a first table of a frame.
    ///
    /// # Safety
    /// The frame is for this alone, and in the direct map.
    pub unsafe fn new(frame: PhysAddr) -> Root {
        // SAFETY: by this function's contract.
        unsafe {
            clear_page(frame);
            paging::copy_kernel_half(core::ptr::with_exposed_provenance_mut(paging::direct(frame)));
        }
        Root(frame)
    }

    #[inline]
    fn path(self, page: usize) -> Path {
        let mut path = Path { slots: [core::ptr::null_mut(); 3], missing: 3 };
        let mut table = self.0.0;
        for level in (1..4).rev() {
            let slot = slot(table, page, level);
            path.slots[path.slots.len() - path.missing] = slot;
            table = read(slot);
            if table == 0 {
                break;
            }
            path.missing -= 1;
        }
        path
    }

    /// The page's own slot, if there are tables down to it.
    fn leaf(self, page: usize) -> Option<(*mut u64, Path)> {
        let path = self.path(page);
        (path.missing == 0).then(|| (slot(read(path.slots[2]), page, 0), path))
    }

    /// Enters a page.
    ///
    /// # Errors
    /// [`Entry`]; then some empty tables may be there: [`prune`](Self::prune).
    ///
    /// # Safety
    /// `page` is one of the lower half; an owned frame is for this page alone, a borrowed one stays and is not written; tables
    /// are used for nothing else.
    #[inline]
    pub unsafe fn enter(
        self,
        page: usize,
        source: Source,
        rights: Rights,
        new_table: &mut dyn FnMut() -> Option<PhysAddr>,
    ) -> Result<(), Entry> {
        debug_assert!(page < END && page.is_multiple_of(PAGE), "a page of the lower half");
        let mut path = self.path(page);
        while path.missing > 0 {
            let depth = 3 - path.missing;
            let frame = new_table().ok_or(Entry::NoTable)?;
            // SAFETY: the frame is given for this.
            unsafe { clear_page(frame) };
            write(path.slots[depth], frame.0 | TABLE);
            if depth > 0 {
                write(path.slots[depth - 1], read(path.slots[depth - 1]) + ONE);
            }
            path.missing -= 1;
            if path.missing > 0 {
                path.slots[depth + 1] = slot(frame.0, page, path.missing as u32);
            }
        }
        let leaf = slot(read(path.slots[2]), page, 0);
        if read(leaf) != 0 {
            return Err(Entry::Occupied);
        }
        write(leaf, source.entry(rights));
        write(path.slots[2], read(path.slots[2]) + ONE);
        Ok(())
    }

    /// Puts something else in a page's place. `false`: there is no page.
    ///
    /// # Safety
    /// As for [`enter`](Self::enter); `removed` is flushed and then freed.
    pub unsafe fn replace(self, page: usize, source: Source, rights: Rights, removed: &mut Removed) -> bool {
        let Some((leaf, _)) = self.leaf(page).filter(|(leaf, _)| read(*leaf) != 0) else { return false };
        removed.push_page(page, read(leaf));
        write(leaf, source.entry(rights));
        true
    }

    /// What is entered for a page.
    #[must_use]
    #[inline]
    pub fn get(self, page: usize) -> Option<Leaf> {
        let value = read(self.leaf(page)?.0);
        (value != 0).then(|| Leaf { rights: Rights::of(value), owned: value & OWNED != 0 })
    }

    /// The first page from `from` on, below `end`, whose table exists; `end` when there is none.
    fn next(self, from: usize, end: usize) -> (usize, Option<Path>) {
        let mut page = from;
        while page < end {
            let path = self.path(page);
            if path.missing == 0 {
                return (page, Some(path));
            }
            let span = PAGE << (9 * path.missing);
            page = (page & !(span - 1)) + span;
        }
        (end, None)
    }

    /// How many pages of a range are entered.
    #[must_use]
    pub fn count(self, start: usize, end: usize) -> usize {
        let (mut page, mut count) = (start, 0);
        while let (found, Some(path)) = self.next(page, end) {
            let table = read(path.slots[2]);
            let table_end = (found & !(512 * PAGE - 1)) + 512 * PAGE;
            let pages = (found..end.min(table_end)).step_by(PAGE);
            count += pages.filter(|page| read(slot(table, *page, 0)) != 0).count();
            page = table_end;
        }
        count
    }

    /// Gives all pages of a range these rights. What `removed` then has is to be flushed.
    ///
    /// # Safety
    /// The range is of the lower half.
    pub unsafe fn change(self, start: usize, end: usize, rights: Rights, removed: &mut Removed) {
        let mut page = start;
        while let (found, Some(path)) = self.next(page, end) {
            page = found;
            let table = read(path.slots[2]);
            loop {
                let leaf = slot(table, page, 0);
                let value = read(leaf);
                if value != 0 {
                    let rights = if value & (OWNED | LENT) != 0 { rights } else { rights.without_write() };
                    let changed = value & !(PRESENT | WRITABLE | NO_EXECUTE) | rights.bits();
                    if value & PRESENT != 0 && changed != value {
                        removed.push_page(page, PRESENT);
                    }
                    write(leaf, changed);
                }
                page += PAGE;
                if page >= end || page & (512 * PAGE - 1) == 0 {
                    break;
                }
            }
        }
    }

    /// Takes the pages from `start` on out, and the tables that this leaves empty, as many as `removed` has room for; where
    /// to go on.
    ///
    /// # Safety
    /// The range is of the lower half; `removed` is flushed and then freed.
    pub unsafe fn remove(self, start: usize, end: usize, removed: &mut Removed) -> usize {
        let mut page = start;
        while let (found, Some(path)) = self.next(page, end) {
            page = found;
            let table = read(path.slots[2]);
            let table_end = end.min((page & !(512 * PAGE - 1)) + 512 * PAGE);
            loop {
                page += PAGE * absent(slot(table, page, 0), (table_end - page) / PAGE);
                if page == table_end {
                    break;
                }
                let leaf = slot(table, page, 0);
                let value = read(leaf);
                if value != 0 {
                    write(leaf, 0);
                    write(path.slots[2], read(path.slots[2]) - ONE);
                    removed.push_page(page, value);
                }
                page += PAGE;
                if page == table_end || removed.is_full() {
                    break;
                }
            }
            take_down(&path, 3, removed);
            if removed.is_full() {
                return page;
            }
        }
        end
    }

    /// Takes one page out, with what it shows, for another place; the caller makes all cores forget it. Its tables stay.
    ///
    /// # Safety
    /// The page is of the lower half; an owned frame is the caller's.
    pub unsafe fn take(self, page: usize) -> Option<(Source, Rights)> {
        let (leaf, path) = self.leaf(page)?;
        let value = read(leaf);
        if value == 0 {
            return None;
        }
        write(leaf, 0);
        write(path.slots[2], read(path.slots[2]) - ONE);
        Some((Source::of(value), Rights::of(value)))
    }

    /// Where the next page may be, from `from` on: tables that do not exist are passed over.
    #[must_use]
    pub fn next_mapped(self, from: usize, end: usize) -> usize {
        self.next(from, end).0
    }

    /// Takes the next table without a page in it down, with those above that this leaves empty; where to go on.
    ///
    /// # Safety
    /// As for [`remove`](Self::remove).
    pub unsafe fn prune_next(self, start: usize, end: usize, removed: &mut Removed) -> usize {
        let (found, path) = self.next(start, end);
        if let Some(path) = path {
            take_down(&path, 3, removed);
        }
        ((found & !(512 * PAGE - 1)) + 512 * PAGE).min(end)
    }

    /// Takes down what [`enter`](Self::enter) made for nothing.
    ///
    /// # Safety
    /// As for [`remove`](Self::remove).
    pub unsafe fn prune(self, page: usize, removed: &mut Removed) {
        let path = self.path(page);
        take_down(&path, 3 - path.missing, removed);
    }
}

/// Takes the last `count` tables of the path that are empty out.
fn take_down(path: &Path, count: usize, removed: &mut Removed) {
    for depth in (0..count).rev() {
        let value = read(path.slots[depth]);
        if value & COUNT != 0 {
            return;
        }
        write(path.slots[depth], 0);
        removed.push(value);
        if depth > 0 {
            write(path.slots[depth - 1], read(path.slots[depth - 1]) - ONE);
        }
    }
}
