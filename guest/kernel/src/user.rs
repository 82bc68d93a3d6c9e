//! The door to ring 3: a thread runs a program by it, and gets back what the program wants.
//!
//! The program's memory is `mm::program`'s, its registers are a [`Context`]. A thread that runs one may wait for anything
//! between two calls of [`run`], on its own stack. In ring 3 interrupts are on, and are reported: a device, another core or
//! the timer, for the caller to decide who goes on.

pub use crate::arch::user::{Context, Leaf, NotAnAddress, Registers, Rights, Snapshot, state_bytes};
pub use crate::mm::program::{END, MapError, Pages, START};

use crate::arch::user::Arrival;
use crate::fault::Access;
use crate::sched;

/// Why a program came back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// It executed `syscall`: the registers say what for.
    Syscall,
    /// It did what it may not; the instruction was not executed.
    Fault(Fault),
    /// Something else wants the core. The devices are looked at when this thread yields, or runs the program again.
    Interrupt,
}

/// What a program did that it may not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fault {
    /// The processor's number of it.
    pub vector: u8,
    /// The processor's error code, or 0.
    pub error: u64,
    /// What it wanted to reach, if this is a page fault (vector 14).
    pub address: usize,
}

impl Fault {
    /// The vector of page faults.
    pub const PAGE: u8 = 14;

    /// How it wanted to reach it, if this is a page fault.
    #[must_use]
    pub fn access(&self) -> Option<Access> {
        (self.vector == Self::PAGE).then_some(match self.error {
            error if error & 1 << 4 != 0 => Access::Execute,
            error if error & 1 << 1 != 0 => Access::Write,
            _ => Access::Read,
        })
    }
}

/// Runs the program until it comes back.
#[inline(always)] // where it is called in a loop, as it is, that saves a tenth of a call
pub fn run(context: &mut Context) -> Event {
    sched::before_program();
    if context.enter() { Event::Syscall } else { event(context) }
}

#[inline(never)]
fn event(context: &mut Context) -> Event {
    match context.arrival() {
        Arrival::Exception { vector, error, address } => Event::Fault(Fault { vector, error, address }),
        Arrival::Interrupt => {
            sched::interrupted();
            Event::Interrupt
        }
    }
}

pub use crate::sched::{interrupt_program_after, others_are_ready};
