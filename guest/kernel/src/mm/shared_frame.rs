//! Page frames that several pages of a program may show, and that the kernel reads and writes: what a file of the program keeps
//! in memory, mapped or not.
//!
//! The program may write one at any moment, on another core: so no reference to what is in it exists, only copies.

#![expect(unsafe_code, reason = "what a program writes meanwhile is copied")]

use super::program::Frame;
use super::{OutOfMemory, PAGE_BYTES, PhysAddr};
use crate::arch::{paging, user};
use alloc::sync::Arc;

/// A page frame. Freed when nobody holds it and no page shows it.
pub struct SharedFrame {
    physical: PhysAddr,
    /// Gives it back.
    _frame: Frame,
}

impl SharedFrame {
    /// A frame of zeroes.
    ///
    /// # Errors
    /// [`OutOfMemory`].
    pub fn zeroed() -> Result<Arc<SharedFrame>, OutOfMemory> {
        let frame = Frame::zeroed()?;
        let physical = frame.physical().ok_or(OutOfMemory)?;
        Ok(Arc::new(SharedFrame { physical, _frame: frame }))
    }

    pub(super) fn physical(&self) -> PhysAddr {
        self.physical
    }

    /// Where these bytes of it are.
    pub(super) fn at(&self, offset: usize, bytes: usize) -> *mut u8 {
        assert!(offset <= PAGE_BYTES && bytes <= PAGE_BYTES - offset, "{bytes} bytes at {offset} of a frame");
        core::ptr::with_exposed_provenance_mut(paging::direct(self.physical) + offset)
    }

    /// Copies from it.
    ///
    /// # Panics
    /// When it has no so many bytes from `offset` on.
    pub fn read(&self, offset: usize, to: &mut [u8]) {
        // SAFETY: both are as long; what a program writes meanwhile is copied as it is found.
        unsafe { user::copy_raw(to.as_mut_ptr(), self.at(offset, to.len()), to.len()) };
    }

    /// Copies to it.
    ///
    /// # Panics
    /// When it has no so many bytes from `offset` on.
    pub fn write(&self, offset: usize, from: &[u8]) {
        // SAFETY: both are as long; nobody has a reference into a frame.
        unsafe { user::copy_raw(self.at(offset, from.len()), from.as_ptr(), from.len()) };
    }

    /// Copies to it out of another, or out of itself elsewhere.
    ///
    /// # Panics
    /// When one has no so many bytes from its offset on.
    pub fn copy(&self, offset: usize, from: &SharedFrame, from_offset: usize, bytes: usize) {
        // SAFETY: both are as long; what a program writes meanwhile is copied as it is found.
        unsafe { user::copy_raw(self.at(offset, bytes), from.at(from_offset, bytes), bytes) };
    }

    /// Clears some of it.
    ///
    /// # Panics
    /// When it has no so many bytes from `offset` on.
    pub fn clear(&self, offset: usize, bytes: usize) {
        const ZEROES: [u8; 256] = [0; 256];
        for at in (offset..offset + bytes).step_by(ZEROES.len()) {
            self.write(at, &ZEROES[..ZEROES.len().min(offset + bytes - at)]);
        }
    }
}

impl core::fmt::Debug for SharedFrame {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_tuple("SharedFrame").field(&self.physical).finish()
    }
}
