//! What is fuzzed: each target is a function of bytes that must neither panic nor break what it promises.
//!
//! The inputs worth keeping are in `corpus/<target>`; `cargo test` replays them all, on stable. To look for more, with
//! a nightly compiler: `fuzz/run virtqueue -max_total_time=60`.

mod abi;
mod acpi;
mod cores;
mod dns;
mod elf;
mod input;
mod module;
mod net;
mod pci;
mod stack;
mod virtqueue;
mod wire;

pub use input::Input;

/// A target's name, which is its folder in `corpus`, and what it does with bytes.
pub type Target = (&'static str, fn(&[u8]));

/// All targets.
pub const TARGETS: &[Target] = &[
    ("acpi", acpi::run),
    ("dns", dns::run),
    ("elf", elf::run),
    ("module", module::run),
    ("net", net::run),
    ("pci", pci::run),
    ("stack", stack::run),
    ("virtqueue", virtqueue::run),
    ("abi", abi::run),
    ("wire", wire::run),
];

/// The target of this name.
pub fn target(name: &str) -> Option<Target> {
    TARGETS.iter().copied().find(|(known, _)| *known == name)
}
