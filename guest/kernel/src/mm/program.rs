//! The lower half: pages of the one program that a machine may run in ring 3.
//!
//! A page has a frame of its own, zeroed or filled before the program can see it, which is freed with it; or it shows a page
//! of memory that stays for good, as a file in the boot module, and cannot be written; or it shows a [`SharedFrame`], which
//! others show, too. The page tables are the only record of it, but for the last, whose frames must outlive their pages.
//! Whoever holds [`Pages`] decides what is where; a machine has one.

#![expect(unsafe_code, reason = "pages are entered and taken out, and frames are filled")]

use super::frames::FRAMES;
use super::shared_frame::SharedFrame;
use super::{OutOfMemory, PAGE_BYTES, PhysAddr, reclaim_for};
use crate::arch::user::{self, Entry, Leaf, Removed, Rights, Root, Source};
use crate::arch::{SpinLock, cores, paging, shootdown};
use alloc::collections::BTreeMap;
use alloc::sync::Arc;
use core::fmt;
use core::ops::Range;
use core::sync::atomic::{AtomicBool, Ordering};

/// Addresses below this are never a program's: what is near null stays a fault.
pub const START: usize = 0x1_0000;
/// One past the highest address of a program.
pub const END: usize = user::END;

/// Why a page was not mapped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MapError {
    /// No frame for it, or for a table on the way to it.
    OutOfMemory,
    /// There is a page already.
    Occupied,
    /// No page of the lower half: not from [`START`] to [`END`], or not at a multiple of the page size.
    NotAPage,
}

impl fmt::Display for MapError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::OutOfMemory => OutOfMemory.fmt(f),
            Self::Occupied => f.write_str("there is a page already"),
            Self::NotAPage => f.write_str("this is no page of the lower half"),
        }
    }
}

impl core::error::Error for MapError {}

impl From<OutOfMemory> for MapError {
    fn from(_: OutOfMemory) -> Self {
        Self::OutOfMemory
    }
}

/// Held while the page tables of the lower half are walked or changed.
static TABLES: SpinLock<()> = SpinLock::new(());
static IS_HELD: AtomicBool = AtomicBool::new(false);

/// All pages of the lower half. Dropped, they are gone.
#[derive(Debug)]
pub struct Pages {
    root: Root,
    lent: Lent,
}

/// The frames that pages show and do not own, by page: each lives as long as a page shows it.
#[derive(Debug)]
struct Lent(SpinLock<BTreeMap<usize, Arc<SharedFrame>>>);

impl Lent {
    /// Lets go of the frames of these pages, which no core reaches any more.
    fn forget(&self, pages: Range<usize>) {
        while let Some(frame) = self.0.with(|lent| {
            let page = *lent.range(pages.clone()).next()?.0;
            lent.remove(&page)
        }) {
            drop(frame); // outside the lock
        }
    }

    /// Has a page show what another did.
    fn relocate(&self, from: usize, to: usize) {
        self.0.with(|lent| {
            if let Some(frame) = lent.remove(&from) {
                lent.insert(to, frame);
            }
        });
    }
}

/// A frame on its way to a page; freed when it does not get there.
pub(super) struct Frame(Option<PhysAddr>);

impl Frame {
    fn allocate() -> Option<PhysAddr> {
        FRAMES.with(|frames| frames.allocate(0))
    }

    pub(super) fn zeroed() -> Result<Frame, OutOfMemory> {
        let frame = Self::allocate().or_else(|| reclaim_for(Self::allocate)).ok_or(OutOfMemory)?;
        // SAFETY: the frame is fresh.
        unsafe { user::clear_page(frame) };
        Ok(Frame(Some(frame)))
    }

    /// One that begins with `bytes` at `offset`; the rest is zero.
    fn filled(offset: usize, bytes: &[u8]) -> Result<Frame, OutOfMemory> {
        assert!(offset + bytes.len() <= PAGE_BYTES, "{} bytes at {offset} of a page", bytes.len());
        let frame = Self::zeroed()?;
        if let Some(physical) = frame.0 {
            let at = core::ptr::with_exposed_provenance_mut::<u8>(paging::direct(physical) + offset);
            // SAFETY: the frame is fresh, and there is room.
            unsafe { at.copy_from_nonoverlapping(bytes.as_ptr(), bytes.len()) };
        }
        Ok(frame)
    }
}

