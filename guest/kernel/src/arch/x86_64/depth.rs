//! How deep the running thread is inside the kernel.
//!
//! Kernel functions that block, spawn or reach a device hold a [`Scope`] while they run; short ones, as waking or
//! allocating, do not, and their asserts are about their caller. A fault at depth 0 is the application's; a
//! fault above 0 is a defect of the kernel. The scheduler saves and restores the depth with the thread.

use core::sync::atomic::{AtomicU32, Ordering::Relaxed};

static DEPTH: AtomicU32 = AtomicU32::new(1); // boot is the kernel's

/// The kernel is at work until this is dropped.
#[must_use]
pub struct Scope(());

/// Enters the kernel.
#[inline]
pub fn enter() -> Scope {
    // A plain increment: the counter is the core's own, and interrupts are off.
    DEPTH.store(DEPTH.load(Relaxed) + 1, Relaxed);
    Scope(())
}

impl Drop for Scope {
    #[inline]
    fn drop(&mut self) {
        DEPTH.store(DEPTH.load(Relaxed).wrapping_sub(1), Relaxed);
    }
}

/// The running thread's depth.
#[inline]
pub fn get() -> u32 {
    DEPTH.load(Relaxed)
}

/// Sets the depth of the thread about to run.
#[inline]
pub fn set(depth: u32) {
    DEPTH.store(depth, Relaxed);
}
