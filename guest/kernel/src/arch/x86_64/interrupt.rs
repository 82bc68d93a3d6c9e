//! Device interrupts: the local APIC, the I/O APICs, and which vector is whose.
//!
//! A device's interrupt means "look": it ends the idle window and is counted, and that is all. Lines are
//! programmed as edges: each rise is one wake-up, and the poll that follows lowers the line again.

#![expect(unsafe_code, reason = "APIC registers are mapped")]

use super::{cpu, local, time, traps};
use crate::arch::SpinLock;
use crate::mm::{self, Caching, MapError, PhysAddr};
use core::sync::atomic::{AtomicPtr, Ordering::Relaxed};

/// First vector above the processor's exceptions.
pub(super) const VECTOR_FIRST: usize = 32;
/// Vectors there are.
pub(super) const VECTORS: usize = 32;
const SPURIOUS: usize = VECTOR_FIRST + VECTORS - 1;
const TIMER: usize = VECTOR_FIRST;

const APIC_BASE_MSR: u32 = 0x1b;
const APIC_TASK_PRIORITY: usize = 0x80;
const APIC_END_OF_INTERRUPT: usize = 0xb0;
const APIC_SPURIOUS: usize = 0xf0;
const APIC_LINT0: usize = 0x350;
const APIC_ID: usize = 0x20;
/// Local vector table entry of the timer.
pub(super) const APIC_TIMER: usize = 0x320;
/// The timer's first count.
pub(super) const APIC_TIMER_INITIAL: usize = 0x380;
/// The timer's count now.
pub(super) const APIC_TIMER_CURRENT: usize = 0x390;
/// The timer's divider.
pub(super) const APIC_TIMER_DIVIDE: usize = 0x3e0;
const MASKED: u32 = 1 << 16;

/// I/O APICs serve 24 lines each; QEMU's microvm with ACPI has a second one.
const IO_APICS: [u64; 2] = [0xfec0_0000, 0xfec1_0000];
const IO_APIC_LINES: u32 = 24;

static APIC: AtomicPtr<u32> = AtomicPtr::new(core::ptr::null_mut());
static NAMES: SpinLock<Names> = SpinLock::new(Names { names: [""; VECTORS], count: 1 });

struct Names {
    names: [&'static str; VECTORS],
    count: usize,
}

/// An interrupt vector that [`allocate`] gave to a device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Vector(u8);

/// Maps and enables the local APIC.
///
/// # Errors
/// When it cannot be mapped.
pub fn init() -> Result<(), MapError> {
    let base = PhysAddr(cpu::read_msr(APIC_BASE_MSR) & 0x000f_ffff_ffff_f000);
    let mapping = mm::map_device(base, 4096, Caching::Uncached)?;
    APIC.store(mapping.as_ptr().cast(), Relaxed);
    apic_write(APIC_TASK_PRIORITY, 0);
    apic_write(APIC_LINT0, MASKED); // no interrupts from an old PIC
    apic_write(APIC_TIMER, MASKED | TIMER as u32);
    apic_write(APIC_SPURIOUS, 1 << 8 | SPURIOUS as u32);
    traps::enable_interrupt(SPURIOUS);
    traps::enable_interrupt(TIMER);
    NAMES.with(|names| names.names[0] = "timer");
    Ok(())
}

/// A vector for a device, or `None` when all are given.
pub fn allocate(name: &'static str) -> Option<Vector> {
    let number = NAMES.with(|names| {
        if VECTOR_FIRST + names.count == SPURIOUS {
            return None;
        }
        names.names[names.count] = name;
        names.count += 1;
        Some(names.count - 1)
    })?;
    traps::enable_interrupt(VECTOR_FIRST + number);
    Some(Vector((VECTOR_FIRST + number) as u8))
}

/// Address and data of the message that raises `vector` on this core (PCI MSI-X).
pub fn msi_message(vector: Vector) -> (u64, u32) {
    (0xfee0_0000 | u64::from(apic_read(APIC_ID) >> 24) << 12, u32::from(vector.0))
}

/// Routes line `gsi` (global system interrupt) to `vector`, as an edge.
///
/// # Errors
/// When the I/O APIC cannot be mapped, or there is none for the line.
pub fn route_gsi(gsi: u32, vector: Vector) -> Result<(), MapError> {
    let base = *IO_APICS.get((gsi / IO_APIC_LINES) as usize).ok_or(MapError::NoSuchDevice)?;
    let mapping = mm::map_device(PhysAddr(base), 4096, Caching::Uncached)?;
    let select = mapping.as_ptr().cast::<u32>();
    let redirection = 0x10 + (gsi % IO_APIC_LINES) * 2;
    for (register, value) in [(redirection + 1, apic_read(APIC_ID)), (redirection, u32::from(vector.0))] {
        // SAFETY: an I/O APIC has its selector at 0 and its data window at 0x10.
        unsafe {
            select.write_volatile(register);
            select.byte_add(0x10).write_volatile(value);
        }
    }
    Ok(())
}

/// How often this core has taken `vector`.
pub fn count(vector: Vector) -> u64 {
    local::header().taken[usize::from(vector.0) - VECTOR_FIRST].load(Relaxed)
}

/// An interrupt was taken in the idle window.
pub(super) extern "C" fn taken(vector: usize) {
    let counter = &local::header().taken[vector - VECTOR_FIRST];
    counter.store(counter.load(Relaxed) + 1, Relaxed);
    if vector == TIMER {
        time::timer_fired();
    }
    if vector != SPURIOUS {
        apic_write(APIC_END_OF_INTERRUPT, 0);
    }
}

/// Reads a register of the local APIC.
#[inline]
pub(super) fn apic_read(register: usize) -> u32 {
    // SAFETY: `init` mapped the registers for good.
    unsafe { APIC.load(Relaxed).byte_add(register).read_volatile() }
}

/// Writes a register of the local APIC.
#[inline]
pub(super) fn apic_write(register: usize, value: u32) {
    // SAFETY: as for reading; these registers cannot touch memory.
    unsafe { APIC.load(Relaxed).byte_add(register).write_volatile(value) };
}

/// Unmasks the timer's vector.
pub(super) fn enable_timer() {
    apic_write(APIC_TIMER, TIMER as u32);
}
