//! Who runs, who waits, and until when: the scheduler's bookkeeping of one core.
#![cfg_attr(not(test), no_std)]
#![forbid(unsafe_code)]
