//! Split virtqueues against a device that is never trusted.
#![cfg_attr(not(test), no_std)]
#![forbid(unsafe_code)]
