//! Interrupts: the local APIC, and which vector is whose.
//!
//! A device's interrupt means "look": it ends the idle window and is counted, and that is all. Lines are
//! programmed as edges: each rise is one wake-up, and the poll that follows lowers the line again.

#![expect(unsafe_code, reason = "APIC registers are mapped")]

use super::local::{self, CoreId};
use super::{cpu, smp, time, traps};
use crate::arch::SpinLock;
use crate::mm::{self, Caching, MapError, PhysAddr};
use core::sync::atomic::Ordering::{Relaxed, SeqCst};
use core::sync::atomic::{AtomicPtr, fence};

/// First vector above the processor's exceptions.
pub(super) const VECTOR_FIRST: usize = 32;
/// Vectors there are.
pub(super) const VECTORS: usize = 32;
/// Of a line: it is a non-maskable interrupt.
const NON_MASKABLE: u32 = 0b100 << 8;
const SPURIOUS: usize = VECTOR_FIRST + VECTORS - 1;
const TIMER: usize = VECTOR_FIRST;
/// Another core has something for this one.
const WAKE: usize = VECTOR_FIRST + 1;

const APIC_BASE_MSR: u32 = 0x1b;
const APIC_BASE_X2: u64 = 1 << 10;
/// First of the registers' MSRs in x2APIC mode; 16 bytes of a register are one.
const X2APIC_MSR: u32 = 0x800;
/// Highest number of an APIC that xAPIC mode can address: the next one is everybody.
pub(super) const XAPIC_ID_MAX: u32 = 254;
const APIC_TASK_PRIORITY: usize = 0x80;
const APIC_END_OF_INTERRUPT: usize = 0xb0;
const APIC_SPURIOUS: usize = 0xf0;
const APIC_LINT0: usize = 0x350;
const APIC_LINT1: usize = 0x360;
const APIC_ID: usize = 0x20;
const APIC_COMMAND: usize = 0x300;
const APIC_COMMAND_TARGET: usize = 0x310;
/// Local vector table entry of the timer.
pub(super) const APIC_TIMER: usize = 0x320;
/// The timer's first count.
pub(super) const APIC_TIMER_INITIAL: usize = 0x380;
/// The timer's count now.
pub(super) const APIC_TIMER_CURRENT: usize = 0x390;
/// The timer's divider.
pub(super) const APIC_TIMER_DIVIDE: usize = 0x3e0;
const MASKED: u32 = 1 << 16;

/// The registers of the local APIC, at the same address on each core; null in x2APIC mode.
static APIC: AtomicPtr<u32> = AtomicPtr::new(core::ptr::null_mut());
static NAMES: SpinLock<Names> = SpinLock::new(Names { names: [None; VECTORS], count: 0 });

