//! The door to ring 3: a thread runs a program by it, and gets back what the program wants.
//!
//! The program's memory is `mm::program`'s, its registers are a [`Context`]. A thread that runs one may wait for anything
//! between two calls of [`run`], on its own stack. In ring 3 interrupts are on, and are reported: a device, another core or
//! the timer, for the caller to decide who goes on.

pub use crate::arch::cpu::{Processor, processor};
pub use crate::arch::user::{
    CLOCK_CODE_OFFSET, ClockCode, Context, Leaf, NotAnAddress, Registers, Rights, Snapshot, clock_code, clock_page,
    state_bytes, state_components,
};
pub use crate::mm::program::{END, MapError, Pages, START};
pub use crate::mm::shared_frame::SharedFrame;

use crate::arch::user::Arrival;
use crate::fault::Access;
use crate::sched;
use core::sync::atomic::{AtomicBool, Ordering::SeqCst};

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

/// The same, unless `stop` is true once this core listens: whoever sets it on another core, and then rings this one, is heard
/// before the program goes on, or interrupts it. `None`: it did not run.
#[inline(always)]
pub fn run_unless(context: &mut Context, stop: &AtomicBool) -> Option<Event> {
    sched::before_program();
    if stop.load(SeqCst) {
        return None;
    }
    Some(if context.enter() { Event::Syscall } else { event(context) })
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
