//! x86-64, from the first instruction to power-off.

mod attempt;
pub mod backtrace;
mod boot;
pub mod context;
pub mod cores;
pub mod counters;
pub mod cpu;
pub mod depth;
mod entry;
mod handover;
pub mod interrupt;
pub mod io_apic;
mod kvm;
mod linux;
pub(in crate::arch) mod local;
mod memory_functions;
pub mod paging;
pub mod port;
pub mod power;
mod pvh;
pub mod running;
pub mod shootdown;
pub mod smp;
pub mod speed;
pub mod time;
mod trampoline;
mod traps;
pub mod user;
pub mod wall;

pub use traps::{Frame, guard_stacks};

/// 1 when compiled code uses SSE, as it does for the target of images; 0 for one that computes without, which is built
/// to boot where KVM emulates ring 0 (`cargo xtask soft-float`). Nothing else depends on the target.
const SSE: u32 = cfg!(target_feature = "sse2") as u32;

/// Bytes of one of the kernel's own stacks, where `bytes` are enough for what ships: the frames of a debug build are larger.
const fn stack_bytes(bytes: usize) -> usize {
    if cfg!(debug_assertions) { 2 * bytes } else { bytes }
}
