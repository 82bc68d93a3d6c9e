//! A report: what went wrong in words, the registers, the code, the memory that was meant, the way there, and the last lines of
//! the log. One form for faults, defects of the kernel, panics and programs in ring 3.
//!
//! Its first line begins at the margin, the others are set in. The host reads it, too (`docs/guest-interface.md`), and adds
//! function, file and line: it has the ELF.

use super::Kind;
use super::value::{Backtrace, Fault, Registers};
use crate::arch::cores::{self, CoreId};
use crate::arch::{SpinLock, paging};
use crate::sched::ThreadHandle;
use crate::{console, log};
use core::fmt::{self, Write};
use toro_abi::{stack, thread_state};

/// Bytes of code that are shown before the instruction, and from it on.
const CODE_BEFORE: usize = 16;
const CODE_AFTER: usize = 16;

/// Of a crashed program's other threads so many are shown.
const THREADS_SHOWN: usize = 32;

/// One report at a time, where several cores have one to make and go on.
static WHOLE: SpinLock<()> = SpinLock::new(());

/// Which thread, and on which core where there are several: `thread 3 'worker' on core 1`.
pub(super) struct Place<'a> {
    pub(super) thread: Option<&'a ThreadHandle>,
    pub(super) core: CoreId,
}

impl<'a> Place<'a> {
    pub(super) fn here(thread: &'a Option<ThreadHandle>) -> Self {
        Place { thread: thread.as_ref(), core: cores::current() }
    }
}

impl fmt::Display for Place<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.thread {
            Some(thread) => {
                write!(f, "thread {}", thread.id().as_u64())?;
                thread.name().map_or(Ok(()), |name| write!(f, " '{name}'"))?;
            }
            None => f.write_str("the kernel itself")?,
        }
        if cores::count() == 1 { Ok(()) } else { write!(f, " on core {}", self.core) }
    }
}

/// Why the machine ends: `kernel defect: read of 0x8, near null, in thread 3 'worker' on core 1`.
pub(super) struct Cause<'a> {
    pub(super) is_defect: bool,
    pub(super) kind: Kind,
    pub(super) place: Place<'a>,
}

impl fmt::Display for Cause<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let whose = if self.is_defect { "kernel defect: " } else { "" };
        write!(f, "{whose}{}, in {}", self.kind, self.place)
    }
}

/// The first line.
pub(super) fn head(cause: fmt::Arguments<'_>) {
    console::kernel_line(format_args!("{}", SetIn(cause)));
}

/// A line of a report, or several.
pub(super) fn detail(line: fmt::Arguments<'_>) {
    console::kernel_line(format_args!("  {}", SetIn(line)));
}

/// Text whose further lines are set in: a message may have several.
struct SetIn<'a>(fmt::Arguments<'a>);

impl fmt::Display for SetIn<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        struct Lines<'a, 'b>(&'a mut fmt::Formatter<'b>);
        impl Write for Lines<'_, '_> {
            fn write_str(&mut self, text: &str) -> fmt::Result {
                text.split_inclusive('\n').try_for_each(|piece| {
                    self.0.write_str(piece)?;
                    if piece.ends_with('\n') { self.0.write_str("  ") } else { Ok(()) }
                })
            }
        }
        Lines(f).write_fmt(self.0)
    }
}

/// The registers, three in a line.
pub(super) fn registers(registers: &Registers) {
    console::kernel_line(format_args!(" {}", Table(registers)));
}

struct Table<'a>(&'a Registers);

impl fmt::Display for Table<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, (name, value)) in self.0.named().enumerate() {
            f.write_str(if at > 0 && at % 3 == 0 { "\n  " } else { " " })?;
            write!(f, "{name:>6} {value:#018x}")?;
        }
        Ok(())
    }
}

/// What the processor read there, the instruction's first byte in brackets.
fn code(instruction: usize, byte: impl Fn(usize) -> Option<u8>) {
    console::kernel_line(format_args!("  code{}", Code { instruction, byte }));
}

struct Code<F> {
    instruction: usize,
    byte: F,
}

impl<F: Fn(usize) -> Option<u8>> fmt::Display for Code<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for at in 0..CODE_BEFORE + CODE_AFTER {
            match (self.byte)(self.instruction.wrapping_add(at).wrapping_sub(CODE_BEFORE)) {
                Some(byte) if at == CODE_BEFORE => write!(f, " <{byte:02x}>")?,
                Some(byte) => write!(f, " {byte:02x}")?,
                None if at == CODE_BEFORE => return f.write_str(" which cannot be read"),
                None => {}
            }
        }
        Ok(())
    }
}

