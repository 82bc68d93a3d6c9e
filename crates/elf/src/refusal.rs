//! Why a file is no program that can be run here.

use crate::{ADDRESS_END, ADDRESS_MIN, PAGE_BYTES};
use core::fmt;

/// The cause, to stand behind "cannot run FILE: ". Numbers of segments count program headers, from 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal<'a> {
    /// Not the magic number of ELF.
    NotElf,
    /// `#!`.
    Script {
        /// What interprets it; empty when the line does not say.
        interpreter: &'a [u8],
    },
    /// The class is 32-bit: for i386, or x32.
    Is32Bit,
    /// The byte order is big-endian.
    BigEndian,
    /// Another processor.
    Machine(u16),
    /// Another system, by the ELF's ABI byte.
    System(u8),
    /// Class, byte order or version are none that there is.
    Identification,
    /// An object file that is yet to be linked.
    Relocatable,
    /// What a crash left.
    Core,
    /// A library: it has no entry.
    Library,
    /// No known type of file.
    Type(u16),
    /// The file ends before its headers do.
    Truncated,
    /// A program header that is not 56 bytes.
    HeaderBytes(u16),
    /// No program headers, or more than Linux takes.
    HeaderCount(u16),
    /// The interpreter's path is not in the file, too long, or without its end.
    Interpreter,
    /// No load segment.
    NoSegment,
    /// A segment's bytes lie outside the file.
    OutsideFile(u16),
    /// A segment has more bytes in the file than in memory.
    FileBytes(u16),
    /// A segment begins before the one before it has ended, or on its last page.
    Overlap(u16),
    /// A segment's offset and address differ within a page.
    Congruence(u16),
    /// A segment reaches where no program can be.
    Address(u16),
    /// An alignment that is no power of two, or beyond a GiB.
    Alignment(u16),
    /// The entry is not in an executable segment.
    Entry(u64),
}

impl fmt::Display for Refusal<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::NotElf => f.write_str("it is no ELF file"),
            Self::Script { interpreter: [] } => f.write_str("it is a script"),
            Self::Script { interpreter } => write!(f, "it is a script for {}", interpreter.escape_ascii()),
            Self::Is32Bit => f.write_str("it is a 32-bit program"),
            Self::BigEndian => f.write_str("it is for a big-endian processor"),
            Self::Machine(machine) => match machine_name(machine) {
                Some(name) => write!(f, "it is for {name}, not for x86-64"),
                None => write!(f, "it is for another processor (ELF machine {machine}), not for x86-64"),
            },
            Self::System(system) => match system_name(system) {
                Some(name) => write!(f, "it is for {name}, not for Linux"),
                None => write!(f, "it is for another system (ELF ABI {system}), not for Linux"),
            },
            Self::Identification => f.write_str("its ELF is damaged: no known class, byte order or version"),
            Self::Relocatable => f.write_str("it is an object file that is not linked yet"),
            Self::Core => f.write_str("it is a core dump"),
            Self::Library => f.write_str("it is a shared library: it has no entry"),
            Self::Type(kind) => write!(f, "it is no executable (ELF type {kind})"),
            Self::Truncated => f.write_str("it is cut short: its headers lie outside the file"),
            Self::HeaderBytes(bytes) => write!(f, "its ELF is damaged: program headers of {bytes} bytes"),
            Self::HeaderCount(count) => write!(f, "its ELF is damaged: {count} program headers"),
            Self::Interpreter => f.write_str("its ELF is damaged: the interpreter's path is none"),
            Self::NoSegment => f.write_str("it has nothing to load"),
            Self::OutsideFile(segment) => write!(f, "it is cut short: segment {segment} lies outside the file"),
            Self::FileBytes(segment) => {
                write!(f, "its ELF is damaged: segment {segment} has more bytes in the file than in memory")
            }
            Self::Overlap(segment) => {
                write!(
                    f,
                    "its ELF is damaged: segment {segment} does not lie behind the one before it, on pages of its own"
                )
            }
            Self::Congruence(segment) => {
                write!(f, "its segment {segment} cannot be mapped: offset and address differ modulo {PAGE_BYTES}")
            }
            Self::Address(segment) => {
                write!(f, "its segment {segment} is not between {ADDRESS_MIN:#x} and {ADDRESS_END:#x}")
            }
            Self::Alignment(segment) => write!(f, "its ELF is damaged: the alignment of segment {segment}"),
            Self::Entry(entry) => write!(f, "its entry {entry:#x} is in no executable segment"),
        }
    }
}

impl core::error::Error for Refusal<'_> {}

/// Processors that a user may meet (`e_machine`).
fn machine_name(machine: u16) -> Option<&'static str> {
    Some(match machine {
        3 | 6 => "i386",
        8 | 10 => "MIPS",
        20 | 21 => "PowerPC",
        22 => "S/390",
        40 => "32-bit ARM",
        183 => "AArch64",
        243 => "RISC-V",
        247 => "BPF",
        258 => "LoongArch",
        _ => return None,
    })
}

/// Systems whose programs say so (`EI_OSABI`).
fn system_name(system: u8) -> Option<&'static str> {
    Some(match system {
        1 => "HP-UX",
        2 => "NetBSD",
        6 => "Solaris",
        7 => "AIX",
        9 => "FreeBSD",
        12 => "OpenBSD",
        255 => "no system",
        _ => return None,
    })
}
