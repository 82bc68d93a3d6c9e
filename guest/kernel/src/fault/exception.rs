//! What a processor exception means, in words.

use core::fmt;

/// What was done to memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// A read.
    Read,
    /// A write.
    Write,
    /// An instruction fetch.
    Execute,
}

/// An exception of the processor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exception {
    /// Division by zero, or a quotient too large.
    DivideError,
    /// A debug trap.
    Debug,
    /// The non-maskable interrupt.
    NonMaskable,
    /// `int3`.
    Breakpoint,
    /// An instruction that does not exist, or `ud2`.
    InvalidOpcode,
    /// An exception while another was being delivered.
    DoubleFault,
    /// A privileged or malformed operation.
    GeneralProtection {
        /// The selector it is about, or 0.
        error: u64,
    },
    /// Memory that is not mapped, or not for this access.
    Page {
        /// The address that was used.
        address: usize,
        /// How.
        access: Access,
        /// The page is mapped, but does not allow the access.
        mapped: bool,
    },
    /// An unmasked x87 or SSE exception.
    FloatingPoint,
    /// An unaligned access where alignment is checked.
    Alignment,
    /// Broken hardware.
    MachineCheck,
    /// Any other vector.
    Other {
        /// Its number.
        vector: u64,
        /// Its error code, or 0.
        error: u64,
    },
}

impl fmt::Display for Exception {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match *self {
            Self::DivideError => "divide error",
            Self::Debug => "debug trap",
            Self::NonMaskable => "non-maskable interrupt",
            Self::Breakpoint => "breakpoint",
            Self::InvalidOpcode => "invalid instruction",
            Self::DoubleFault => "double fault",
            Self::GeneralProtection { error } => return write!(f, "general protection fault (error code {error:#x})"),
            Self::Page { address, access, mapped } => {
                let verb = match access {
                    Access::Read => "read of",
                    Access::Write => "write to",
                    Access::Execute => "execution of",
                };
                let why = match (mapped, access) {
                    _ if address < 0x1_0000 => ", near null",
                    (true, Access::Write) => ", which is read-only",
                    (true, Access::Execute) => ", which is not executable",
                    (true, Access::Read) => ", whose mapping is not valid",
                    _ => ", which is not mapped",
                };
                return write!(f, "{verb} {address:#x}{why}");
            }
            Self::FloatingPoint => "floating-point exception",
            Self::Alignment => "unaligned access",
            Self::MachineCheck => "machine check",
            Self::Other { vector, error } => return write!(f, "exception {vector} (error code {error:#x})"),
        })
    }
}