/// What an exception of the processor has beside its cause: registers, code, and the memory that was meant.
pub(super) fn of_processor(kind: Kind, values: &Registers) {
    registers(values);
    code(values.rip as usize, paging::byte);
    match kind {
        Kind::StackOverflow { address } => {
            detail(format_args!("address {address:#x}: the guard page below the thread's stack"))
        }
        Kind::Page { address, .. } => detail(format_args!("address {address:#x}: {}", paging::place(address))),
        _ => {}
    }
}

/// Where the image is, and the calls.
pub(super) fn backtrace(backtrace: &Backtrace) {
    let image = paging::image();
    console::kernel_line(format_args!("  image base {:#x}", paging::image_base()));
    for (number, address) in backtrace.addresses().iter().enumerate() {
        let in_image = (*address as u64).wrapping_sub(paging::image_base());
        if (image.start..image.end).contains(&in_image) {
            console::kernel_line(format_args!("  #{number} image+{in_image:#x}"));
        } else {
            console::kernel_line(format_args!("  #{number} {address:#x}"));
        }
    }
}

/// The last lines of the log.
pub(super) fn last_lines() {
    log::with_last_lines(|lines| lines.for_each(|line| detail(format_args!("log: {line}"))));
}

/// All of it, about a fault that nobody catches.
#[cold]
pub(super) fn of_fault(fault: &Fault) {
    head(format_args!("{fault}"));
    if let Some(values) = fault.registers() {
        of_processor(fault.kind(), values);
    }
    backtrace(fault.calls());
    last_lines();
}

/// The same, while others may have a report to make.
#[cold]
pub(super) fn of_thread(fault: &Fault) {
    WHOLE.with(|()| of_fault(fault));
}

/// A program in ring 3 that ends by what it did, or by what was sent to it.
#[derive(Clone, Copy, Debug)]
pub struct Crash<'a> {
    /// What happened, in words, and in which thread.
    pub cause: fmt::Arguments<'a>,
    /// The thread's registers.
    pub registers: &'a Registers,
    /// The bytes before and from its instruction on, as far as they can be read: from 16 bytes before.
    pub code: &'a [Option<u8>],
    /// The address that was meant, and what is there.
    pub address: Option<(usize, &'a str)>,
    /// What is added to an address of the program's file.
    pub base: usize,
    /// Its stack from the stack pointer on, as much as may help the host to find the calls.
    pub stack: &'a [u8],
    /// Its calls, from the innermost outward, and whether that is sure: it may have been found by looking through the stack.
    pub calls: &'a [(usize, bool)],
    /// The program's threads that could be asked, the crashed one first.
    pub threads: &'a [ThreadState<'a>],
}

/// A thread of a crashed program, where it was stopped.
#[derive(Clone, Copy, Debug)]
pub struct ThreadState<'a> {
    /// Its number.
    pub number: u32,
    /// Its name.
    pub name: &'a str,
    /// Its next instruction.
    pub instruction: usize,
    /// All of its registers, as `toro_abi::thread_state` has them.
    pub state: &'a [u8],
}

/// Tells of a program's end.
#[cold]
pub fn report(crash: &Crash<'_>) {
    WHOLE.with(|()| {
        head(crash.cause);
        registers(crash.registers);
        let rip = crash.registers.rip as usize;
        code(rip, |address| crash.code.get(address.wrapping_sub(rip).wrapping_add(CODE_BEFORE)).copied().flatten());
        if let Some((address, place)) = crash.address {
            detail(format_args!("address {address:#x}: {place}"));
        }
        let pieces = crash.stack.chunks(stack::BYTES_MAX);
        for (at, bytes) in (crash.registers.rsp..).step_by(stack::BYTES_MAX).zip(pieces) {
            console::stack(&stack::Piece { at, bytes });
        }
        for thread in crash.threads {
            let pieces = thread.state.chunks(thread_state::BYTES_MAX);
            for (offset, bytes) in (0..).step_by(thread_state::BYTES_MAX).zip(pieces) {
                console::thread_state(&thread_state::Piece { thread: thread.number, offset, bytes });
            }
        }
        detail(format_args!("program base {:#x}", crash.base));
        for (number, (address, is_sure)) in crash.calls.iter().enumerate() {
            let mark = if *is_sure { "" } else { " ?" };
            detail(format_args!("#{number} program+{:#x}{mark}", address.wrapping_sub(crash.base)));
        }
        for ThreadState { number, name, instruction, .. } in crash.threads.iter().skip(1).take(THREADS_SHOWN) {
            let place = instruction.wrapping_sub(crash.base);
            detail(format_args!("thread {number} '{name}' at program+{place:#x}"));
        }
        last_lines();
    });
}
