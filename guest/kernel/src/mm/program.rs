//! The lower half: pages of the one program that a machine may run in ring 3.
//!
//! A page has a frame of its own, zeroed or filled before the program can see it, which is freed with it; or it shows a page
//! of memory that stays for good, as a file in the boot module, and cannot be written. The page tables are the only record
//! of it. Whoever holds [`Pages`] decides what is where; a machine has one.

#![expect(unsafe_code, reason = "pages are entered and taken out, and frames are filled")]

use super::frames::FRAMES;
use super::{OutOfMemory, PAGE_BYTES, PhysAddr, reclaim_for};
use crate::arch::user::{self, Entry, Leaf, Removed, Rights, Root, Source};
use crate::arch::{SpinLock, cores, paging, shootdown};
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
}

/// A frame on its way to a page; freed when it does not get there.
struct Frame(Option<PhysAddr>);

impl Frame {
    fn allocate() -> Option<PhysAddr> {
        FRAMES.with(|frames| frames.allocate(0))
    }

    fn zeroed() -> Result<Frame, OutOfMemory> {
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
        Ok(Some(Pages { root }))
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
        Ok(())
    }

    /// What is mapped at a page.
    #[must_use]
    #[inline]
    pub fn get(&self, page: usize) -> Option<Leaf> {
        if page >= END { None } else { TABLES.with(|()| self.root.get(page & !(PAGE_BYTES - 1))) }
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