impl Frame {
    pub(super) fn physical(&self) -> Option<PhysAddr> {
        self.0
    }
}

impl Drop for Frame {
    fn drop(&mut self) {
        if let Some(frame) = self.0 {
            FRAMES.with(|frames| frames.free(frame, 0));
        }
    }
}

/// Makes all cores forget what was taken out, and frees it. Under the lock, so that nothing else is entered there before.
fn finish(removed: Removed) {
    if !removed.was_seen() {
        return;
    }
    removed.flush_here();
    if cores::count() > 1 {
        shootdown::flush_others();
    }
    FRAMES.with(|frames| removed.frames().iter().for_each(|frame| frames.free(*frame, 0)));
}

fn check(pages: &Range<usize>) -> Result<(), MapError> {
    let aligned = pages.start.is_multiple_of(PAGE_BYTES) && pages.end.is_multiple_of(PAGE_BYTES);
    if aligned && START <= pages.start && pages.start <= pages.end && pages.end <= END {
        Ok(())
    } else {
        Err(MapError::NotAPage)
    }
}

fn page_range(page: usize) -> Result<(), MapError> {
    check(&(page..page.saturating_add(PAGE_BYTES)))
}

impl Pages {
    /// The lower half, for whoever asks first; `Ok(None)` while somebody has it. This core can run programs from here on.
    ///
    /// # Errors
    /// [`OutOfMemory`].
    pub fn take() -> Result<Option<Pages>, OutOfMemory> {
        if IS_HELD.swap(true, Ordering::Acquire) {
            return Ok(None);
        }
        let root = match user::root() {
            Some(root) => root,
            None => {
                let mut frame = Frame::zeroed().inspect_err(|_| IS_HELD.store(false, Ordering::Release))?;
                let Some(physical) = frame.0.take() else { return Err(OutOfMemory) };
                // SAFETY: the frame is the root's for good from here on.
                let root = unsafe { Root::new(physical) };
                user::set_root(root);
                root
            }
        };
        user::prepare();
        Ok(Some(Pages { root, lent: Lent(SpinLock::new(BTreeMap::new())) }))
    }

    fn enter(&self, page: usize, source: Source, rights: Rights) -> Result<(), MapError> {
        match self.try_enter(page, source, rights) {
            Ok(()) => Ok(()),
            Err(Entry::Occupied) => Err(MapError::Occupied),
            // `Some` is an answer, whatever it is; for another frame there is one more try.
            Err(Entry::NoTable) => {
                let entered = reclaim_for(|| match self.try_enter(page, source, rights) {
                    Ok(()) => Some(Ok(())),
                    Err(Entry::Occupied) => Some(Err(MapError::Occupied)),
                    Err(Entry::NoTable) => None,
                });
                entered.unwrap_or(Err(MapError::OutOfMemory))
            }
        }
    }

    #[inline]
    fn try_enter(&self, page: usize, source: Source, rights: Rights) -> Result<(), Entry> {
        TABLES.with(|()| {
            // SAFETY: the page is one of the lower half, and the frame is given for it, or stays for good.
            let entered = unsafe { self.root.enter(page, source, rights, &mut Frame::allocate) };
            if entered == Err(Entry::NoTable) {
                let mut removed = Removed::new();
                // SAFETY: as above.
                unsafe { self.root.prune(page, &mut removed) };
                finish(removed);
            }
            entered
        })
    }

    fn enter_frame(&self, page: usize, mut frame: Frame, rights: Rights) -> Result<(), MapError> {
        let Some(physical) = frame.0 else { return Err(MapError::OutOfMemory) };
        self.enter(page, Source::Owned(physical), rights)?;
        frame.0 = None;
        Ok(())
    }

    /// Maps a page of zeroes.
    ///
    /// # Errors
    /// [`MapError`].
    #[inline]
    pub fn map(&self, page: usize, rights: Rights) -> Result<(), MapError> {
        page_range(page)?;
        self.enter_frame(page, Frame::zeroed()?, rights)
    }

    /// Maps a page that has `bytes` at `offset`, and zeroes elsewhere.
    ///
    /// # Errors
    /// [`MapError`].
    ///
    /// # Panics
    /// When the bytes do not fit.
    pub fn map_filled(&self, page: usize, offset: usize, bytes: &[u8], rights: Rights) -> Result<(), MapError> {
        page_range(page)?;
        self.enter_frame(page, Frame::filled(offset, bytes)?, rights)
    }