struct Names {
    names: [Option<&'static str>; VECTORS],
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
    let base = cpu::read_msr(APIC_BASE_MSR);
    if base & APIC_BASE_X2 == 0 {
        let mapping = mm::map_device(PhysAddr(base & 0x000f_ffff_ffff_f000), 4096, Caching::Uncached)?;
        APIC.store(mapping.as_ptr().cast(), Relaxed);
    }
    for vector in [TIMER, WAKE, SPURIOUS] {
        traps::enable_interrupt(vector);
    }
    NAMES.with(|names| (names.names[0], names.names[1], names.count) = (Some("timer"), Some("wake"), 2));
    enable_local();
    apic_write(APIC_LINT1, NON_MASKABLE); // by whoever wants to know what a machine does that does not answer
    Ok(())
}

/// Enables this core's APIC.
pub(super) fn enable_local() {
    let base = cpu::read_msr(APIC_BASE_MSR);
    if is_x2apic() && base & APIC_BASE_X2 == 0 {
        // SAFETY: the boot core is in this mode, so there is such a mode.
        unsafe { cpu::write_msr(APIC_BASE_MSR, base | APIC_BASE_X2) };
    }
    apic_write(APIC_TASK_PRIORITY, 0);
    apic_write(APIC_LINT0, MASKED); // no interrupts from an old PIC
    apic_write(APIC_TIMER, MASKED | TIMER as u32);
    apic_write(APIC_SPURIOUS, 1 << 8 | SPURIOUS as u32);
}

fn is_x2apic() -> bool {
    APIC.load(Relaxed).is_null()
}

/// Goes over to x2APIC mode where the processor has it, for numbers that xAPIC mode cannot address. Before other cores
/// run.
pub(super) fn use_x2apic() {
    if !is_x2apic() && cpu::has_x2apic() {
        APIC.store(core::ptr::null_mut(), Relaxed);
        enable_local();
    }
}

/// The number of this core's APIC.
pub(super) fn own_apic_id() -> u32 {
    let id = apic_read(APIC_ID);
    if is_x2apic() { id } else { id >> 24 }
}

/// Raises the wake vector on `core`, which ends its sleep.
#[inline]
pub fn wake(core: CoreId) {
    send(smp::apic_id(core), WAKE as u32);
}

/// Resets a core, which then waits for its start.
pub(super) fn send_init(apic_id: u32) {
    send(apic_id, 0b101 << 8 | 1 << 14);
}

/// Starts a core that waits for its start, at `page`.
pub(super) fn send_startup(apic_id: u32, page: PhysAddr) {
    send(apic_id, 0b110 << 8 | 1 << 14 | (page.0 >> 12) as u32);
}

/// Interrupts a core whatever it does.
pub(super) fn send_nmi(apic_id: u32) {
    send(apic_id, 0b100 << 8 | 1 << 14);
}

/// Writes the command register. A virtual APIC has sent what it was told when the write returns, so nobody asks.
#[inline(never)]
fn send(apic_id: u32, command: u32) {
    if is_x2apic() {
        let register = X2APIC_MSR + (APIC_COMMAND >> 4) as u32;
        // What was stored before comes first, which a write of an MSR does not order.
        fence(SeqCst);
        // SAFETY: the register exists in this mode.
        unsafe { cpu::write_msr(register, u64::from(apic_id) << 32 | u64::from(command)) };
    } else {
        apic_write(APIC_COMMAND_TARGET, apic_id << 24);
        apic_write(APIC_COMMAND, command);
    }
}

/// A vector for a device, or `None` when all are given.
pub fn allocate(name: &'static str) -> Option<Vector> {
    let number = NAMES.with(|names| {
        if VECTOR_FIRST + names.count == SPURIOUS {
            return None;
        }
        names.names[names.count] = Some(name);
        names.count += 1;
        Some(names.count - 1)
    })?;
    traps::enable_interrupt(VECTOR_FIRST + number);
    Some(Vector((VECTOR_FIRST + number) as u8))
}

/// Address and data of the message that raises `vector` on this core (PCI MSI-X).
pub fn msi_message(vector: Vector) -> (u64, u32) {
    message(own_apic_id(), vector)
}

/// Address and data of the message that raises `vector` on `core`; `None` for a core that messages do not reach, because
/// they have eight bits for its number.
pub fn msi_message_to(core: CoreId, vector: Vector) -> Option<(u64, u32)> {
    let apic_id = smp::apic_id(core);
    (apic_id <= XAPIC_ID_MAX).then(|| message(apic_id, vector))
}

fn message(apic_id: u32, vector: Vector) -> (u64, u32) {
    (0xfee0_0000 | u64::from(apic_id & 0xff) << 12, u32::from(vector.0))
}

/// Both halves, the upper one first, of what an I/O APIC sends to raise `vector` on this core: edges, not masked.
pub(super) fn line_message(vector: Vector) -> (u32, u32) {
    (own_apic_id() << 24, u32::from(vector.0))
}

/// How often this core has taken `vector`.
pub fn count(vector: Vector) -> u64 {
    local::header().taken[usize::from(vector.0) - VECTOR_FIRST].load(Relaxed)
}

/// How often `core` has taken each interrupt, by the name that its vector was allocated under: what ended its sleeps.
pub fn counts(core: CoreId) -> impl Iterator<Item = (&'static str, u64)> {
    let (names, count) = NAMES.with(|names| (names.names, names.count));
    let header = smp::header_of(core);
    (0..count).filter_map(move |number| Some((names[number]?, header?.taken[number].load(Relaxed))))
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
    let apic = APIC.load(Relaxed);
    if apic.is_null() {
        return x2apic_read(register);
    }
    // SAFETY: `init` mapped the registers for good.
    unsafe { apic.byte_add(register).read_volatile() }
}

/// Writes a register of the local APIC.
#[inline]
pub(super) fn apic_write(register: usize, value: u32) {
    let apic = APIC.load(Relaxed);
    if apic.is_null() {
        return x2apic_write(register, value);
    }
    // SAFETY: as for reading; these registers cannot touch memory.
    unsafe { apic.byte_add(register).write_volatile(value) };
}

#[cold]
fn x2apic_read(register: usize) -> u32 {
    cpu::read_msr(X2APIC_MSR + (register >> 4) as u32) as u32
}

#[cold]
fn x2apic_write(register: usize, value: u32) {
    // SAFETY: the register exists in this mode, and none of those that are written can touch memory.
    unsafe { cpu::write_msr(X2APIC_MSR + (register >> 4) as u32, value.into()) };
}

/// Unmasks the timer's vector, and says what the timer goes by.
pub(super) fn enable_timer(mode: TimerMode) {
    apic_write(APIC_TIMER, mode as u32 | TIMER as u32);
}

/// What the timer of the local APIC goes by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum TimerMode {
    /// A count of its own, down to 0.
    Count = 0,
    /// The time-stamp counter, when it reaches a value.
    Deadline = 1 << 18,
}
