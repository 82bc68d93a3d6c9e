//! The six-line virtual machine test.
//!
//! ```no_run
//! # use toro_tests::guest;
//! guest("two_threads").run().expect_status(0).expect_stdout("A\nB\n");
//! ```
//!
//! `guest` names a program of `tests/guests`, `example` one of `guest/examples`. A test says what is special
//! about its machine, runs it, and says what must have come of it; whatever is not as expected fails the test
//! with all that the guest has said.

pub mod bad_wire;
pub mod flood;
pub mod frames;
mod images;
mod linux_loader;
mod network;
mod programs;
mod run;
mod servers;
mod tamper;
mod tool;

use std::sync::atomic::{AtomicBool, Ordering};

pub use images::{example, guest};
pub use linux_loader::{LINUX_COMMAND_LINE, ZERO_PAGE};
pub use network::{Client, has_ipv6, on_private_network, on_private_network_with_queues, run, skip};
pub use programs::{Libc, Observed, Program, built, compare, compare_cases, empty_folder};
pub use run::{Run, Running, Spec};
pub use servers::{Listen, ask, ask_all, ask_more, compare_served};
pub use tamper::{Change, STUB_ADDRESS};
pub use tool::{Told, Tool};
pub use toro_vmm::{ConsoleDevice, MachineType, Network, Port};

/// Machine types that QEMU's own firmware starts as users would.
pub const MACHINES: [MachineType; 4] =
    [MachineType::Microvm, MachineType::MicrovmMinimal, MachineType::Q35, MachineType::Pc];

/// The same, and those with a firmware or a bus that few would choose.
pub const ALL_MACHINES: [MachineType; 7] = MachineType::ALL;

/// Longest wait for anything in a test: a busy host is slow, but what is lost never comes.
pub const LIMIT: std::time::Duration = std::time::Duration::from_secs(60);

/// Says that the test is over, however it ends.
pub(crate) struct End<'a>(pub(crate) &'a AtomicBool);

impl Drop for End<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}