    /// Shows `memory`, whole pages that stay for good, from `page` on, without copying it. It is never written this way:
    /// rights to write are left out.
    ///
    /// # Errors
    /// [`MapError`]; some pages may be mapped then. [`NotAPage`](MapError::NotAPage) too when `memory` is not of whole pages.
    pub fn map_in_place(&self, page: usize, memory: &'static [u8], rights: Rights) -> Result<(), MapError> {
        check(&(page..page.saturating_add(memory.len())))?;
        let (memory, rest) = memory.as_chunks::<PAGE_BYTES>();
        if !rest.is_empty() {
            return Err(MapError::NotAPage);
        }
        for (number, contents) in memory.iter().enumerate() {
            let frame = user::kernel_page(contents).ok_or(MapError::NotAPage)?;
            self.enter(page + number * PAGE_BYTES, Source::Borrowed(frame), rights)?;
        }
        Ok(())
    }

    /// Shows `frame` at a page; it may be written when `rights` say so, and stays as long as the page does.
    ///
    /// # Errors
    /// [`MapError`].
    pub fn map_shared(&self, page: usize, frame: &Arc<SharedFrame>, rights: Rights) -> Result<(), MapError> {
        page_range(page)?;
        // Before the page is there: what a program can reach is held.
        let before = self.lent.0.with(|lent| match lent.contains_key(&page) {
            true => None,
            false => Some(lent.insert(page, Arc::clone(frame))),
        });
        if before.is_none() {
            return Err(MapError::Occupied);
        }
        self.enter(page, Source::Lent(frame.physical()), rights)
            .inspect_err(|_| self.lent.forget(page..page + PAGE_BYTES))
    }

    /// Moves all pages of a range, with what is in them, to another range of that length, where there are none.
    ///
    /// # Errors
    /// [`MapError`]; all pages are where they were then.
    pub fn relocate(&self, from: Range<usize>, to: usize) -> Result<(), MapError> {
        check(&from)?;
        check(&(to..to.saturating_add(from.len())))?;
        let moved = self.relocate_all(&from, to);
        if let Err((_, page)) = moved {
            // What was entered there has its tables here still.
            let back = self.relocate_all(&(to..to + (page - from.start)), from.start);
            assert!(back.is_ok(), "a page does not fit where it was");
        }
        TABLES.with(|()| {
            paging::flush_all();
            if cores::count() > 1 {
                shootdown::flush_others();
            }
            let mut removed = Removed::new();
            for emptied in [from.clone(), to..to + from.len()] {
                let mut page = emptied.start;
                while page < emptied.end {
                    // SAFETY: tables alone are taken down, whose pages went elsewhere.
                    page = unsafe { self.root.prune_next(page, emptied.end, &mut removed) };
                    finish(core::mem::take(&mut removed));
                }
            }
        });
        moved.map_err(|(error, _)| error)
    }

    /// Moves pages until one cannot be: which, and why.
    fn relocate_all(&self, from: &Range<usize>, to: usize) -> Result<(), (MapError, usize)> {
        let mut page = from.start;
        loop {
            page = TABLES.with(|()| self.root.next_mapped(page, from.end));
            if page >= from.end {
                return Ok(());
            }
            // SAFETY: what is taken out is entered elsewhere, or back.
            let taken = TABLES.with(|()| unsafe { self.root.take(page) });
            if let Some((source, rights)) = taken {
                let there = to + (page - from.start);
                if let Err(error) = self.enter(there, source, rights) {
                    let back = self.enter(page, source, rights);
                    assert!(back.is_ok(), "a page does not fit where it was");
                    return Err((error, page));
                }
                if matches!(source, Source::Lent(_)) {
                    self.lent.relocate(page, there);
                }
            }
            page += PAGE_BYTES;
        }
    }

