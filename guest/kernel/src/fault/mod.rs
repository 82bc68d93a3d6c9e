//! How a machine ends: one report, one outcome, power off.
//!
//! A fault while the application runs (depth 0, `arch::depth`) is the application's; inside the kernel it is
//! a defect of the kernel. A report takes over the console and the scheduler, whatever they were in the middle of;
//! a fault while reporting ends with the outcome alone, and one during that with a reset: a report never recurses.

mod exception;

pub use exception::{Access, Exception};

use crate::arch::cores;
use crate::arch::{backtrace, depth, paging, power, smp};
use crate::{console, sched, start};
use core::fmt::{self, Write};
use core::panic::PanicInfo;
use core::sync::atomic::Ordering::{Acquire, Relaxed, SeqCst};
use core::sync::atomic::{AtomicBool, AtomicU8};
use toro_abi::outcome::Kind;

/// Frames of a backtrace that are printed.
const FRAMES_MAX: usize = 32;

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

/// " on core N", where there are several.
struct Place;

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if cores::count() == 1 { Ok(()) } else { write!(f, " on core {}", cores::current()) }
    }
}

/// Ends the machine with the program's exit status.
pub fn exit(status: i32) -> ! {
    finish(Kind::Exit { status }, format_args!(""))
}

/// Ends the machine because the host asked for it.
pub fn stop() -> ! {
    finish(Kind::Stopped, format_args!(""))
}

/// Ends the machine because it cannot start.
pub fn refuse(reason: &dyn fmt::Display) -> ! {
    finish(Kind::Boot, format_args!("{reason}"))
}

/// Ends the machine: a panic of the application or of the kernel.
#[cold]
pub fn panic(info: &PanicInfo<'_>) -> ! {
    let (kind, whose) =
        if depth::get() > 0 { (Kind::KernelDefect, "the kernel panicked") } else { (Kind::Panic, "panicked") };
    begin_report(kind);
    let place = info.location().map_or(("?", 0, 0), |place| (place.file(), place.line(), place.column()));
    let (file, line, column) = place;
    let thread = sched::current_name();
    let thread = thread.as_deref().unwrap_or(nameless());
    // The place first: the message is formatted by code that may fail in its turn.
    console::kernel_line(format_args!("thread '{thread}'{Place} {whose} at {file}:{line}:{column}:"));
    console::kernel_line(format_args!("{}", info.message()));
    print_backtrace(None, backtrace::frame_pointer());
    if is_out_of_memory(info) {
        finish(Kind::OutOfMemory, format_args!("out of memory at {file}:{line}: {}", info.message()));
    }
    finish(kind, format_args!("{whose}{Place} at {file}:{line}: {}", info.message()))
}

/// Ends the machine: an exception of the processor.
#[cold]
pub(crate) fn exception(exception: Exception, frame: &Frame) -> ! {
    let inside = depth::get() > 0;
    begin_report(if inside { Kind::KernelDefect } else { Kind::Fault });
    let thread = sched::current_name();
    let thread = thread.as_deref().unwrap_or(nameless());
    let overflow = matches!(exception, Exception::Page { address, .. } if sched::in_stack_guard(address));
    // A stack that is full is its thread's doing, wherever the last straw fell.
    let (kind, whose) = if inside && !overflow { (Kind::KernelDefect, "kernel defect: ") } else { (Kind::Fault, "") };
    let guard = if overflow { " (the thread's stack is full)" } else { "" };
    console::kernel_line(format_args!("{whose}{exception}{guard} in thread '{thread}'{Place}"));
    let mut registers = frame.registers().into_iter();
    while let Some((name, value)) = registers.next() {
        let mut line = Line::new();
        let _fits = write!(line, "  {name:>6} {value:#018x}");
        for (name, value) in registers.by_ref().take(2) {
            let _fits = write!(line, "  {name:>6} {value:#018x}");
        }
        console::kernel_line(format_args!("{}", line.as_str()));
    }
    print_backtrace(Some(frame.instruction()), frame.frame_pointer());
    finish(kind, format_args!("{whose}{exception}{guard} in thread '{thread}'{Place}"))
}

pub use crate::arch::Frame;

fn nameless() -> &'static str {
    if sched::is_running() { "unnamed" } else { "boot" }
}

/// Takes what a report needs. When this is not the first report, ends the machine as the first would have.
#[inline(never)]
fn begin_report(kind: Kind) {
    take_over();
    if STAGE.load(Relaxed) != Stage::Running as u8 {
        let first = if FIRST_IS_DEFECT.load(Relaxed) { Kind::KernelDefect } else { Kind::Panic };
        finish(first, format_args!("failed again while reporting"));
    }
    STAGE.store(Stage::Reporting as u8, Relaxed);
    FIRST_IS_DEFECT.store(matches!(kind, Kind::KernelDefect), Relaxed);
    depth::set(depth::get() + 1); // what goes wrong from here on is the kernel's
    console::seize();
    sched::seize();
}

/// `memory allocation of N bytes failed`, by `alloc`'s handler for allocations that cannot fail.
fn is_out_of_memory(info: &PanicInfo<'_>) -> bool {
    let mut line = Line::new();
    let _longer_is_cut = write!(line, "{}", info.message());
    line.as_str().starts_with("memory allocation of ")
}

fn print_backtrace(instruction: Option<usize>, frame_pointer: usize) {
    let image = paging::image();
    console::kernel_line(format_args!("image base {:#x}", paging::image_base()));
    let returns = backtrace::from(frame_pointer).map(|address| address.wrapping_sub(1));
    for (number, address) in instruction.into_iter().chain(returns).take(FRAMES_MAX).enumerate() {
        let in_image = (address as u64).wrapping_sub(paging::image_base());
        if (image.start..image.end).contains(&in_image) {
            console::kernel_line(format_args!("  #{number} image+{in_image:#x}"));
        } else {
            console::kernel_line(format_args!("  #{number} {address:#x}"));
        }
    }
}

/// The one way out. Each step is tried once: what fails in one, a report's or its own doing, leads to the next.
fn finish(kind: Kind, message: fmt::Arguments<'_>) -> ! {
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
    bytes: [u8; 120],
    count: usize,
}

impl Line {
    const fn new() -> Self {
        Self { bytes: [0; 120], count: 0 }
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
