//! Stacks of threads, each above a page that is not mapped.
//!
//! A stack that is given up is kept for the next thread of the same size, mapped as it is, up to a sixteenth of RAM in
//! all; when memory runs out, these are the first to go. One list for all cores: a stack may be made on one core and
//! dropped on another, and what is kept here no core has to ask of another.

#![expect(unsafe_code, reason = "stacks are mapped and unmapped")]

use super::frames::{self, FRAMES};
use super::{OutOfMemory, PAGE_BYTES, mappings, reclaim};
use crate::arch::{SpinLock, paging};

/// Smallest stack, in bytes.
pub const STACK_BYTES_MIN: usize = 8 << 10;
/// Mapped stacks that are kept for later, and the part of RAM that they may take.
const KEPT_MAX: usize = 64;
const KEPT_PART: usize = 16;
/// Address ranges, of stacks that were unmapped, that are kept for later.
const RANGES_MAX: usize = 256;

/// A thread's stack. Freed when dropped: not by the thread that runs on it.
#[derive(Debug)]
pub struct Stack {
    /// Lowest mapped address.
    bottom: usize,
    bytes: usize,
}

struct Kept {
    /// Bottom and bytes.
    stacks: [(usize, usize); KEPT_MAX],
    stack_count: usize,
    /// Of these stacks, in all.
    bytes: usize,
    ranges: [(usize, usize); RANGES_MAX],
    range_count: usize,
}

static KEPT: SpinLock<Kept> = SpinLock::new(Kept {
    stacks: [(0, 0); KEPT_MAX],
    stack_count: 0,
    bytes: 0,
    ranges: [(0, 0); RANGES_MAX],
    range_count: 0,
});

/// Takes the last entry of that size out of a list.
fn take(list: &mut [(usize, usize)], count: &mut usize, bytes: usize) -> Option<usize> {
    let found = list[..*count].iter().rposition(|entry| entry.1 == bytes)?;
    let bottom = list[found].0;
    *count -= 1;
    list[found] = list[*count];
    Some(bottom)
}

impl Stack {
    /// A stack of at least `bytes`, rounded up to pages and to [`STACK_BYTES_MIN`].
    ///
    /// # Errors
    /// [`OutOfMemory`]; nothing is kept then.
    pub fn new(bytes: usize) -> Result<Self, OutOfMemory> {
        let bytes = bytes.max(STACK_BYTES_MIN).checked_next_multiple_of(PAGE_BYTES).ok_or(OutOfMemory)?;
        let kept = KEPT.with(|kept| {
            let bottom = take(&mut kept.stacks, &mut kept.stack_count, bytes)?;
            kept.bytes -= bytes;
            Some(bottom)
        });
        if let Some(bottom) = kept {
            return Ok(Self { bottom, bytes });
        }
        let bottom = match KEPT.with(|kept| take(&mut kept.ranges, &mut kept.range_count, bytes)) {
            Some(bottom) => bottom,
            // One page more, below, stays unmapped.
            None => mappings::reserve((bytes + PAGE_BYTES) as u64).map_err(|_| OutOfMemory)? as usize + PAGE_BYTES,
        };
        let mut mapped = map(bottom, 0, bytes);
        // Stacks of another size may be in the way of this one.
        if mapped < bytes && reclaim() {
            mapped = map(bottom, mapped, bytes);
        }
        if mapped < bytes {
            unmap(bottom, mapped, bytes);
            return Err(OutOfMemory);
        }
        Ok(Self { bottom, bytes })
    }

    /// One past the highest byte; aligned to a page.
    pub fn top(&self) -> *mut u8 {
        core::ptr::with_exposed_provenance_mut(self.bottom + self.bytes)
    }

    /// Length in bytes.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Does `address` lie in the guard page below?
    pub fn guards(&self, address: usize) -> bool {
        (self.bottom - PAGE_BYTES..self.bottom).contains(&address)
    }
}

/// Maps a stack of `bytes`, of which the first `mapped` are; how many are then.
fn map(bottom: usize, mapped: usize, bytes: usize) -> usize {
    FRAMES.with(|frames| {
        let mut pages = (mapped..bytes).step_by(PAGE_BYTES);
        // SAFETY: the address is of a range this module reserved and is not mapped; the frame is fresh.
        let mut failed = |page| unsafe { frames.map((bottom + page) as u64, None, paging::Access::ReadWrite) }.is_err();
        pages.find(|page| failed(*page)).unwrap_or(bytes)
    })
}

/// Unmaps the first `mapped` of a stack's `bytes`, and keeps its range.
fn unmap(bottom: usize, mapped: usize, bytes: usize) {
    FRAMES.with(|frames| {
        for page in (0..mapped).step_by(PAGE_BYTES) {
            // SAFETY: the stack was given up.
            if let Some(frame) = unsafe { paging::unmap_page((bottom + page) as u64) } {
                frames.free(frame, 0);
            }
        }
    });
    KEPT.with(|kept| {
        // With the list full the range is forgotten: address space, of which there is plenty, not memory.
        if kept.range_count < RANGES_MAX {
            kept.ranges[kept.range_count] = (bottom, bytes);
            kept.range_count += 1;
        }
    });
}

/// Gives the memory of all kept stacks back; false when there are none.
pub(super) fn release_kept() -> bool {
    let mut released = false;
    while let Some((bottom, bytes)) = KEPT.with(|kept| {
        kept.stack_count = kept.stack_count.checked_sub(1)?;
        let stack = kept.stacks[kept.stack_count];
        kept.bytes -= stack.1;
        Some(stack)
    }) {
        unmap(bottom, bytes, bytes);
        released = true;
    }
    released
}

impl Drop for Stack {
    fn drop(&mut self) {
        let kept_bytes_max = frames::total_bytes() / KEPT_PART;
        let kept = KEPT.with(|kept| {
            let room = kept.stack_count < KEPT_MAX && kept.bytes + self.bytes <= kept_bytes_max;
            if room {
                kept.stacks[kept.stack_count] = (self.bottom, self.bytes);
                kept.stack_count += 1;
                kept.bytes += self.bytes;
            }
            room
        });
        if !kept {
            unmap(self.bottom, self.bytes, self.bytes);
        }
    }
}
