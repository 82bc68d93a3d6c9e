//! What a core knows of the thread that it runs, reached by gs alone; it goes with the thread when another one runs.
//!
//! * `depth`: how deep the thread is inside the kernel.
//! * the *ticket*: which thread this is, for locks and sockets; never another one's.
//! * *heap bytes*: what the thread has allocated itself and not freed. What the kernel allocates on its behalf (above
//!   depth 0) is no part of it.

#![expect(unsafe_code, reason = "the state is reached by gs")]

use super::depth;
use super::local::{HEAP_BYTES, TICKET};
use core::arch::asm;

/// The state of a thread that does not run.
#[derive(Clone, Copy)]
pub struct Running {
    depth: u32,
    ticket: u64,
    heap_bytes: i64,
}

impl Running {
    /// That of the running thread.
    #[inline]
    pub fn store() -> Self {
        Running { depth: depth::get(), ticket: ticket(), heap_bytes: heap_bytes() }
    }

    /// A thread that begins, inside the kernel.
    pub const fn new(ticket: u64) -> Self {
        Running { depth: 1, ticket, heap_bytes: 0 }
    }

    /// Makes it the running thread's.
    #[inline]
    pub fn load(self) {
        depth::set(self.depth);
        // SAFETY: the words are the core's own, interrupts are off, and they are no memory that Rust counts on.
        unsafe {
            asm!("mov gs:[{}], {}", const TICKET, in(reg) self.ticket, options(nomem, nostack, preserves_flags));
            asm!("mov gs:[{}], {}", const HEAP_BYTES, in(reg) self.heap_bytes, options(nomem, nostack, preserves_flags));
        }
    }
}

/// The running thread's ticket; 0: no thread runs, or it has not begun.
#[inline]
pub fn ticket() -> u64 {
    let ticket;
    // SAFETY: as in `Running::load`.
    unsafe { asm!("mov {}, gs:[{}]", out(reg) ticket, const TICKET, options(nomem, nostack, preserves_flags)) };
    ticket
}

/// Gives the running thread another ticket.
pub fn set_ticket(ticket: u64) {
    Running { ticket, ..Running::store() }.load();
}

/// Bytes of the heap that the running thread holds, by its own doing.
#[inline]
pub fn heap_bytes() -> i64 {
    let bytes;
    // SAFETY: as in `Running::load`.
    unsafe { asm!("mov {}, gs:[{}]", out(reg) bytes, const HEAP_BYTES, options(nomem, nostack, preserves_flags)) };
    bytes
}

/// The running thread holds so many bytes more.
#[inline]
pub fn add_heap_bytes(bytes: i64) {
    // SAFETY: as in `Running::load`.
    unsafe { asm!("add gs:[{}], {}", const HEAP_BYTES, in(reg) bytes, options(nomem, nostack)) };
}

/// As [`add_heap_bytes`], if it is the program that asks the heap for them, or gives them back, and not the kernel.
#[inline]
pub fn count(bytes: i64) {
    if depth::get() == 0 {
        add_heap_bytes(bytes);
    }
}
