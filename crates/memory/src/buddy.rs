//! Page frames by the buddy system: orders 0 (4 KiB) to 9 (2 MiB), each operation O(orders).
//!
//! A free run is a member of its order's doubly linked list; the links lie in the free memory itself and
//! one byte of metadata a frame tells whether it heads a free run. A run that grows back to a whole
//! block is handed to [`Blocks`].

use crate::blocks::Blocks;
use crate::{BLOCK_FRAMES, PAGE_BYTES};

/// The largest order: a whole block.
pub const ORDER_MAX: u8 = 9;
const ORDERS: usize = ORDER_MAX as usize + 1;
/// Frame 0 is never given to the allocator, so that an allocator without memory is all zeros.
const NO_FRAME: u32 = 0;
/// Metadata of a frame that heads no free run.
pub const NOT_FREE: u8 = 0xff;

/// Access to the frames of blocks that were added: the kernel's direct map, or a test's array.
pub trait Frames {
    /// Metadata of `frame`; [`NOT_FREE`] at first.
    fn meta(&self, frame: u32) -> u8;
    /// Stores the metadata of `frame`.
    fn set_meta(&mut self, frame: u32, value: u8);
    /// The two words kept at the start of free `frame`.
    fn links(&self, frame: u32) -> (u32, u32);
    /// Stores them.
    fn set_links(&mut self, frame: u32, links: (u32, u32));
    /// Makes `count` blocks from `first` on accessible, with metadata [`NOT_FREE`]; false: out of memory.
    fn prepare_blocks(&mut self, first: u32, count: u32) -> bool;
}

/// The allocator of page frames, numbered by physical address / 4 KiB.
pub struct Buddy {
    heads: [u32; ORDERS],
    /// Blocks nobody uses.
    pub blocks: Blocks,
    free_frames: u32,
}

/// Smallest order whose runs hold `bytes`; may be above [`ORDER_MAX`].
pub const fn order_for(bytes: usize) -> u8 {
    let pages = bytes.div_ceil(PAGE_BYTES as usize);
    pages.next_power_of_two().trailing_zeros() as u8
}

impl Buddy {
    /// An allocator without memory.
    pub const fn new() -> Self {
        Self { heads: [NO_FRAME; ORDERS], blocks: Blocks::new(), free_frames: 0 }
    }

    /// Free page frames, those in untouched blocks included.
    pub fn free_frames(&self) -> u64 {
        u64::from(self.free_frames) + u64::from(self.blocks.free_blocks()) * u64::from(BLOCK_FRAMES)
    }

    /// Adds frames `start..end`, which lie in one prepared block.
    ///
    /// # Panics
    /// When frame 0 is among them.
    pub fn add(&mut self, frames: &mut impl Frames, start: u32, end: u32) {
        assert!(start != NO_FRAME, "frame 0 is not for use");
        let mut frame = start;
        while frame < end {
            let fit = (end - frame).ilog2().min(frame.trailing_zeros()).min(u32::from(ORDER_MAX)) as u8;
            self.push(frames, frame, fit);
            self.free_frames += 1 << fit;
            frame += 1 << fit;
        }
    }

    /// A run of `1 << order` frames, aligned to its size; its first frame.
    pub fn allocate(&mut self, frames: &mut impl Frames, order: u8) -> Option<u32> {
        debug_assert!(order <= ORDER_MAX);
        let mut found = order;
        while self.heads[usize::from(found)] == NO_FRAME {
            found += 1;
            if found > ORDER_MAX {
                self.grow(frames)?;
                found = ORDER_MAX;
            }
        }
        let frame = self.heads[usize::from(found)];
        self.unlink(frames, frame, found);
        while found > order {
            found -= 1;
            self.push(frames, frame + (1 << found), found);
        }
        self.free_frames -= 1 << order;
        Some(frame)
    }

    /// Gives back what [`Self::allocate`] returned for `order`.
    ///
    /// # Panics
    /// When the run is already free: its owner freed it twice.
    pub fn free(&mut self, frames: &mut impl Frames, mut frame: u32, mut order: u8) {
        assert!(frames.meta(frame) == NOT_FREE, "page frame {frame:#x} is freed twice");
        self.free_frames += 1 << order;
        while order < ORDER_MAX && frames.meta(frame ^ (1 << order)) == order {
            self.unlink(frames, frame ^ (1 << order), order);
            frame &= !(1 << order);
            order += 1;
        }
        if order == ORDER_MAX && self.blocks.give(frame / BLOCK_FRAMES, 1).is_ok() {
            self.free_frames -= BLOCK_FRAMES;
            return;
        }
        self.push(frames, frame, order);
    }

    /// `count` neighbouring blocks, for what is larger than a block; the first frame.
    pub fn allocate_blocks(&mut self, frames: &mut impl Frames, count: u32) -> Option<u32> {
        let first = self.blocks.take(count)?;
        if !frames.prepare_blocks(first, count) {
            // They were free a moment ago, so there is room for them in the list.
            self.blocks.give(first, count).ok()?;
            return None;
        }
        Some(first * BLOCK_FRAMES)
    }

