//! Page frames: the buddy allocator over the direct map, and the page tables it needs to grow.
//!
//! Growing may need page tables while the allocator is at work, so a few spare frames are kept aside;
//! they are replenished before each operation, from what is there.

#![expect(unsafe_code, reason = "links and metadata lie in the memory that is managed")]

use super::{MapError, OutOfMemory, PhysAddr};
use crate::arch::{self, SpinLock, paging};
use crate::boot::{BootError, BootInfo};
use toro_memory::buddy::{Buddy, Frames, NOT_FREE};
use toro_memory::map::{RANGES_MAX, Range};
use toro_memory::{BLOCK_BYTES, BLOCK_FRAMES, PAGE_BYTES};

/// Frames kept for page tables.
const SPARES: usize = 16;
/// With fewer spares than this, more are taken aside before the next operation.
const SPARES_MIN: usize = 8;
/// Blocks in one large allocation: as many as the spares can supply directories for.
pub(super) const LARGE_BLOCKS_MAX: u32 = (SPARES_MIN as u32 - 3) * 512;
/// Parts of blocks: both ends of each range of the map, at most.
const PARTS_MAX: usize = 2 * RANGES_MAX;
/// Room for the metadata of 512 GiB at the start of the mappings, one byte a frame.
pub(super) const METADATA_BYTES: u64 = 128 << 20;
/// RAM beyond this is not used: the direct map is one PML4 slot.
const PHYSICAL_END: u64 = METADATA_BYTES * PAGE_BYTES;
/// The least RAM beside the image with which a kernel gets anywhere.
const USABLE_BYTES_MIN: u64 = 256 << 10;

/// The machine's page frames. Page tables change under this lock alone, so it is theirs too.
pub(super) static FRAMES: SpinLock<PageFrames> = SpinLock::new(PageFrames {
    buddy: Buddy::new(),
    direct: DirectMap { spares: [PhysAddr(0); SPARES], spare_count: 0 },
    parts: [Range { start: 0, end: 0 }; PARTS_MAX],
    part_count: 0,
    total_bytes: 0,
});

/// The page frames, and what it takes to get at more of them.
pub(super) struct PageFrames {
    buddy: Buddy,
    direct: DirectMap,
    /// Usable parts of blocks, fed to the buddy allocator when the blocks have run out.
    parts: [Range; PARTS_MAX],
    part_count: usize,
    total_bytes: u64,
}

/// Frames reached through the direct map.
struct DirectMap {
    spares: [PhysAddr; SPARES],
    spare_count: usize,
}

impl DirectMap {
    fn spare(&mut self) -> Option<PhysAddr> {
        self.spare_count = self.spare_count.checked_sub(1)?;
        Some(self.spares[self.spare_count])
    }

    /// Makes metadata for the frames of `block`, all [`NOT_FREE`].
    fn prepare_metadata(&mut self, block: u32) -> bool {
        let metadata = metadata_address(block * BLOCK_FRAMES);
        if !paging::is_mapped(metadata as usize) {
            let Some(frame) = self.spare() else { return false };
            // SAFETY: the page is in the slot of the mappings, kept for metadata, and not mapped yet.
            if unsafe {
                paging::map_page(metadata & !(PAGE_BYTES - 1), frame, paging::Access::ReadWrite, &mut || self.spare())
            }
            .is_err()
            {
                return false;
            }
        }
        // SAFETY: mapped above; a block's metadata lies in one page.
        unsafe {
            core::ptr::with_exposed_provenance_mut::<u8>(metadata as usize).write_bytes(NOT_FREE, BLOCK_FRAMES as usize)
        };
        true
    }
}

fn metadata_address(frame: u32) -> u64 {
    paging::mappings_base() + u64::from(frame)
}

fn frame_pointer<T>(frame: u32) -> *mut T {
    core::ptr::with_exposed_provenance_mut(paging::direct(PhysAddr(u64::from(frame) * PAGE_BYTES)))
}

impl Frames for DirectMap {
    #[inline]
    fn meta(&self, frame: u32) -> u8 {
        // SAFETY: `frame` is of a prepared block, so its metadata is mapped.
        unsafe { *core::ptr::with_exposed_provenance::<u8>(metadata_address(frame) as usize) }
    }

