//! Ring 3: what it takes to run a program there, and to get back from it.
//!
//! Nothing of this is set up until a core is first asked for it ([`prepare`]): then it loads a table of gates of its own
//! kind (`gates`), page tables with a lower half (`tables`), and the registers that `syscall` and the protection of ring 0
//! need. A native application has none of it.
//!
//! * `context`: all that ring 3 has in registers. The general registers, XMM0-15 and MXCSR lie in memory while ring 0 runs;
//!   the rest (x87, the upper parts of AVX, fs and gs) stays in the core until another context comes.
//! * `door`: the way there and the ways back.
//! * `gates`: exceptions, interrupts and their stacks on such a core.
//! * `extended`: the state that stays in the core.
//! * `copy`: the only code that touches the program's memory.
//! * `tables`: the page tables of the lower half; `removed`: what was taken out of them.
//! * `vdso`: the clock, for programs to read without a call.

#![expect(unsafe_code, reason = "control registers")]

mod context;
mod copy;
mod door;
mod extended;
mod gates;
mod removed;
mod tables;
pub(super) mod vdso;

pub use context::{Arrival, Context, NotAnAddress, Registers, Snapshot};
pub use copy::{compare_exchange, copy_in, copy_out, zero};
pub(crate) use copy::{copy_in_raw, copy_out_raw, copy_raw};
pub use extended::{state_bytes, state_components};
pub use removed::Removed;
pub use tables::{Entry, Leaf, Rights, Root, Source, clear_page, kernel_page};
pub use vdso::{ClockCode, TEXT_OFFSET as CLOCK_CODE_OFFSET, clock_code, clock_page};

use super::{cpu, local, paging};
use core::arch::asm;
use core::sync::atomic::AtomicU64;
use core::sync::atomic::Ordering::{Relaxed, SeqCst};

/// One past the highest address of a program: the last page of the lower half stays empty, so that what follows a
/// program's last instruction is an address that `sysret` takes.
pub const END: usize = 0x7fff_ffff_f000;

/// Selectors of ring 3, as on Linux: `traps::Tables` has the segments.
pub(super) const CODE: u16 = 0x33;
pub(super) const DATA: u16 = 0x2b;

const EFER_SYSCALL: u64 = 1;
const STAR: u32 = 0xc000_0081;
const LSTAR: u32 = 0xc000_0082;
const FMASK: u32 = 0xc000_0084;
const FS_BASE: u32 = 0xc000_0100;
const KERNEL_GS_BASE: u32 = 0xc000_0102;

const FLAG_TRAP: u64 = 1 << 8;
const FLAG_INTERRUPT: u64 = 1 << 9;
const FLAG_DIRECTION: u64 = 1 << 10;
const FLAG_NESTED: u64 = 1 << 14;
const FLAG_RESUME: u64 = 1 << 16;
pub(super) const FLAG_VIRTUAL_8086: u64 = 1 << 17;
const FLAG_ALIGNMENT: u64 = 1 << 18;

const CR4_UMIP: u64 = 1 << 11;
const CR4_OSXSAVE: u64 = 1 << 18;
const CR4_SMEP: u64 = 1 << 20;
const CR4_SMAP: u64 = 1 << 21;

/// The first page table of all cores that have run a program; 0: there is none.
static ROOT: AtomicU64 = AtomicU64::new(0);

/// Names the page tables that [`prepare`] loads; once.
pub fn set_root(root: Root) {
    ROOT.store(root.0.0, SeqCst);
}

/// The page tables of the lower half, once there are some.
pub fn root() -> Option<Root> {
    let root = ROOT.load(SeqCst);
    (root != 0).then_some(Root(crate::mm::PhysAddr(root)))
}

/// Makes this core one that can run a program and reach its memory. There is a [`root`].
#[inline]
pub fn prepare() {
    if local::header().user.is_ready.load(Relaxed) == 0 {
        prepare_first();
    }
}

#[cold]
fn prepare_first() {
    let root = root().expect("a lower half exists before a program runs");
    gates::load();
    extended::init();
    let [_, features, more, _] = cpu::cpuid(7);
    let offered = |bit: bool, flag: u64| if bit { flag } else { 0 };
    let protection = offered(features & 1 << 7 != 0, CR4_SMEP)
        | offered(features & 1 << 20 != 0, CR4_SMAP)
        | offered(more & 1 << 2 != 0, CR4_UMIP);
    let [_, _, cr4] = paging::control_registers();
    // SAFETY: the kernel's half is the same in these tables; each bit is offered by the processor, and the kernel neither
    // runs nor touches pages of ring 3, but in `copy`, which asks `SMAP`.
    unsafe {
        asm!("mov cr4, {}", in(reg) cr4 | protection, options(nostack, preserves_flags));
        asm!("mov cr3, {}", in(reg) root.0.0, options(nostack, preserves_flags));
    }
    copy::set_smap(protection & CR4_SMAP != 0);
    let clear = FLAG_TRAP | FLAG_INTERRUPT | FLAG_DIRECTION | FLAG_NESTED | FLAG_ALIGNMENT;
    // SAFETY: these registers exist in 64-bit mode; `syscall` enters at the door, with the kernel's segments.
    unsafe {
        cpu::write_msr(cpu::EFER, cpu::read_msr(cpu::EFER) | EFER_SYSCALL);
        // `syscall` loads 8 and 0x10, `sysret` 0x20 + 16 and 0x20 + 8, with ring 3 in the low bits.
        cpu::write_msr(STAR, 0x23 << 48 | 8 << 32);
        cpu::write_msr(LSTAR, door::syscall_entry as *const () as u64);
        cpu::write_msr(FMASK, clear);
        cpu::write_msr(KERNEL_GS_BASE, 0);
    }
    local::header().user.is_ready.store(1, Relaxed);
}

/// Sets this core's timer, as idle does: at the latest then, a program is interrupted. `false`: that time has passed.
pub fn arm(deadline_ns: u64) -> bool {
    super::time::arm(deadline_ns)
}
