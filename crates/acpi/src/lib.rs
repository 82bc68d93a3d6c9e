//! Readers of the few ACPI tables a virtual machine needs.
#![cfg_attr(not(test), no_std)]
#![forbid(unsafe_code)]
