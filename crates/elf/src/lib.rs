//! An x86-64 Linux executable, read from bytes: what of it goes where in memory, and where it begins.
//!
//! The guest loads a program by this, the tool tells by it why one cannot be run. Nothing in the file is trusted: what
//! [`Executable::parse`] gives is sound, so that whoever loads it has nothing to check. What it refuses, it refuses as
//! [`Refusal`], whose text is one clause: "it is a script for /bin/sh". Where Linux is lenient towards what no linker
//! makes, this is not.
//!
//! The format: System V ABI, chapters 4 and 5 ("Object files", "Program loading"), and its AMD64 supplement.
#![cfg_attr(not(test), no_std)]
#![forbid(unsafe_code)]

mod executable;
mod fields;
mod refusal;
mod segments;

pub use executable::{Executable, Headers, Kind};
pub use refusal::Refusal;
pub use segments::{Access, Segment, Segments};

/// Bytes of a page: what segments begin at.
pub const PAGE_BYTES: u64 = 4096;
/// Addresses below this are never a program's.
pub const ADDRESS_MIN: u64 = 0x1_0000;
/// One past the highest address of a program.
pub const ADDRESS_END: u64 = 0x7fff_ffff_f000;

#[cfg(test)]
mod tests;
