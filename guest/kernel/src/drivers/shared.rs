//! Memory shared with a device: the rings, and the buffers of a queue.

#![expect(unsafe_code, reason = "memory is shared with a device")]

use crate::mm::OutOfMemory;
use crate::mm::dma::DmaRegion;
use toro_virtqueue::{Buffers, RingMemory};

/// The memory of one ring. Every access is volatile: the device works there too.
#[derive(Debug)]
pub(super) struct SharedRing(DmaRegion);

macro_rules! access {
    ($load:ident, $type:ty) => {
        #[inline(always)]
        fn $load(&self, offset: usize) -> $type {
            let place = self.place::<$type>(offset);
            // SAFETY: `place` checked that it is in the region and aligned.
            unsafe { place.read_volatile() }
        }
    };
    (mut $store:ident, $type:ty) => {
        #[inline(always)]
        fn $store(&mut self, offset: usize, value: $type) {
            let place = self.place::<$type>(offset);
            // SAFETY: as above; nobody holds references into a ring.
            unsafe { place.write_volatile(value) };
        }
    };
}

impl SharedRing {
    pub(super) fn new(bytes: usize) -> Result<SharedRing, OutOfMemory> {
        DmaRegion::new(bytes).map(SharedRing)
    }

    pub(super) fn device_address(&self) -> u64 {
        self.0.phys().0
    }

    /// The place at `offset`, which is aligned already unless the queue is wrong: rounding is cheaper than looking.
    #[inline(always)]
    fn place<T>(&self, offset: usize) -> *mut T {
        let offset = offset & !(align_of::<T>() - 1);
        assert!(offset + size_of::<T>() <= self.0.bytes());
        // SAFETY: inside the region.
        unsafe { self.0.as_ptr().add(offset) }.cast().as_ptr()
    }
}

impl RingMemory for SharedRing {
    access!(load_u16, u16);

    #[inline(always)]
    fn load_u32_pair(&self, offset: usize) -> (u32, u32) {
        let place = self.place::<[u32; 2]>(offset).cast::<u32>();
        // SAFETY: `place` checked that both are in the region and aligned.
        unsafe { (place.read_volatile(), place.add(1).read_volatile()) }
    }

    access!(mut store_u16, u16);
    access!(mut store_u32, u32);
    access!(mut store_u64, u64);
}

/// Buffers of the same size, one after the other.
#[derive(Debug)]
pub(super) struct SharedBuffers {
    region: DmaRegion,
    slots: u16,
    bytes: usize,
}

impl SharedBuffers {
    /// Buffers of `bytes` for `slots` slots; they hold what was in that memory before.
    pub(super) fn new(slots: u16, bytes: usize) -> Result<SharedBuffers, OutOfMemory> {
        let region = DmaRegion::with_old_contents(usize::from(slots) * bytes)?;
        Ok(SharedBuffers { region, slots, bytes })
    }
}

impl Buffers for SharedBuffers {
    fn bytes_per_slot(&self) -> usize {
        self.bytes
    }

    fn device_address(&self, slot: u16) -> u64 {
        self.region.phys().0 + u64::from(slot) * self.bytes as u64
    }

    #[inline]
    fn bytes(&mut self, slot: u16) -> &mut [u8] {
        assert!(slot < self.slots);
        // SAFETY: inside the region, whose memory is RAM with some contents; the device has given the slot back, so
        // it does not write there, and `&mut self` keeps every other user out.
        unsafe {
            let first = self.region.as_ptr().add(usize::from(slot) * self.bytes);
            core::slice::from_raw_parts_mut(first.as_ptr(), self.bytes)
        }
    }
}
