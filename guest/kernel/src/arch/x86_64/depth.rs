//! How deep the running thread is inside the kernel.
//!
//! Kernel functions hold a [`Scope`] while they run; asserts about their caller stand outside of it. The allocator and the
//! scheduler's own state have none: their locks say whether they are at work. A fault at depth 0 is the thread's; a fault
//! above 0 is a defect of the kernel. The scheduler saves and restores the depth with the thread (`running`).

#![expect(unsafe_code, reason = "the counter is reached by gs")]

use super::local::DEPTH;
use core::arch::asm;

/// The kernel is at work until this is dropped.
#[must_use]
pub struct Scope(());

/// Enters the kernel.
#[inline]
pub fn enter() -> Scope {
    // SAFETY: the counter is the core's own, interrupts are off, and it is no memory that Rust counts on.
    unsafe { asm!("inc dword ptr gs:[{}]", const DEPTH, options(nomem, nostack)) };
    Scope(())
}

impl Drop for Scope {
    #[inline]
    fn drop(&mut self) {
        // SAFETY: as in `enter`.
        unsafe { asm!("dec dword ptr gs:[{}]", const DEPTH, options(nomem, nostack)) };
    }
}

/// The running thread's depth.
#[inline]
pub fn get() -> u32 {
    let depth;
    // SAFETY: as in `enter`.
    unsafe { asm!("mov {:e}, gs:[{}]", out(reg) depth, const DEPTH, options(nomem, nostack, preserves_flags)) };
    depth
}

/// Sets the depth of the thread about to run.
#[inline]
pub fn set(depth: u32) {
    // SAFETY: as in `enter`.
    unsafe { asm!("mov gs:[{}], {:e}", const DEPTH, in(reg) depth, options(nomem, nostack, preserves_flags)) };
}
