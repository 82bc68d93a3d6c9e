//! The outcome: how a guest ended, said once, and the exit status that follows from it.

use crate::percent;
use crate::record::field;
use alloc::string::String;
use core::fmt;

/// Exit statuses with a fixed meaning. Everything else is the application's own.
pub mod status {
    /// The application panicked.
    pub const PANIC: u8 = 101;
    /// A processor exception that nobody caught.
    pub const FAULT: u8 = 102;
    /// A defect of the kernel.
    pub const KERNEL_DEFECT: u8 = 103;
    /// Out of memory.
    pub const OUT_OF_MEMORY: u8 = 104;
    /// The time limit was reached.
    pub const TIMEOUT: u8 = 124;
    /// The tool or the VMM failed, or the guest ended without saying why.
    pub const TOOL: u8 = 125;
    /// The image cannot be run.
    pub const NOT_RUNNABLE: u8 = 126;
    /// There is no such application.
    pub const NOT_FOUND: u8 = 127;
    /// A signal ended the program: this and the signal's number, as shells have it.
    pub const SIGNAL: u8 = 128;
    /// Stopped by Ctrl-C.
    pub const INTERRUPTED: u8 = 130;
    /// Stopped by SIGTERM.
    pub const TERMINATED: u8 = 143;
}

/// How the guest ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// The application returned, or called exit.
    Exit {
        /// With this status, of which the host's exit status keeps the low 8 bits.
        status: i32,
    },
    /// The application panicked.
    Panic,
    /// A processor exception that nobody caught.
    Fault,
    /// A signal ended the Linux program.
    Signal {
        /// Its number.
        number: u8,
    },
    /// A defect of the kernel.
    KernelDefect,
    /// Out of memory.
    OutOfMemory,
    /// The machine or the command line does not allow to start.
    Boot,
    /// The host asked to stop.
    Stopped,
}

impl Kind {
    /// The name in a record.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Exit { .. } => "exit",
            Self::Panic => "panic",
            Self::Fault => "fault",
            Self::Signal { .. } => "signal",
            Self::KernelDefect => "kernel-defect",
            Self::OutOfMemory => "oom",
            Self::Boot => "boot",
            Self::Stopped => "stopped",
        }
    }

    /// The exit status of the tool.
    pub const fn status(self) -> u8 {
        match self {
            Self::Exit { status } => status as u8,
            Self::Panic => status::PANIC,
            Self::Fault => status::FAULT,
            Self::Signal { number } => status::SIGNAL + number,
            Self::KernelDefect => status::KERNEL_DEFECT,
            Self::OutOfMemory => status::OUT_OF_MEMORY,
            Self::Boot => status::TOOL,
            Self::Stopped => status::INTERRUPTED,
        }
    }
}

/// Writes the record line without its end; an empty message is left out. Needs no heap, so a guest out of memory can.
pub fn write(out: &mut impl fmt::Write, kind: Kind, message: fmt::Arguments<'_>) -> fmt::Result {
    write!(out, "kind={}", kind.name())?;
    match kind {
        Kind::Exit { status } => write!(out, " status={status}")?,
        Kind::Signal { number } => write!(out, " number={number}")?,
        _ => {}
    }
    if message.as_str() != Some("") {
        out.write_str(" message=")?;
        fmt::Write::write_fmt(&mut percent::Writer(out), message)?;
    }
    Ok(())
}

/// An outcome as the host reads it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// How the guest ended.
    pub kind: Kind,
    /// What it had to say about it; may be empty.
    pub message: String,
}

impl Outcome {
    /// Reads a record line.
    pub fn parse(line: &str) -> Option<Self> {
        let kind = match field(line, "kind")?.encoded() {
            "exit" => Kind::Exit { status: field(line, "status")?.encoded().parse().ok()? },
            "panic" => Kind::Panic,
            "fault" => Kind::Fault,
            "signal" => {
                let number = field(line, "number")?.encoded().parse().ok()?;
                (number < status::SIGNAL).then_some(Kind::Signal { number })?
            }
            "kernel-defect" => Kind::KernelDefect,
            "oom" => Kind::OutOfMemory,
            "boot" => Kind::Boot,
            "stopped" => Kind::Stopped,
            _ => return None,
        };
        let message = field(line, "message").map(percent::Value::to_text).unwrap_or_default();
        Some(Self { kind, message })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: [Kind; 9] = [
        Kind::Exit { status: 0 },
        Kind::Exit { status: -1 },
        Kind::Panic,
        Kind::Fault,
        Kind::Signal { number: 11 },
        Kind::KernelDefect,
        Kind::OutOfMemory,
        Kind::Boot,
        Kind::Stopped,
    ];

    #[test]
    fn every_outcome_is_read_as_it_was_written() {
        for kind in ALL {
            for message in ["", "index 3 of 2,\n at main.rs:7 = bad"] {
                let mut line = String::new();
                write(&mut line, kind, format_args!("{message}")).unwrap();
                assert!(!line.contains('\n'));
                assert_eq!(Outcome::parse(&line), Some(Outcome { kind, message: message.into() }), "{line}");
            }
        }
    }

    #[test]
    fn statuses_are_those_of_the_document() {
        let statuses: alloc::vec::Vec<u8> = ALL.iter().map(|kind| kind.status()).collect();
        assert_eq!(statuses, [0, 255, 101, 102, 139, 103, 104, 125, 130]);
    }

    #[test]
    fn what_says_nothing_is_no_outcome() {
        for line in ["", "kind=", "kind=exit", "kind=exit status=x", "kind=signal number=200", "kind=later"] {
            assert_eq!(Outcome::parse(line), None, "{line}");
        }
    }
}
