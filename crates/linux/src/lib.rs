//! What a Linux program expects of its kernel, as far as that needs no machine: the pure half of the personality, tested on
//! the host, and used by the tool where it tells of a program before it runs.
#![cfg_attr(not(test), no_std)]
#![forbid(unsafe_code)]

extern crate alloc;

pub mod address;
pub mod areas;
pub mod calls;
pub mod errno;
pub mod layout;
pub mod processor;
pub mod signals;
pub mod stack;
pub mod strace;
mod table;
pub mod tree;
pub mod vdso;

/// Linux's constants: numbers of flags, options and requests.
pub mod raw {
    pub use linux_raw_sys::general::*;
    pub use linux_raw_sys::{auxvec, ioctl, net, prctl, system};
}
