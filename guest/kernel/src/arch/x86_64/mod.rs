//! x86-64, from the first instruction to power-off.

pub mod backtrace;
mod boot;
pub mod context;
pub mod cores;
pub mod cpu;
pub mod depth;
mod entry;
mod handover;
pub mod interrupt;
mod kvm;
mod linux;
pub(in crate::arch) mod local;
mod memory_functions;
pub mod paging;
pub mod port;
pub mod power;
mod pvh;
pub mod time;
mod traps;

pub use traps::{Frame, guard_stacks};