    #[inline]
    fn set_meta(&mut self, frame: u32, value: u8) {
        // SAFETY: as above.
        unsafe { *core::ptr::with_exposed_provenance_mut::<u8>(metadata_address(frame) as usize) = value };
    }

    #[inline]
    fn links(&self, frame: u32) -> (u32, u32) {
        // SAFETY: a free frame of a prepared block is mapped and holds its links.
        unsafe { *frame_pointer(frame) }
    }

    #[inline]
    fn set_links(&mut self, frame: u32, links: (u32, u32)) {
        // SAFETY: a free frame of a prepared block is mapped and nobody's.
        unsafe { *frame_pointer(frame) = links };
    }

    fn prepare_blocks(&mut self, first: u32, count: u32) -> bool {
        for block in first..first + count {
            let physical = PhysAddr(u64::from(block) * BLOCK_BYTES);
            if paging::map_direct_block(physical, &mut || self.spare()).is_err() {
                return false;
            }
        }
        // Only a single block is ever divided; a run of blocks is one allocation.
        count > 1 || self.prepare_metadata(first)
    }
}

impl PageFrames {
    /// Takes frames aside for page tables while there are any.
    fn replenish(&mut self) {
        while self.direct.spare_count < SPARES_MIN {
            let Some(frame) = self.buddy.allocate(&mut self.direct, 0) else { return };
            self.direct.spares[self.direct.spare_count] = PhysAddr(u64::from(frame) * PAGE_BYTES);
            self.direct.spare_count += 1;
        }
    }

    /// Feeds the parts of the lowest block that has some to the buddy allocator; false when there are none.
    fn add_parts(&mut self) -> bool {
        let Some(first) = self.parts[..self.part_count].first() else { return false };
        let block = first.start / BLOCK_BYTES;
        let count = self.parts[..self.part_count].partition_point(|part| part.start / BLOCK_BYTES == block);
        if !self.direct.prepare_metadata(block as u32) {
            return false;
        }
        for part in &self.parts[..count] {
            let direct = &mut self.direct;
            if paging::map_direct_pages(PhysAddr(part.start), part.bytes(), &mut || direct.spare()).is_err() {
                return false;
            }
            let (start, end) = ((part.start / PAGE_BYTES) as u32, (part.end / PAGE_BYTES) as u32);
            self.buddy.add(direct, start, end);
        }
        self.parts.copy_within(count..self.part_count, 0);
        self.part_count -= count;
        true
    }

    /// `1 << order` frames in a row, aligned to their size.
    pub(super) fn allocate(&mut self, order: u8) -> Option<PhysAddr> {
        self.replenish();
        loop {
            if let Some(frame) = self.buddy.allocate(&mut self.direct, order) {
                return Some(PhysAddr(u64::from(frame) * PAGE_BYTES));
            }
            if !self.add_parts() {
                return None;
            }
        }
    }

    /// Gives back what [`Self::allocate`] returned.
    pub(super) fn free(&mut self, frame: PhysAddr, order: u8) {
        self.buddy.free(&mut self.direct, (frame.0 / PAGE_BYTES) as u32, order);
    }

    /// Maps the page at `address` to `physical`, or to a fresh frame.
    ///
    /// # Safety
    /// As for [`paging::map_page`].
    pub(super) unsafe fn map(
        &mut self,
        address: u64,
        physical: Option<PhysAddr>,
        access: paging::Access,
    ) -> Result<(), OutOfMemory> {
        let frame = physical.or_else(|| self.allocate(0)).ok_or(OutOfMemory)?;
        // Tables that this needs and tables that a new frame's metadata needs are never the same: `init` made those
        // above both.
        // SAFETY: the caller's promise.
        let mapped = unsafe { paging::map_page(address, frame, access, &mut || self.allocate(0)) };
        mapped.map_err(|_| {
            if physical.is_none() {
                self.free(frame, 0);
            }
            OutOfMemory
        })
    }

