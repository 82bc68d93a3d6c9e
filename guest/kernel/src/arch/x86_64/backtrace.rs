//! Return addresses, found by the chain of frame pointers.

#![expect(unsafe_code, reason = "frames of a stack that may be broken are read")]

use super::paging;
use crate::mm;
use core::arch::asm;

/// Return addresses from the frame of `frame_pointer` outward. A chain that leaves mapped memory, does
/// not grow or is not aligned ends there.
pub fn from(frame_pointer: usize) -> impl Iterator<Item = usize> {
    let mut frame = frame_pointer;
    let mut known_page = usize::MAX; // a stack's frames are close together
    let mut is_mapped = move |address: usize| {
        let page = address & !(mm::PAGE_BYTES - 1);
        let mapped = page == known_page || paging::is_mapped(page);
        known_page = if mapped { page } else { known_page };
        mapped
    };
    core::iter::from_fn(move || {
        if frame == 0 || !frame.is_multiple_of(8) || !is_mapped(frame) || !is_mapped(frame + 15) {
            return None;
        }
        let words = core::ptr::with_exposed_provenance::<[usize; 2]>(frame);
        // SAFETY: both words are mapped, as just checked; any bits are a valid `usize`.
        let [outer, return_address] = unsafe { words.read_volatile() };
        if return_address == 0 {
            return None;
        }
        frame = if outer > frame { outer } else { 0 };
        Some(return_address)
    })
}

/// The caller's frame pointer.
#[inline(always)]
pub fn frame_pointer() -> usize {
    let value;
    // SAFETY: reads a register.
    unsafe { asm!("mov {}, rbp", out(reg) value, options(nomem, nostack, preserves_flags)) };
    value
}
