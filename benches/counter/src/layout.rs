//! The mapped file: what the plugin writes and the reader reads. Every field is one 64-bit word.

use std::sync::atomic::{AtomicU64, Ordering};

/// First word of the file; its last digit is the version of this layout.
pub(crate) const MAGIC: u64 = u64::from_le_bytes(*b"TOROCNT1");
/// Markers recorded with their instruction count; later ones are only counted.
pub(crate) const MARKERS_MAX: usize = 16;
/// Addresses that `watch=` can name.
pub(crate) const WATCHES_MAX: usize = 8;
/// Devices told apart; accesses to further ones count in the totals alone.
pub(crate) const DEVICES_MAX: usize = 32;
/// Words of a device's name.
pub(crate) const NAME_WORDS: usize = 5;

macro_rules! counters {
    ($($(#[$doc:meta])+ $variant:ident = $name:literal,)+) => {
        /// One counter. `insn` is the sum of all instructions; the others are classes within it.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Counter { $($(#[$doc])+ $variant,)+ }

        impl Counter {
            /// All counters, in the order of the file.
            pub const ALL: &[Counter] = &[$(Counter::$variant,)+];

            /// Short name, as printed in reports.
            pub fn name(self) -> &'static str {
                match self { $(Counter::$variant => $name,)+ }
            }
        }
    };
}

counters! {
    /// Guest instructions executed. Each iteration of a `rep` string instruction counts, as TCG runs it.
    Instructions = "insn",
    /// Iterations of `rep` string instructions, which a processor counts as one instruction in all.
    RepIterations = "rep",
    /// `in` and `ins`.
    PortIn = "port_in",
    /// `out` and `outs`.
    PortOut = "port_out",
    /// `hlt`.
    Hlt = "hlt",
    /// `monitor` and `mwait`.
    Mwait = "mwait",
    /// `rdmsr`.
    Rdmsr = "rdmsr",
    /// `wrmsr`.
    Wrmsr = "wrmsr",
    /// `cpuid`.
    Cpuid = "cpuid",
    /// `mov` from or to a control register.
    MovCr = "mov_cr",
    /// `invlpg`.
    Invlpg = "invlpg",
    /// `iret`: about one for each interrupt and exception taken.
    Iret = "iret",
    /// `wbinvd` and `invd`.
    Wbinvd = "wbinvd",
    /// `rdtsc` and `rdtscp`.
    Rdtsc = "rdtsc",
    /// `pause`.
    Pause = "pause",
    /// `vmcall` and `vmmcall`.
    Vmcall = "vmcall",
    /// `syscall`.
    Syscall = "syscall",
    /// `cli` and `sti`.
    CliSti = "cli_sti",
    /// Loads from device memory, with `devices=on`.
    DeviceRead = "device_read",
    /// Stores to device memory, with `devices=on`.
    DeviceWrite = "device_write",
    /// Times that a virtual processor went to sleep on the host.
    Idle = "vcpu_idle",
    /// `out imm8, al` to the marker port.
    Markers = "markers",
}

/// The instruction count and host time when the guest came by.
#[repr(C)]
pub(crate) struct MarkerSlot {
    pub(crate) instructions: AtomicU64,
    pub(crate) host_ns: AtomicU64,
}

/// Accesses to one device.
#[repr(C)]
pub(crate) struct DeviceSlot {
    pub(crate) name: [AtomicU64; NAME_WORDS],
    pub(crate) reads: AtomicU64,
    pub(crate) writes: AtomicU64,
}

/// The whole file.
#[repr(C)]
pub(crate) struct Shared {
    pub(crate) magic: AtomicU64,
    pub(crate) counters: [AtomicU64; Counter::ALL.len()],
    pub(crate) markers: [MarkerSlot; MARKERS_MAX],
    /// The first arrival at each watched address; an instruction count of 0 is "never".
    pub(crate) watches: [MarkerSlot; WATCHES_MAX],
    pub(crate) devices_used: AtomicU64,
    pub(crate) devices: [DeviceSlot; DEVICES_MAX],
}

impl Shared {
    pub(crate) fn counter(&self, counter: Counter) -> &AtomicU64 {
        &self.counters[counter as usize]
    }
}

/// Stores `name`, cut to the words there are.
pub(crate) fn store_name(words: &[AtomicU64; NAME_WORDS], name: &[u8]) {
    let mut bytes = [0u8; NAME_WORDS * 8];
    let len = name.len().min(bytes.len());
    bytes[..len].copy_from_slice(&name[..len]);
    for (word, chunk) in words.iter().zip(bytes.chunks_exact(8)) {
        let mut raw = [0u8; 8];
        raw.copy_from_slice(chunk);
        word.store(u64::from_le_bytes(raw), Ordering::Relaxed);
    }
}

/// The name that `store_name` stored.
pub(crate) fn load_name(words: &[AtomicU64; NAME_WORDS]) -> String {
    let bytes: Vec<u8> = words
        .iter()
        .flat_map(|word| word.load(Ordering::Relaxed).to_le_bytes())
        .take_while(|&byte| byte != 0)
        .collect();
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_comes_back_cut_to_its_words() {
        let words = [const { AtomicU64::new(0) }; NAME_WORDS];
        store_name(&words, b"apic-msi");
        assert_eq!(load_name(&words), "apic-msi");
        store_name(&words, &[b'x'; 100]);
        assert_eq!(load_name(&words).len(), NAME_WORDS * 8);
    }

    #[test]
    fn counters_are_numbered_in_the_order_of_the_file() {
        for (index, counter) in Counter::ALL.iter().enumerate() {
            assert_eq!(*counter as usize, index);
        }
    }
}