    /// Shows a range of pages, which are no RAM to give away and stay for good, in the direct map, for reading.
    pub(super) fn show(&mut self, range: Range) -> Result<(), MapError> {
        if range.end > PHYSICAL_END {
            return Err(MapError::OutOfReach);
        }
        let mut start = range.start;
        while start < range.end {
            let end = (start + 1).next_multiple_of(BLOCK_BYTES).min(range.end);
            // Tables come from what was kept aside: making frames may need the same tables.
            self.replenish();
            let direct = &mut self.direct;
            paging::map_direct_constant(PhysAddr(start), PhysAddr(end), &mut || direct.spare())
                .map_err(|_| MapError::OutOfMemory)?;
            start = end;
        }
        Ok(())
    }

    /// `count` blocks of 2 MiB in a row.
    pub(super) fn allocate_blocks(&mut self, count: u32) -> Option<PhysAddr> {
        if count > LARGE_BLOCKS_MAX {
            return None;
        }
        self.replenish();
        let frame = self.buddy.allocate_blocks(&mut self.direct, count)?;
        Some(PhysAddr(u64::from(frame) * PAGE_BYTES))
    }

    /// Gives back what [`Self::allocate_blocks`] returned.
    pub(super) fn free_blocks(&mut self, frame: PhysAddr, count: u32) {
        let first = (frame.0 / BLOCK_BYTES) as u32;
        if self.buddy.blocks.give(first, count).is_ok() {
            return;
        }
        // The list of runs is full: the blocks stay with the buddy allocator, which needs metadata for them.
        for block in first..first + count {
            self.replenish();
            if self.direct.prepare_metadata(block) {
                self.buddy.free_blocks(&mut self.direct, block * BLOCK_FRAMES, 1);
            }
        }
    }
}

/// Takes over the usable RAM, gives each page of the image its access, and leaves the lower half empty.
///
/// # Errors
/// [`BootError::TooLittleMemory`].
#[cold]
pub fn init(boot: &BootInfo, entropy: u64) -> Result<(), BootError> {
    paging::init(entropy);
    let too_little = BootError::TooLittleMemory(boot.memory.bytes());
    if boot.memory.bytes() < USABLE_BYTES_MIN {
        return Err(too_little);
    }
    let ready = FRAMES.with(|frames| {
        for frame in paging::boot_frames() {
            frames.direct.spares[frames.direct.spare_count] = frame;
            frames.direct.spare_count += 1;
        }
        for range in boot.memory.ranges() {
            frames.add_range(*range);
        }
        if !frames.add_parts() && frames.total_bytes < BLOCK_BYTES {
            return false;
        }
        frames.replenish();
        paging::protect_image(&mut || frames.allocate(0)).is_ok()
    });
    if !ready {
        return Err(too_little);
    }
    arch::guard_stacks();
    Ok(())
}

impl PageFrames {
    fn add_range(&mut self, range: Range) {
        let end = range.end.min(PHYSICAL_END);
        if range.start >= end {
            return;
        }
        self.total_bytes += end - range.start;
        let first = range.start.next_multiple_of(BLOCK_BYTES);
        let last = end & !(BLOCK_BYTES - 1);
        if first < last {
            // A map has at most 64 ranges, the list room for 128 runs.
            let _fits = self.buddy.blocks.give((first / BLOCK_BYTES) as u32, ((last - first) / BLOCK_BYTES) as u32);
        }
        let head = Range { start: range.start, end: first.min(end) };
        let tail = Range { start: last.max(head.end), end };
        for part in [head, tail] {
            if part.bytes() > 0 && self.part_count < PARTS_MAX {
                self.parts[self.part_count] = part;
                self.part_count += 1;
            }
        }
    }
}

/// RAM beside the image, in bytes.
pub(super) fn total_bytes() -> usize {
    FRAMES.with(|frames| frames.total_bytes) as usize
}

/// RAM that nobody uses, in bytes; what is kept for later, as stacks, is in use.
pub(super) fn free_bytes() -> usize {
    FRAMES.with(|frames| {
        let parts: u64 = frames.parts[..frames.part_count].iter().copied().map(Range::bytes).sum();
        (frames.buddy.free_frames() * PAGE_BYTES + parts) as usize
    })
}
