//! What the processor is, and its model-specific registers.

#![expect(unsafe_code, reason = "processor instructions")]

use core::arch::asm;
use core::arch::x86_64::{__cpuid, __cpuid_count};
use core::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// `eax, ebx, ecx, edx` of a CPUID leaf; zeros for a leaf above the highest of its range.
pub(super) fn cpuid(leaf: u32) -> [u32; 4] {
    if __cpuid(leaf & 0xffff_0000).eax < leaf {
        return [0; 4];
    }
    let result = __cpuid_count(leaf, 0);
    [result.eax, result.ebx, result.ecx, result.edx]
}

/// Reads a model-specific register that the caller knows to exist.
pub(super) fn read_msr(register: u32) -> u64 {
    let (low, high): (u32, u32);
    // SAFETY: reading a register that exists has no effect; one that does not is a reported fault.
    unsafe { asm!("rdmsr", in("ecx") register, out("eax") low, out("edx") high, options(nomem, nostack)) };
    u64::from(high) << 32 | u64::from(low)
}

/// Extended features: long mode and no-execute among them.
pub(super) const EFER: u32 = 0xc000_0080;
/// Long mode is active.
pub(super) const EFER_LMA: u64 = 1 << 10;
/// Base of the `gs` segment.
pub(super) const GS_BASE: u32 = 0xc000_0101;

/// Writes a model-specific register.
///
/// # Safety
/// The register exists, and what the value makes processor or hypervisor do is the caller's to order.
pub(super) unsafe fn write_msr(register: u32, value: u64) {
    // SAFETY: by this function's contract.
    unsafe {
        asm!("wrmsr", in("ecx") register, in("eax") value as u32, in("edx") (value >> 32) as u32, options(nostack, preserves_flags))
    };
}

/// The time-stamp counter.
#[inline]
pub fn ticks() -> u64 {
    // SAFETY: reads a counter.
    unsafe { core::arch::x86_64::_rdtsc() }
}

/// 64 bits from the processor's random generator (`rdseed`, else `rdrand`); `None` without one, or when
/// it does not deliver.
#[inline(never)] // called several times in a row
pub fn random64() -> Option<u64> {
    let has_rdrand = cpuid(1)[2] & 1 << 30 != 0;
    let has_rdseed = cpuid(7)[1] & 1 << 18 != 0;
    for _ in 0..16 {
        let (mut value, mut delivered): (u64, u8) = (0, 0);
        if has_rdseed {
            // SAFETY: CPUID says that the instruction exists; it writes registers only.
            unsafe { asm!("rdseed {}", "setc {}", out(reg) value, out(reg_byte) delivered, options(nomem, nostack)) };
        }
        if delivered == 0 && has_rdrand {
            // SAFETY: as above.
            unsafe { asm!("rdrand {}", "setc {}", out(reg) value, out(reg_byte) delivered, options(nomem, nostack)) };
        }
        if delivered != 0 {
            return Some(value);
        }
    }
    None
}

/// One past the highest physical address that a page table of this processor can hold.
pub fn physical_end() -> u64 {
    static BITS: AtomicU64 = AtomicU64::new(0);
    if BITS.load(Relaxed) == 0 {
        let bits = u64::from(cpuid(0x8000_0008)[0] & 0xff);
        BITS.store(if (32..=52).contains(&bits) { bits } else { 36 }, Relaxed);
    }
    1 << BITS.load(Relaxed)
}

/// The number of this core's local APIC.
pub fn apic_id() -> u32 {
    super::interrupt::own_apic_id()
}

/// Can local APICs have numbers above 254?
pub fn has_x2apic() -> bool {
    cpuid(1)[2] & 1 << 21 != 0
}

/// A short wait inside a polling loop.
#[inline]
pub fn relax() {
    core::hint::spin_loop();
}

/// What the processor says of itself.
#[derive(Clone, Copy, Debug)]
pub struct Processor {
    /// Its maker.
    pub vendor: [u8; 12],
    /// Its name, filled up with zeroes.
    pub name: [u8; 48],
    /// Of CPUID: edx and ecx of 1, ebx of 7, edx and ecx of 8000_0001. The first is what programs are told as `AT_HWCAP`.
    pub features: [u32; 5],
}

/// What the processor says of itself.
#[must_use]
pub fn processor() -> Processor {
    let [_, ebx, ecx, edx] = cpuid(0);
    let mut vendor = [0; 12];
    for (bytes, word) in vendor.as_chunks_mut::<4>().0.iter_mut().zip([ebx, edx, ecx]) {
        *bytes = word.to_le_bytes();
    }
    let mut name = [0; 48];
    if cpuid(0x8000_0000)[0] >= 0x8000_0004 {
        let words = (0x8000_0002..=0x8000_0004).flat_map(cpuid);
        for (bytes, word) in name.as_chunks_mut::<4>().0.iter_mut().zip(words) {
            *bytes = word.to_le_bytes();
        }
    }
    let ([_, _, ecx, edx], [_, structured, _, _], [_, _, more_ecx, more_edx]) =
        (cpuid(1), if cpuid(0)[0] >= 7 { cpuid(7) } else { [0; 4] }, cpuid(0x8000_0001));
    Processor { vendor, name, features: [edx, ecx, structured, more_edx, more_ecx] }
}
