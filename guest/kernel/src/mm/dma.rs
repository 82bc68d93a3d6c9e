//! Memory that a device reads and writes.

#![expect(unsafe_code, reason = "memory is shared with a device")]

use super::frames::FRAMES;
use super::{OutOfMemory, PhysAddr, reclaim_for};
use crate::arch::paging;
use core::ptr::NonNull;
use toro_memory::buddy::{ORDER_MAX, order_for};

/// Physically contiguous memory, aligned to its size rounded up to a power of two, up to
/// 2 MiB. Whoever lends it to a device drops it only after the device was reset.
#[derive(Debug)]
pub struct DmaRegion {
    base: NonNull<u8>,
    bytes: usize,
}

// SAFETY: the region owns its memory; access through `as_ptr` is the holder's affair.
unsafe impl Send for DmaRegion {}

impl DmaRegion {
    /// A region of at least `bytes`, rounded up to pages.
    ///
    /// # Errors
    /// [`OutOfMemory`], also for more than 2 MiB.
    pub fn new(bytes: usize) -> Result<Self, OutOfMemory> {
        let region = Self::with_old_contents(bytes)?;
        // SAFETY: the run of frames is fresh, and `bytes` long at least.
        unsafe { region.base.write_bytes(0, bytes) };
        Ok(region)
    }

    /// Like [`new`](Self::new), but not zeroed: clearing many buffers that are written before they are read would be
    /// a good part of boot.
    ///
    /// # Errors
    /// As [`new`](Self::new).
    #[inline(never)] // as is the drop: called while the machine starts, from many places
    pub fn with_old_contents(bytes: usize) -> Result<Self, OutOfMemory> {
        let order = order_for(bytes);
        if order > ORDER_MAX {
            return Err(OutOfMemory);
        }
        let allocate = || FRAMES.with(|frames| frames.allocate(order));
        let frame = allocate().or_else(|| reclaim_for(allocate)).ok_or(OutOfMemory)?;
        let base = core::ptr::with_exposed_provenance_mut::<u8>(paging::direct(frame));
        Ok(Self { base: NonNull::new(base).ok_or(OutOfMemory)?, bytes })
    }

    /// Where a device finds it.
    pub fn phys(&self) -> PhysAddr {
        paging::direct_to_physical(self.base.as_ptr().addr())
    }

    /// Where the processor finds it.
    pub fn as_ptr(&self) -> NonNull<u8> {
        self.base
    }

    /// Length in bytes.
    pub fn bytes(&self) -> usize {
        self.bytes
    }
}

impl Drop for DmaRegion {
    #[inline(never)]
    fn drop(&mut self) {
        FRAMES.with(|frames| frames.free(self.phys(), order_for(self.bytes)));
    }
}
