//! Virtqueues: the rings through which a driver and a virtio device pass buffers.
//!
//! A queue is a set of numbered *slots*, each with one buffer of its own. The driver *posts* a slot to the
//! device, *publishes* what it posted in one batch, and *pops* what the device gave back. Callers see slots,
//! never descriptors, so that the packed format can be added beside the split one without touching a driver.
//!
//! 1. **The device is never trusted.** Whatever it writes is checked before it is used; the first lie marks the
//!    queue [`Broken`], which every later call returns.
//! 2. **The data path neither allocates nor waits.** All state is in the queue itself.
//! 3. **The memory is a trait** ([`RingMemory`], [`Buffers`]), so the same code runs in the guest and, against a
//!    fake or hostile device, in a test.
//!
//! [`net`] is what a network device says over its two queues.
#![cfg_attr(not(test), no_std)]
#![forbid(unsafe_code)]

extern crate alloc;

mod layout;
mod memory;
pub mod net;
mod queue;
mod slots;
pub mod spec;

pub use layout::{Layout, SIZE_MAX};
pub use memory::{Buffers, RingMemory};
pub use queue::{Broken, Direction, Interrupts, Notify, Options, Queue, Used};
