//! The guest interface, version 1: what a Toro guest and its host say to each other.
//!
//! Both sides are implemented here once, so they cannot drift apart; `docs/guest-interface.md` is the same in prose.
//!
//! - [`cmdline`]: the configuration that the host passes, `key=value` words with percent-encoded values
//! - [`embedded`]: the same text stored inside an image, so that it boots alone
//! - [`console`]: program output, kernel log and records told apart on one serial line
//! - [`control`], [`outcome`]: the records themselves: where the guest is, how it ended
//! - [`module`]: the files that a host packs for its guest
//! - [`stdin`]: the way back, with its end and requests to the kernel
//! - [`power`], [`stats`], [`sockets`], [`cards`]: how a machine idles, what it has counted, and how its sockets and network cards stand
//! - [`stack`], [`thread_state`]: what the host gets of a crashed program
//! - [`policy`]: what a fault comes to that nobody catches
#![cfg_attr(not(any(test, feature = "std")), no_std)]
#![forbid(unsafe_code)]

extern crate alloc;

pub mod cards;
pub mod cmdline;
pub mod console;
pub mod control;
pub mod embedded;
pub mod module;
pub mod network;
pub mod outcome;
pub mod percent;
pub mod policy;
pub mod power;
pub mod record;
pub mod sockets;
pub mod stack;
pub mod stats;
pub mod stdin;
pub mod thread_state;

/// The version that the boot record announces, and that the host checks.
pub const VERSION: u32 = 1;

/// What was added to the version since: a host asks a guest only for what its revision knows.
///
/// 1: statistics ([`stdin::STATISTICS`]), and the wall clock told anew ([`stdin::wall_clock`]). 2: the network
/// ([`stdin::NETWORK`]). 3: addresses of IPv6, on the command line and in records.
pub const REVISION: u32 = 3;

/// Virtual base of an image that is started with `kaslr=off`: what a debugger adds to the addresses of the ELF.
pub const FIXED_BASE: u64 = 0xffff_8000_0000_0000;
