//! What went wrong, and how a machine ends: one report, one outcome, power off.
//!
//! A fault while the application runs (depth 0, `arch::depth`) is its thread's, and mostly ends no more than that ([`thread`]);
//! inside the kernel it is a defect of the kernel, and ends the machine. The last report takes over the console and the
//! scheduler, whatever they were in the middle of; a fault while reporting ends with the outcome alone, and one during that with
//! a reset: a report never recurses.

mod kind;
mod report;
mod thread;
mod value;

pub use crate::arch::Frame;
pub use kind::{Access, Kind};
pub use report::{Crash, ThreadState, report};
pub use thread::{Stats, at_end_of_thread, policy, raise, set_policy, stats};
pub use toro_abi::policy::Policy;
pub use value::{Fault, Registers, image_base};

use crate::arch::cores;
use crate::arch::{backtrace, depth, power, smp};
use crate::{console, log, sched, start};
use core::fmt::{self, Write};
use core::panic::PanicInfo;
use core::sync::atomic::Ordering::{Acquire, Relaxed, SeqCst};
use core::sync::atomic::{AtomicBool, AtomicU8};
use report::{Cause, Place};
use toro_abi::outcome::Kind as Outcome;
use value::Backtrace;

/// How far the machine is on its way out.
#[derive(Clone, Copy)]
#[repr(u8)]
enum Stage {
    Running,
    Reporting,
    /// The outcome is being said.
    Ending,
    /// It was said.
    Said,
}

static STAGE: AtomicU8 = AtomicU8::new(Stage::Running as u8);
/// The core that ends the machine, plus one; 0: none yet.
pub(crate) static ENDING: AtomicU8 = AtomicU8::new(0);
/// The first report was about the kernel.
static FIRST_IS_DEFECT: AtomicBool = AtomicBool::new(false);

/// Makes this core the one that ends the machine, and stops the others: what they do can no longer be told. Does not
/// return on a core that comes second.
#[inline(never)]
fn take_over() {
    let me = cores::current().index() as u8 + 1;
    match ENDING.compare_exchange(0, me, SeqCst, Acquire) {
        Ok(_) => console::hold(smp::stop_others),
        Err(first) if first == me => {}
        Err(_) => smp::stop_here(),
    }
}

/// Does another core end the machine?
pub(crate) fn is_ending_elsewhere() -> bool {
    let first = ENDING.load(SeqCst);
    first != 0 && first != cores::current().index() as u8 + 1
}

/// Ends the machine with the program's exit status.
pub fn exit(status: i32) -> ! {
    crate::power::tell_at_end();
    finish(Outcome::Exit { status }, format_args!(""))
}

/// Ends the machine because a signal ended its Linux program.
pub fn end_by_signal(number: u8, message: fmt::Arguments<'_>) -> ! {
    finish(Outcome::Signal { number }, message)
}

/// Ends the machine because its memory is used up.
pub fn out_of_memory(message: fmt::Arguments<'_>) -> ! {
    finish(Outcome::OutOfMemory, message)
}

/// Ends the machine because the host asked for it.
pub fn stop() -> ! {
    crate::power::tell_at_end();
    finish(Outcome::Stopped, format_args!(""))
}

/// Ends the machine because it cannot start.
pub fn refuse(reason: &dyn fmt::Display) -> ! {
    finish(Outcome::Boot, format_args!("{reason}"))
}

/// A panic of the application or of the kernel.
#[cold]
pub fn panic(info: &PanicInfo<'_>) -> ! {
    thread::panic(info);
    let is_defect = depth::get() > 0 || !thread::is_to_blame();
    let kind = if is_defect { Outcome::KernelDefect } else { Outcome::Panic };
    begin_report(kind);
    let current = sched::current();
    let (whose, place) = (if is_defect { "kernel defect: " } else { "" }, Place::here(&current));
    let (file, line, column) = info.location().map_or(("?", 0, 0), |at| (at.file(), at.line(), at.column()));
    // The place first: the message is formatted by code that may fail in its turn.
    report::head(format_args!("{whose}{place} panicked at {file}:{line}:{column}:"));
    report::detail(format_args!("{}", info.message()));
    report::backtrace(&Backtrace::new(None, backtrace::frame_pointer()));
    report::last_lines();
    if is_out_of_memory(info) {
        finish(Outcome::OutOfMemory, format_args!("out of memory at {file}:{line}: {}", info.message()));
    }
    finish(kind, format_args!("{whose}{place} panicked at {file}:{line}:{column}: {}", info.message()))
}

