//! Who runs, who waits, and until when: the scheduler's bookkeeping of one core.
//!
//! A thread is a slot in a table; the run queue and every wait queue are lists threaded through the slots, so starting to
//! wait, waking and choosing who runs next are O(1) and allocate nothing. The payload `P` (a context and a stack, in the
//! kernel) is carried and never looked at, which is what lets all of this run under plain `cargo test`.
//!
//! *Why no wake-up is lost.* A core runs one thread at a time and nothing else: interrupts do not touch these structures,
//! devices are polled by whichever thread looks for something to run. So between a thread's look at its condition and its
//! place on the list ([`Threads::wait`]) nobody can change that condition; whoever changes it later finds the thread on
//! the list. A wait that timed out stays on its list until its thread has run again ([`Threads::finish_wait`]): a wake-up
//! that meets it there turns the time-out into a wake-up instead of being spent on nobody.
//!
//! *Deadlines wait for each other.* A wait may end a little later than its deadline, by its [`Slack`]: the core's timer is
//! set for the end of that, and whatever wakes the core before, another deadline above all, ends the wait as well.
//!
//! Waiting for what threads of other cores change is `toro-mailbox`'s; its part here is [`Threads::suspend`] and
//! [`Threads::resume`], without a list.
#![cfg_attr(not(test), no_std)]
#![forbid(unsafe_code)]

extern crate alloc;

mod run_queue;
mod slack;
mod table;
#[cfg(test)]
mod tests;
mod wait;

pub use run_queue::Turn;
pub use slack::Slack;
pub use table::{Layout, Threads};
pub use wait::{WaitOutcome, Waiters};

/// No thread, in a link or an index.
const NONE: u32 = u32::MAX;
