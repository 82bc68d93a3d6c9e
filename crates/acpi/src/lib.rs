//! The few ACPI tables that a virtual machine needs: where its processors, interrupt controllers and PCI buses
//! are, and how it is switched off. And the older table of processors, for machines without ACPI.
//!
//! Pure readers over borrowed bytes. A [`Tables`] is given a closure that maps physical memory, so that the same
//! code reads firmware memory in the guest and a byte array in a test. Nothing in a table is trusted: every length
//! is checked before it is used, a table with a wrong checksum is an error, an absent field is `None`. There is no
//! AML interpreter; the one value that ACPI hides in AML is found by [`sleep_type_s5`].
#![cfg_attr(not(test), no_std)]
#![forbid(unsafe_code)]

mod bytes;
mod fadt;
mod madt;
mod mcfg;
mod mp;
mod rsdp;
mod tables;

pub use fadt::{Fadt, PmTimer, Register, Space, sleep_type_s5};
pub use madt::{Entry, Madt};
pub use mcfg::{Mcfg, Segment};
pub use mp::{MP_AREAS, MpTable};
pub use rsdp::{RSDP_BYTES_MAX, Root, Rsdp};
pub use tables::{Error, Table, Tables};

#[cfg(test)]
mod tests;