/// An exception of the processor.
#[cold]
pub(crate) fn exception(kind: Kind, frame: &Frame) -> ! {
    let kind = match kind {
        Kind::Page { address, .. } if sched::in_stack_guard(address) => Kind::StackOverflow { address },
        kind => kind,
    };
    thread::exception(kind, frame);
    // A stack that is full is its thread's doing, wherever the last straw fell; but no thread's doing is a double fault.
    let is_defect = match kind {
        Kind::StackOverflow { .. } => false,
        Kind::DoubleFault => true,
        _ => !thread::is_to_blame(),
    };
    let outcome = if is_defect { Outcome::KernelDefect } else { Outcome::Fault };
    begin_report(outcome);
    let current = sched::current();
    let cause = Cause { is_defect, kind, place: Place::here(&current) };
    report::head(format_args!("{cause}"));
    report::of_processor(kind, &frame.registers());
    report::backtrace(&Backtrace::new(Some(frame.instruction()), frame.frame_pointer()));
    report::last_lines();
    finish(outcome, format_args!("{cause}"))
}

/// Ends the machine by a fault of a thread that nobody catches.
fn end_machine(fault: &Fault) -> ! {
    let outcome = if matches!(fault.kind(), Kind::Panic | Kind::Raised) { Outcome::Panic } else { Outcome::Fault };
    begin_report(outcome);
    report::of_fault(fault);
    finish(outcome, format_args!("{fault}"))
}

/// Takes what a report needs. When this is not the first report, ends the machine as the first would have.
#[inline(never)]
fn begin_report(kind: Outcome) {
    take_over();
    if STAGE.load(Relaxed) != Stage::Running as u8 {
        let first = if FIRST_IS_DEFECT.load(Relaxed) { Outcome::KernelDefect } else { Outcome::Panic };
        finish(first, format_args!("failed again while reporting"));
    }
    STAGE.store(Stage::Reporting as u8, Relaxed);
    FIRST_IS_DEFECT.store(matches!(kind, Outcome::KernelDefect), Relaxed);
    depth::set(depth::get() + 1); // what goes wrong from here on is the kernel's
    console::seize();
    sched::seize();
    log::seize();
}

/// `memory allocation of N bytes failed`, by `alloc`'s handler for allocations that cannot fail.
fn is_out_of_memory(info: &PanicInfo<'_>) -> bool {
    let mut line = Line::new();
    let _longer_is_cut = write!(line, "{}", info.message());
    line.as_str().starts_with("memory allocation of ")
}

/// The one way out. Each step is tried once: what fails in one, a report's or its own doing, leads to the next.
fn finish(kind: Outcome, message: fmt::Arguments<'_>) -> ! {
    take_over();
    let stage = STAGE.load(Relaxed);
    if stage < Stage::Ending as u8 {
        STAGE.store(Stage::Ending as u8, Relaxed);
        console::outcome(kind, message);
        STAGE.store(Stage::Said as u8, Relaxed);
        power::off(start::boot_info());
    }
    if stage == Stage::Ending as u8 {
        STAGE.store(Stage::Said as u8, Relaxed);
        console::seize();
        console::outcome(kind, format_args!(""));
    }
    power::reset()
}

/// A short line on the stack; what does not fit is cut.
struct Line {
    bytes: [u8; 32],
    count: usize,
}

impl Line {
    const fn new() -> Self {
        Self { bytes: [0; 32], count: 0 }
    }

    fn as_str(&self) -> &str {
        core::str::from_utf8(&self.bytes[..self.count]).unwrap_or_default()
    }
}

impl Write for Line {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let room = self.bytes.len() - self.count;
        let mut kept = text.len().min(room);
        while !text.is_char_boundary(kept) {
            kept -= 1;
        }
        self.bytes[self.count..][..kept].copy_from_slice(&text.as_bytes()[..kept]);
        self.count += kept;
        if kept < text.len() { Err(fmt::Error) } else { Ok(()) }
    }
}

#[panic_handler]
fn panic_handler(info: &PanicInfo<'_>) -> ! {
    panic(info)
}
