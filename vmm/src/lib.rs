//! Starts a Toro guest in a virtual machine and watches it: the tool, the tests and the benchmarks all use this library.
//!
//! ```no_run
//! use std::time::Duration;
//! use toro_vmm::{Image, Machine, Package, Profile};
//!
//! # fn main() -> Result<(), toro_vmm::Error> {
//! let image = Package::open("guest/examples/hello")?.build(Profile::Release)?;
//! let guest = Machine::new(image).memory(16 << 20).start()?;
//! let exit = guest.wait(Duration::from_secs(60));
//! assert_eq!((exit.status(), exit.stdout_text().as_str()), (0, "Hello\n"));
//! # Ok(())
//! # }
//! ```
//!
//! In reading order: [`machine`] says what is wanted, in no VMM's words; [`qemu`] says it to QEMU; [`guest`] is
//! the handle of what runs; [`transcript`] is all that the guest has said so far; [`outcome`] is how it ended. [`image`] builds what is booted.

mod addresses;
mod addresses6;
mod backtrace;
mod cache;
mod cards;
mod check;
mod child;
mod console;
mod core_file;
pub mod elf;
mod error;
pub mod files;
pub mod guest;
mod hurry;
pub mod image;
mod input;
pub mod linux;
pub mod machine;
mod memory_file;
pub mod outcome;
pub mod ports;
pub mod probe;
pub mod qemu;
pub mod qmp;
mod random;
pub mod report;
mod start;
pub mod symbolize;
mod thread_state;
pub mod transcript;
mod tsc;
mod unwind;
pub mod usage;

pub use cards::NetworkCard;
pub use child::Cancel;
pub use console::{Sink, Sinks};
pub use error::Error;
pub use files::Files;
pub use guest::{Guest, Unmet};
pub use hurry::Hurry;
pub use image::{Image, Package, Profile};
pub use machine::{Accelerator, ConsoleDevice, Machine, MachineType, Module, Network};
pub use memory_file::MemoryFile;
pub use outcome::{Ending, Exit};
pub use ports::Port;
pub use report::Report;
pub use symbolize::Of;
pub use toro_abi as abi;
pub use toro_abi::power::Mode;
pub use toro_abi::sockets::Socket;
pub use toro_abi::stats::Stat;
pub use transcript::{NetworkState, Transcript};
