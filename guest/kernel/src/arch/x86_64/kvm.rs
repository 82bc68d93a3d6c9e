//! What KVM tells about time: the rate of the time-stamp counter, and the time of day.
//!
//! KVM's paravirtual clock (`Documentation/virt/kvm/x86/msr.rst` of Linux): the guest names a place in its memory, and KVM
//! writes there at once. It is asked once, and then told to stop.

#![expect(unsafe_code, reason = "KVM writes into a static whose address it is given")]

use super::cpu;
use super::paging;
use crate::arch::SpinLock;

const MSR_WALL_CLOCK: u32 = 0x4b56_4d00;
const MSR_SYSTEM_TIME: u32 = 0x4b56_4d01;
const ENABLE: u64 = 1;
const FEATURE_CLOCK_SOURCE_2: u32 = 1 << 3;

#[derive(Clone, Copy)]
#[repr(C, align(32))]
struct SystemTime {
    version: u32,
    padding: u32,
    ticks: u64,
    ns: u64,
    multiplier: u32,
    shift: i8,
    flags: u8,
    padding_2: [u8; 2],
}

#[derive(Clone, Copy)]
#[repr(C, align(16))]
struct WallClock {
    version: u32,
    seconds: u32,
    ns: u32,
}

static SYSTEM_TIME: SpinLock<SystemTime> = SpinLock::new(SystemTime {
    version: 0,
    padding: 0,
    ticks: 0,
    ns: 0,
    multiplier: 0,
    shift: 0,
    flags: 0,
    padding_2: [0; 2],
});
static WALL_CLOCK: SpinLock<WallClock> = SpinLock::new(WallClock { version: 0, seconds: 0, ns: 0 });

/// What KVM knew when it was asked.
#[derive(Clone, Copy, Debug)]
pub(super) struct Clock {
    /// Nanoseconds a tick, as a fraction of 2^32.
    pub(super) ns_per_tick: u64,
    /// Ticks at the moment of `wall_ns`.
    pub(super) ticks: u64,
    /// Nanoseconds since 1970 at that moment; 0: unknown.
    pub(super) wall_ns: u64,
}

/// Asks KVM; `None` under another hypervisor, or one without this clock.
pub(super) fn clock() -> Option<Clock> {
    let [most, b, c, d] = cpu::cpuid(0x4000_0000);
    let is_kvm = [b, c, d].map(u32::to_le_bytes).concat() == *b"KVMKVMKVM\0\0\0";
    if !is_kvm || most < 0x4000_0001 || cpu::cpuid(0x4000_0001)[0] & FEATURE_CLOCK_SOURCE_2 == 0 {
        return None;
    }
    let time = ask(&SYSTEM_TIME, MSR_SYSTEM_TIME, ENABLE);
    // SAFETY: the register exists, as CPUID says; KVM forgets the place it was told.
    unsafe { cpu::write_msr(MSR_SYSTEM_TIME, 0) };
    let wall = ask(&WALL_CLOCK, MSR_WALL_CLOCK, 0);
    if time.version == 0 || time.multiplier == 0 {
        return None;
    }
    let multiplier = u64::from(time.multiplier);
    let at_boot_ns = u64::from(wall.seconds) * 1_000_000_000 + u64::from(wall.ns);
    Some(Clock {
        ns_per_tick: if time.shift < 0 { multiplier >> -time.shift } else { multiplier << time.shift },
        ticks: time.ticks,
        wall_ns: if wall.version == 0 || wall.seconds == 0 { 0 } else { at_boot_ns + time.ns },
    })
}

/// Lets KVM fill `place`, and reads it.
fn ask<T: Copy>(place: &SpinLock<T>, register: u32, flags: u64) -> T {
    place.with(|value| {
        let physical = core::ptr::from_mut(value).addr() as u64 - paging::image_base();
        // SAFETY: the register exists; KVM writes a `T` of plain integers, during the instruction, to a static that this
        // borrow holds alone, and the volatile read does not come before it.
        unsafe {
            cpu::write_msr(register, physical | flags);
            core::ptr::from_mut(value).read_volatile()
        }
    })
}
