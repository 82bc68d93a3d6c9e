//! Memory without a processor: what RAM is there, who has which page frame, and the heap on top.
//!
//! - [`map`]: the memory map of the VMM, cleaned: what may be used, sorted, without overlaps.
//! - [`blocks`]: free RAM in 2 MiB blocks; costs nothing until a block is handed out.
//! - [`buddy`]: page frames inside the blocks.
//! - [`slab`]: small objects inside page frames, by core.
//! - [`remote`]: objects on their way back to the core that owns them.
//!
//! The kernel supplies access to memory through the traits here; the tests supply arrays.

#![cfg_attr(not(test), no_std)]

pub mod blocks;
pub mod buddy;
pub mod map;
pub mod remote;
pub mod slab;
mod sync;

/// Bytes of a page and of a page frame.
pub const PAGE_BYTES: u64 = 4096;
/// Bytes of a block, the largest unit the buddy allocator knows.
pub const BLOCK_BYTES: u64 = 2 << 20;
/// Page frames in a block.
pub const BLOCK_FRAMES: u32 = (BLOCK_BYTES / PAGE_BYTES) as u32;
