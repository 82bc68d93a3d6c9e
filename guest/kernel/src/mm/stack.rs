//! Stacks of threads, each above a page that is not mapped.
//!
//! A stack that is given up is kept for the next thread of the same size, mapped as it is, up to a sixteenth of RAM in
//! all; when memory runs out, these are the first to go. One list for all cores: a stack may be made on one core and
//! dropped on another, and what is kept here no core has to ask of another.

#![expect(unsafe_code, reason = "stacks are mapped and unmapped")]

use super::frames::{self, FRAMES, PageFrames};
use super::{OutOfMemory, PAGE_BYTES, mappings, reclaim_for};
use crate::arch::{SpinLock, context, cores, paging, shootdown};

/// Smallest stack, in bytes.
pub const STACK_BYTES_MIN: usize = 8 << 10;
/// Mapped stacks that are kept for later, and the part of RAM that they may take.
const KEPT_MAX: usize = 64;
const KEPT_PART: usize = 16;
/// Address ranges, of stacks that were unmapped, that are kept for later.
const RANGES_MAX: usize = 256;

/// A thread's stack. Freed when dropped: not by the thread that runs on it.
#[derive(Debug)]
#[repr(C)] // debuggers read it
pub struct Stack {
    /// Lowest mapped address.
    bottom: usize,
    bytes: usize,
}

struct Kept {
    stacks: List<KEPT_MAX>,
    /// Of these stacks, in all.
    bytes: usize,
    /// Of stacks that were unmapped.
    ranges: List<RANGES_MAX>,
}

static KEPT: SpinLock<Kept> = SpinLock::new(Kept { stacks: List::new(), bytes: 0, ranges: List::new() });

/// Bottom and bytes of each.
struct List<const N: usize> {
    entries: [(usize, usize); N],
    count: usize,
}

impl<const N: usize> List<N> {
    const fn new() -> Self {
        Self { entries: [(0, 0); N], count: 0 }
    }

    fn entries(&self) -> &[(usize, usize)] {
        &self.entries[..self.count]
    }

    /// Adds an entry; false when the list is full.
    fn push(&mut self, entry: (usize, usize)) -> bool {
        let place = self.entries.get_mut(self.count);
        self.count += usize::from(place.is_some());
        place.map(|place| *place = entry).is_some()
    }

    /// Takes the last entry of that size; its bottom.
    fn take(&mut self, bytes: usize) -> Option<usize> {
        let found = self.entries().iter().rposition(|entry| entry.1 == bytes)?;
        let bottom = self.entries[found].0;
        self.count -= 1;
        self.entries[found] = self.entries[self.count];
        Some(bottom)
    }
}

impl Stack {
    /// A stack of at least `bytes`, rounded up to pages and to [`STACK_BYTES_MIN`].
    ///
    /// # Errors
    /// [`OutOfMemory`]; nothing is kept then.
    pub fn new(bytes: usize) -> Result<Self, OutOfMemory> {
        let bytes = bytes.max(STACK_BYTES_MIN).checked_next_multiple_of(PAGE_BYTES).ok_or(OutOfMemory)?;
        let kept = KEPT.with(|kept| {
            let bottom = kept.stacks.take(bytes)?;
            kept.bytes -= bytes;
            Some(bottom)
        });
        if let Some(bottom) = kept {
            return Ok(Self { bottom, bytes });
        }
        if bytes > frames::total_bytes() {
            return Err(OutOfMemory); // before all that there is was mapped for it in vain
        }
        let bottom = match KEPT.with(|kept| kept.ranges.take(bytes)) {
            Some(bottom) => bottom,
            // One page more, below, stays unmapped.
            None => mappings::reserve((bytes + PAGE_BYTES) as u64).map_err(|_| OutOfMemory)? as usize + PAGE_BYTES,
        };
        let mut mapped = 0;
        // Stacks of another size may be in the way of this one.
        let mut map_more = || {
            mapped = map(bottom, mapped, bytes);
            (mapped == bytes).then_some(())
        };
        if map_more().or_else(|| reclaim_for(map_more)).is_none() {
            KEPT.with(|kept| unmap(&[(bottom, bytes)], &mut kept.ranges));
            return Err(OutOfMemory);
        }
        Ok(Self { bottom, bytes })
    }

    /// One past the highest byte; aligned to a page.
    pub fn top(&self) -> *mut u8 {
        core::ptr::with_exposed_provenance_mut(self.bottom + self.bytes)
    }

    /// Calls `f` on this stack: for what happens once, and needs more of one than the thread may have that comes to it.
    pub fn call(self, f: extern "C" fn()) {
        // SAFETY: the stack is whole, and nobody's until this returns.
        unsafe { context::call_on(self.top(), f) };
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

#[inline(never)]
fn for_each_page(stacks: &[(usize, usize)], f: &mut dyn FnMut(&mut PageFrames, u64)) {
    FRAMES.with(|frames| {
        for (bottom, bytes) in stacks {
            for page in (*bottom..bottom + bytes).step_by(PAGE_BYTES) {
                f(frames, page as u64);
            }
        }
    });
}

/// Unmaps stacks, as far as they are mapped, and keeps their ranges. The frames are free once no core can reach them.
fn unmap(stacks: &[(usize, usize)], ranges: &mut List<RANGES_MAX>) {
    if stacks.is_empty() {
        return;
    }
    if cores::count() > 1 {
        // SAFETY: the stacks were given up.
        for_each_page(stacks, &mut |_tables, page| unsafe { paging::withdraw_page(page) });
        shootdown::flush_others(); // though others may wait for our lock: they answer in the middle of that
    }
    for_each_page(stacks, &mut |frames, page| {
        // SAFETY: as above.
        if let Some(frame) = unsafe { paging::unmap_page(page) } {
            frames.free(frame, 0);
        }
    });
    for stack in stacks {
        // With the list full the range is forgotten: address space, of which there is plenty, not memory.
        let _forgotten = ranges.push(*stack);
    }
}

impl Kept {
    /// Gives the memory of the `count` stacks back that are kept longest.
    fn release(&mut self, count: usize) {
        let released = &self.stacks.entries()[..count];
        unmap(released, &mut self.ranges);
        self.bytes -= released.iter().map(|stack| stack.1).sum::<usize>();
        self.stacks.entries.copy_within(count.., 0);
        self.stacks.count -= count;
    }
}

/// Gives the memory of all kept stacks back; false when there are none.
pub(super) fn release_kept() -> bool {
    KEPT.with(|kept| {
        let count = kept.stacks.count;
        kept.release(count);
        count > 0
    })
}

impl Drop for Stack {
    fn drop(&mut self) {
        let stack = (self.bottom, self.bytes);
        let kept_bytes_max = frames::total_bytes() / KEPT_PART;
        KEPT.with(|kept| {
            if kept.stacks.count == KEPT_MAX || kept.bytes + self.bytes > kept_bytes_max {
                // Several at once: the other cores are asked but once.
                kept.release(kept.stacks.count.div_ceil(2));
            }
            if kept.bytes + self.bytes <= kept_bytes_max && kept.stacks.push(stack) {
                kept.bytes += self.bytes;
            } else {
                unmap(&[stack], &mut kept.ranges);
            }
        });
    }
}
