//! Names of a processor's features, as `/proc/cpuinfo` lists them (Intel SDM volume 2A, CPUID; Linux `cpufeatures.h`).

/// Names of the bits of one register, from bit 0 on; `-`: not told.
type Names = &'static str;

/// Of the registers that [`flags`] is given, in their order.
const NAMES: [Names; 5] = [
    "fpu vme de pse tsc msr pae mce cx8 apic - sep mtrr pge mca cmov pat pse36 pn clflush - dts acpi mmx fxsr sse sse2 ss ht \
     tm - pbe",
    "pni pclmulqdq dtes64 monitor ds_cpl vmx smx est tm2 ssse3 cid sdbg fma cx16 xtpr pdcm - pcid dca sse4_1 sse4_2 x2apic \
     movbe popcnt tsc_deadline_timer aes xsave - avx f16c rdrand hypervisor",
    "fsgsbase tsc_adjust sgx bmi1 hle avx2 - smep bmi2 erms invpcid rtm - - mpx - avx512f avx512dq rdseed adx smap avx512ifma \
     - clflushopt clwb intel_pt avx512pf avx512er avx512cd sha_ni avx512bw avx512vl",
    "- - - - - - - - - - - syscall - - - - - - - mp nx - mmxext - - fxsr_opt pdpe1gb rdtscp - lm 3dnowext 3dnow",
    "lahf_lm cmp_legacy svm extapic cr8_legacy abm sse4a misalignsse 3dnowprefetch osvw ibs xop skinit wdt - lwp fma4 tce",
];

/// The features that are there, by name. `registers` are of CPUID: edx and ecx of 1, ebx of 7, edx and ecx of 8000_0001.
pub fn flags(registers: [u32; 5]) -> impl Iterator<Item = &'static str> {
    registers.into_iter().zip(NAMES).flat_map(|(register, names)| {
        let is_set = move |bit: usize| register >> bit & 1 != 0;
        names.split(' ').enumerate().filter(move |(bit, name)| *name != "-" && is_set(*bit)).map(|(_, name)| name)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec::Vec;

    #[test]
    fn bits_have_their_names() {
        assert!(NAMES.iter().all(|names| names.split(' ').count() <= 32));
        let told: Vec<_> = flags([1 << 25, 1 << 28 | 1 << 31, 1 << 5, 1 << 29, 1]).collect();
        assert_eq!(told, ["sse", "avx", "hypervisor", "avx2", "lm", "lahf_lm"]);
    }
}
