//! The guest interface, version 1: what a Toro guest and its host say to each other.
//!
//! Both sides are implemented here once, so they cannot drift apart; `docs/guest-interface.md` is the same in prose.
//!
//! - [`cmdline`]: the configuration that the host passes, `key=value` words with percent-encoded values
//! - [`embedded`]: the same text stored inside an image, so that it boots alone
//! - [`console`]: program output, kernel log and records told apart on one serial line
//! - [`control`], [`outcome`]: the records themselves: where the guest is, how it ended
//! - [`stdin`]: the way back, with its end and a request to stop
#![cfg_attr(not(test), no_std)]
#![forbid(unsafe_code)]

extern crate alloc;

pub mod cmdline;
pub mod console;
pub mod control;
pub mod embedded;
pub mod network;
pub mod outcome;
pub mod percent;
pub mod record;
pub mod stdin;

/// The version that the boot record announces, and that the host checks.
pub const VERSION: u32 = 1;

/// Virtual base of an image that is started with `kaslr=off`: what a debugger adds to the addresses of the ELF.
pub const FIXED_BASE: u64 = 0xffff_8000_0000_0000;
