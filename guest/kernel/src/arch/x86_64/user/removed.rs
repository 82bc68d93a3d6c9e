//! What was taken out of page tables, and is not yet free: a core may still reach it.

#![expect(unsafe_code, reason = "the processor forgets what it has cached")]

use super::tables::{ADDRESS, OWNED, PRESENT};
use crate::arch::x86_64::paging;
use crate::mm::PhysAddr;
use core::arch::asm;

/// Frames that were taken out, to be freed when no core can reach them any more.
#[derive(Debug)]
pub struct Removed {
    frames: [PhysAddr; Self::MAX],
    count: usize,
    /// Pages that a core may have known.
    seen: usize,
    /// One of them.
    page: usize,
}

impl Removed {
    const MAX: usize = 64;

    /// None yet.
    #[must_use]
    pub const fn new() -> Self {
        Removed { frames: [PhysAddr(0); Self::MAX], count: 0, seen: 0, page: 0 }
    }

    /// The frames.
    #[must_use]
    pub fn frames(&self) -> &[PhysAddr] {
        &self.frames[..self.count]
    }

    /// Has a core known any of this?
    #[must_use]
    pub fn was_seen(&self) -> bool {
        self.seen > 0 || self.count > 0
    }

    /// Makes this core forget it.
    pub fn flush_here(&self) {
        if self.seen == 1 {
            // SAFETY: drops what is cached of one page, and all that is cached of tables.
            unsafe { asm!("invlpg [{}]", in(reg) self.page, options(nostack, preserves_flags)) };
        } else if self.was_seen() {
            paging::flush_all();
        }
    }

    /// No room for a page and the tables above it.
    pub(super) fn is_full(&self) -> bool {
        self.count > Self::MAX - 4
    }

    pub(super) fn push(&mut self, frame: u64) {
        self.frames[self.count] = PhysAddr(frame & ADDRESS);
        self.count += 1;
    }

    pub(super) fn push_page(&mut self, page: usize, entry: u64) {
        if entry & PRESENT != 0 {
            self.seen += 1;
            self.page = page;
        }
        if entry & OWNED != 0 {
            self.push(entry);
        }
    }
}

impl Default for Removed {
    fn default() -> Self {
        Self::new()
    }
}
