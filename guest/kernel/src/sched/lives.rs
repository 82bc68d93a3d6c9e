//! Which threads live: whoever finds that a lock or a socket is a thread's asks here, from any core.
//!
//! A thread has a *ticket*: its number in the high bits, and where it lives in the low ones, its core and its place in that
//! core's table. The place says who has it now; a thread whose ticket does not stand there has ended.

#![expect(unsafe_code, reason = "other cores read the places of a core")]

use super::ThreadId;
use crate::arch::cores::{CORES_MAX, current};
use alloc::collections::TryReserveError;
use alloc::vec::Vec;
use core::ptr::null_mut;
use core::sync::atomic::Ordering::{Acquire, Relaxed, Release};
use core::sync::atomic::{AtomicPtr, AtomicU64};

const PLACE_BITS: u32 = 22;
const CORE_BITS: u32 = 6;

/// The tickets of a core's threads, by their places; 0: nobody. What was outgrown stays, for whoever still reads it.
static TICKETS: [AtomicPtr<AtomicU64>; CORES_MAX] = [const { AtomicPtr::new(null_mut()) }; CORES_MAX];

/// Makes room for one thread more on this core, which has `room` for as many; how much there is then.
pub(super) fn reserve(places: usize, room: usize) -> Result<usize, TryReserveError> {
    if places < room {
        return Ok(room);
    }
    let tickets = &TICKETS[current().index()];
    let larger_room = (2 * room).max(8);
    let mut larger: Vec<AtomicU64> = Vec::new();
    larger.try_reserve_exact(larger_room)?;
    for place in 0..larger_room {
        let ticket = if place < room { place_of(tickets, place).load(Relaxed) } else { 0 };
        larger.push(AtomicU64::new(ticket));
    }
    tickets.store(larger.leak().as_mut_ptr(), Release);
    Ok(larger_room)
}

/// A place of a core that has so many.
fn place_of(tickets: &AtomicPtr<AtomicU64>, place: usize) -> &'static AtomicU64 {
    // SAFETY: places never become fewer, and those that were outgrown stay.
    unsafe { &*tickets.load(Acquire).add(place) }
}

/// The running thread begins, which has this place and is `id`: its ticket.
pub(super) fn begin(place: u32, id: ThreadId) -> u64 {
    let core = current().index();
    let ticket = id.as_u64().get() << (PLACE_BITS + CORE_BITS) | (core as u64) << PLACE_BITS | u64::from(place);
    place_of(&TICKETS[core], place as usize).store(ticket, Release);
    ticket
}

/// The running thread, which has this ticket, has ended by a fault, and only its end is left: the ticket of that.
pub(super) fn begin_end(ticket: u64) -> u64 {
    const END: u64 = 1 << 63; // no thread's number is so large
    place(ticket).store(ticket | END, Release);
    ticket | END
}

/// The running thread, which has this ticket, ends.
pub(super) fn end(ticket: u64) {
    place(ticket).store(0, Release);
}

/// Whether the thread with this ticket lives.
#[must_use]
pub fn lives(ticket: u64) -> bool {
    place(ticket).load(Acquire) == ticket
}

/// Where a ticket stands, or stood.
fn place(ticket: u64) -> &'static AtomicU64 {
    let core = (ticket >> PLACE_BITS) as usize % CORES_MAX;
    place_of(&TICKETS[core], ticket as usize & ((1 << PLACE_BITS) - 1))
}
