//! The Toro kernel: a library that turns one application into one microVM.
//!
//! 1. **Dedicated.** One application, one address space. What it does not use is not there.
//! 2. **A core owns what it uses.** State is per core, reached without locks.
//! 3. **Ring 0 runs with interrupts off.** They are on in the sleep of idle alone; an interrupt means
//!    "look", and everything is found by polling.
//! 4. **Nothing ticks.** One one-shot timer, for the next real deadline.
//! 5. **A fault belongs to a thread**; inside the kernel it is a defect, and ends the machine with a report.
//! 6. **Decide at run time.** One image for every VMM, protocol and transport.
//! 7. **Boot does only what is needed to answer.** Its cost does not grow with RAM or absent devices.
//! 8. **Never pretend.** What is not supported says so.
//!
//! The modules, in boot order; arrows point up this list only, but for the hooks that `start` hands out.

#![no_std]

extern crate alloc;

pub mod acpi;
pub mod arch;
pub mod boot;
pub mod console;
pub mod drivers;
pub mod fault;
pub mod log;
pub mod mm;
pub mod net;
pub mod power;
mod processors;
pub mod random;
pub mod sched;
pub mod start;
pub mod sync;
pub mod time;
pub mod user;