    /// Puts a page with these contents in the place of the one that is there, in one step: what a program gets when it writes
    /// to a page shown in place.
    ///
    /// # Errors
    /// [`MapError`]; [`NotAPage`](MapError::NotAPage) when there is none.
    pub fn replace(&self, page: usize, contents: &[u8; PAGE_BYTES], rights: Rights) -> Result<(), MapError> {
        page_range(page)?;
        let mut frame = Frame::filled(0, contents)?;
        let Some(physical) = frame.0 else { return Err(MapError::OutOfMemory) };
        let replaced = TABLES.with(|()| {
            let mut removed = Removed::new();
            // SAFETY: the frame is given for this page, and what was there is freed when no core knows it.
            let replaced = unsafe { self.root.replace(page, Source::Owned(physical), rights, &mut removed) };
            finish(removed);
            replaced
        });
        if !replaced {
            return Err(MapError::NotAPage);
        }
        frame.0 = None;
        self.lent.forget(page..page + PAGE_BYTES);
        Ok(())
    }

    /// What is mapped at a page.
    #[must_use]
    #[inline]
    pub fn get(&self, page: usize) -> Option<Leaf> {
        if page >= END { None } else { TABLES.with(|()| self.root.get(page & !(PAGE_BYTES - 1))) }
    }

    /// How many pages of a range are mapped.
    #[must_use]
    pub fn count(&self, pages: Range<usize>) -> usize {
        TABLES.with(|()| self.root.count(pages.start, pages.end.min(END)))
    }

    /// Gives all pages that are mapped in a range other rights. When this returns, no core acts on old ones.
    ///
    /// # Errors
    /// [`MapError::NotAPage`].
    pub fn protect(&self, pages: Range<usize>, rights: Rights) -> Result<(), MapError> {
        check(&pages)?;
        TABLES.with(|()| {
            let mut removed = Removed::new();
            // SAFETY: the range is of the lower half.
            unsafe { self.root.change(pages.start, pages.end, rights, &mut removed) };
            finish(removed);
        });
        Ok(())
    }

    /// Unmaps all pages of a range, and frees their frames. When this returns, no core reaches them.
    ///
    /// # Errors
    /// [`MapError::NotAPage`].
    pub fn unmap(&self, pages: Range<usize>) -> Result<(), MapError> {
        check(&pages)?;
        let mut page = pages.start;
        while page < pages.end {
            page = TABLES.with(|()| {
                let mut removed = Removed::new();
                // SAFETY: the range is of the lower half; what is taken out is freed when no core knows it.
                let next = unsafe { self.root.remove(page, pages.end, &mut removed) };
                finish(removed);
                next
            });
        }
        self.lent.forget(pages);
        Ok(())
    }

    /// Copies from the program's memory.
    ///
    /// # Errors
    /// The address that could not be read; some of `to` may have been written.
    #[inline]
    pub fn read(&self, from: usize, to: &mut [u8]) -> Result<(), usize> {
        user::copy_in(to, from)
    }

    /// Copies to the program's memory.
    ///
    /// # Errors
    /// The address that could not be written; some may have been.
    #[inline]
    pub fn write(&self, to: usize, from: &[u8]) -> Result<(), usize> {
        user::copy_out(to, from)
    }

    /// Copies to the program's memory out of a frame, from `offset` on.
    ///
    /// # Errors
    /// The address that could not be written; some may have been.
    ///
    /// # Panics
    /// When the frame has no so many bytes.
    pub fn write_from(&self, to: usize, frame: &SharedFrame, offset: usize, bytes: usize) -> Result<(), usize> {
        user::copy_out_raw(to, frame.at(offset, bytes), bytes)
    }

    /// Copies from the program's memory into a frame, from `offset` on.
    ///
    /// # Errors
    /// The address that could not be read; some may have been written.
    ///
    /// # Panics
    /// When the frame has no so many bytes.
    pub fn read_into(&self, from: usize, frame: &SharedFrame, offset: usize, bytes: usize) -> Result<(), usize> {
        user::copy_in_raw(frame.at(offset, bytes), from, bytes)
    }

    /// Clears some of the program's memory.
    ///
    /// # Errors
    /// As for [`write`](Self::write).
    pub fn zero(&self, at: usize, bytes: usize) -> Result<(), usize> {
        user::zero(at, bytes)
    }

    /// Stores `new` at `at` if `expected` is there, in one step for all cores; what was there.
    ///
    /// # Errors
    /// The address that could not be reached, or written.
    pub fn compare_exchange(&self, at: usize, expected: u32, new: u32) -> Result<u32, usize> {
        user::compare_exchange(at, expected, new)
    }
}

impl Drop for Pages {
    fn drop(&mut self) {
        let _all = self.unmap(START..END);
        IS_HELD.store(false, Ordering::Release);
    }
}
