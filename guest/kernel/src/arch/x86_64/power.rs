//! Idle, and off.

#![expect(unsafe_code, reason = "halting the processor")]

use super::{port, shootdown, time};
use crate::boot::BootInfo;
use core::arch::{asm, naked_asm};
use core::sync::atomic::{AtomicBool, Ordering::Relaxed};

/// Halts until an interrupt: a device's, or the timer's at `deadline_ns` (of [`time::now_ns`]).
///
/// May return early; the caller looks again.
pub fn idle_until(deadline_ns: Option<u64>) {
    if let Some(deadline_ns) = deadline_ns
        && !time::arm(deadline_ns)
    {
        return;
    }
    stop_pit();
    shootdown::asleep();
    // SAFETY: interrupt stubs change only what a call may change, and return with interrupts off.
    unsafe { window() };
    shootdown::awake();
}

/// The only place where ring 0 has interrupts on. `sti` takes effect after the next instruction, so an interrupt that is
/// already pending ends the `hlt`, and none can fall between the caller's last look and the halt. An NMI can, and lets
/// interrupts in before the halt; so its handler steps over [`HALT`].
#[unsafe(naked)]
pub(super) unsafe extern "C" fn window() {
    naked_asm!("sti", "hlt", "cli", "ret")
}

/// Where the halt is, from the beginning of [`window`]: `sti` is one byte long, and so is `hlt`.
pub(super) const HALT: usize = 1;

/// Silences the PIT where there is one, before the first sleep. Nobody here listens to it, but firmware leaves it
/// ticking, and each tick wakes the VMM: mode 0 ends with one event that no count follows.
#[inline]
fn stop_pit() {
    static STOPPED: AtomicBool = AtomicBool::new(false);
    if !STOPPED.load(Relaxed) {
        STOPPED.store(true, Relaxed);
        for (port, value) in [(0x43, 0x30), (0x40, 1), (0x40, 0)] {
            port::outb(port, value);
        }
    }
}

/// Switches the machine off: by ACPI where it says how, else by the keyboard controller's reset line
/// (Firecracker's way to end), else by an exception nobody can handle, which ends QEMU under `-no-reboot`.
#[cold]
pub fn off(boot: Option<&BootInfo>) -> ! {
    if boot.is_some_and(crate::acpi::power_off) {
        halt() // until the VMM has done it: whatever came after would be another wish
    }
    reset()
}

/// This core does nothing any more.
pub(super) fn halt() -> ! {
    loop {
        // SAFETY: touches nothing.
        unsafe { asm!("cli", "hlt", options(nomem, nostack)) };
    }
}

/// Ends the machine without asking anybody: by the keyboard controller's reset line, else by an exception that
/// nobody can handle.
pub fn reset() -> ! {
    port::outb(0x64, 0xfe);
    let no_table = [0u16; 5];
    // SAFETY: nothing runs after this; the next exception resets the machine.
    unsafe { asm!("lidt [{}]", "ud2", in(reg) &raw const no_table, options(noreturn)) };
}
