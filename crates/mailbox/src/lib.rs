//! How cores talk: a list of letters for each core, and lists of threads that wait, on whatever core they live.
//!
//! Both are *intrusive*: a letter is a [`Node`] inside something the sender owns until it is delivered, a waiting thread
//! is a [`Waiter`] on its own stack. So posting and waking never allocate, never fail and never find a mailbox full.
//!
//! *Mailbox.* One word says everything: empty and awake, empty and asleep, or the newest letter. The poster that replaces
//! "asleep" by its letter, and only that one, interrupts the sleeper; a core that wants to sleep replaces "awake" by
//! "asleep" and fails if there is a letter. As both are steps on one word, no order of theirs loses a wake-up.
//!
//! *Waiting.* A [`WaitList`] stands beside the state its threads wait for, under the same lock. Whoever wakes takes the
//! waiter off the list, releases the lock, and sends the waiter to its thread's core as a letter. A thread whose deadline
//! has passed looks under the lock: still on the list, it takes itself off; else its letter is under way, and it waits on
//! for that. So a waiter never leaves its stack while somebody knows it, and a wake-up is never spent on nobody.
//!
//! *Together.* When all cores pass something along, a [`Tree`] says who passes it to whom.
//!
//! The tests run every order of these steps that the memory model allows, by `loom`.
#![cfg_attr(not(test), no_std)]

mod mailbox;
#[cfg(test)]
mod models;
mod primitives;
mod tree;
mod wait;

pub use mailbox::{Letters, Mailbox, Node};
pub use tree::Tree;
pub use wait::{WaitList, Waiter, Wakes};