    /// Gives back what [`Self::allocate_blocks`] returned.
    pub fn free_blocks(&mut self, frames: &mut impl Frames, frame: u32, count: u32) {
        if self.blocks.give(frame / BLOCK_FRAMES, count).is_err() {
            for block in 0..count {
                self.push(frames, frame + block * BLOCK_FRAMES, ORDER_MAX);
                self.free_frames += BLOCK_FRAMES;
            }
        }
    }

    fn grow(&mut self, frames: &mut impl Frames) -> Option<()> {
        let frame = self.allocate_blocks(frames, 1)?;
        self.push(frames, frame, ORDER_MAX);
        self.free_frames += BLOCK_FRAMES;
        Some(())
    }

    fn push(&mut self, frames: &mut impl Frames, frame: u32, order: u8) {
        let head = &mut self.heads[usize::from(order)];
        if *head != NO_FRAME {
            let (_, next) = frames.links(*head);
            frames.set_links(*head, (frame, next));
        }
        frames.set_links(frame, (NO_FRAME, *head));
        frames.set_meta(frame, order);
        *head = frame;
    }

    fn unlink(&mut self, frames: &mut impl Frames, frame: u32, order: u8) {
        let (previous, next) = frames.links(frame);
        if previous == NO_FRAME {
            self.heads[usize::from(order)] = next;
        } else {
            let (before, _) = frames.links(previous);
            frames.set_links(previous, (before, next));
        }
        if next != NO_FRAME {
            let (_, after) = frames.links(next);
            frames.set_links(next, (previous, after));
        }
        frames.set_meta(frame, NOT_FREE);
    }
}

impl Default for Buddy {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    #[derive(Default)]
    struct Fake {
        meta: BTreeMap<u32, u8>,
        links: BTreeMap<u32, (u32, u32)>,
        refuse: bool,
    }

    impl Frames for Fake {
        fn meta(&self, frame: u32) -> u8 {
            self.meta.get(&frame).copied().unwrap_or(NOT_FREE)
        }
        fn set_meta(&mut self, frame: u32, value: u8) {
            self.meta.insert(frame, value);
        }
        fn links(&self, frame: u32) -> (u32, u32) {
            self.links[&frame]
        }
        fn set_links(&mut self, frame: u32, links: (u32, u32)) {
            self.links.insert(frame, links);
        }
        fn prepare_blocks(&mut self, _: u32, _: u32) -> bool {
            !self.refuse
        }
    }

    #[test]
    fn everything_given_can_be_taken_once_and_comes_back_whole() {
        let (mut fake, mut buddy) = (Fake::default(), Buddy::new());
        buddy.blocks.give(4, 3).unwrap();
        let total = buddy.free_frames();
        let mut seen = std::collections::BTreeSet::new();
        let mut runs = Vec::new();
        for order in [0u8, 3, 9, 0, 5, 1, 1, 8].into_iter().chain(std::iter::repeat_n(0, 2000)) {
            let Some(frame) = buddy.allocate(&mut fake, order) else { continue };
            assert_eq!(frame % (1 << order), 0, "a run is aligned to its size");
            assert!((frame..frame + (1 << order)).all(|f| seen.insert(f)), "a frame was handed out twice");
            runs.push((frame, order));
        }
        assert_eq!(seen.len() as u64, total);
        assert_eq!(buddy.allocate(&mut fake, 0), None);
        for (frame, order) in runs.into_iter().rev() {
            buddy.free(&mut fake, frame, order);
        }
        assert_eq!(buddy.free_frames(), total);
        assert_eq!(buddy.blocks.free_blocks(), 3);
    }

    #[test]
    fn a_part_of_a_block_is_used_up_to_its_edges() {
        let (mut fake, mut buddy) = (Fake::default(), Buddy::new());
        buddy.add(&mut fake, 1, 0x9f);
        assert_eq!(buddy.free_frames(), 0x9e);
        assert_eq!(std::iter::from_fn(|| buddy.allocate(&mut fake, 0)).count(), 0x9e);
    }

    #[test]
    fn a_failed_growth_loses_no_block() {
        let (mut fake, mut buddy) = (Fake { refuse: true, ..Fake::default() }, Buddy::new());
        buddy.blocks.give(1, 2).unwrap();
        assert_eq!(buddy.allocate(&mut fake, 0), None);
        assert_eq!(buddy.blocks.free_blocks(), 2);
    }

    #[test]
    #[should_panic(expected = "freed twice")]
    fn freeing_twice_is_caught() {
        let (mut fake, mut buddy) = (Fake::default(), Buddy::new());
        buddy.add(&mut fake, 8, 16);
        let frame = buddy.allocate(&mut fake, 1).unwrap();
        buddy.free(&mut fake, frame, 1);
        buddy.free(&mut fake, frame, 1);
    }

    #[test]
    fn bytes_round_up_to_an_order() {
        assert_eq!([1, 4096, 4097, 8192, 2 << 20].map(order_for), [0, 0, 1, 1, 9]);
    }
}
