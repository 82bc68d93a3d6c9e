//! PCI enumeration, BAR assignment and capabilities over any configuration access.
#![cfg_attr(not(test), no_std)]
#![forbid(unsafe_code)]
