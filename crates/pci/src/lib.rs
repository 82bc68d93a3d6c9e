//! PCI: which functions are there, where their registers are, and which structures a virtio function has.
//!
//! Pure logic over a [`ConfigSpace`]: the guest implements it by memory (ECAM) and by ports (0xcf8), a test by an
//! array. Configuration space is what the device says, so nothing in it is trusted: capability lists may loop,
//! structures may lie outside their BAR, a bridge may lead back to where it came from.
#![cfg_attr(not(test), no_std)]
#![forbid(unsafe_code)]

mod bars;
mod bridges;
mod capabilities;
mod config;
mod enumerate;
mod msix;
mod virtio;

pub use bars::{Bar, BarKind, Bars, NoSpace, Region, Window};
pub use bridges::Bridges;
pub use capabilities::{Capabilities, Capability};
pub use config::{Address, ConfigSpace};
pub use enumerate::{Function, enumerate};
pub use msix::Msix;
pub use virtio::{Structure, VirtioStructures, virtio_device_type};

#[cfg(test)]
mod fake;
#[cfg(test)]
mod tests;
