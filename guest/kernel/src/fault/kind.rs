//! What went wrong, in words.

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

/// What went wrong: an exception of the processor, a panic, or a value that the program raised.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Kind {
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
    /// An address of the stack that is no address.
    StackSegment {
        /// The selector it is about, or 0.
        error: u64,
    },
    /// A privileged or malformed operation, or an address that is no address.
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
    /// The thread has used up its stack.
    StackOverflow {
        /// The address that was used, below the stack.
        address: usize,
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
    /// The program panicked.
    Panic,
    /// The program raised a value.
    Raised,
}

impl Kind {
    /// Whether a thread can have caused it, and can end by it while others go on. What strikes a core is the machine's.
    pub(super) fn is_of_a_thread(self) -> bool {
        !matches!(self, Self::NonMaskable | Self::DoubleFault | Self::MachineCheck)
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match *self {
            Self::DivideError => "divide error",
            Self::Debug => "debug trap",
            Self::NonMaskable => "non-maskable interrupt",
            Self::Breakpoint => "breakpoint",
            Self::InvalidOpcode => "invalid instruction",
            Self::DoubleFault => "double fault",
            Self::StackSegment { error } => return write!(f, "stack segment fault (error code {error:#x})"),
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
            Self::StackOverflow { address } => {
                return write!(f, "stack overflow at {address:#x}: the thread's stack is full");
            }
            Self::FloatingPoint => "floating-point exception",
            Self::Alignment => "unaligned access",
            Self::MachineCheck => "machine check",
            Self::Other { vector, error } => return write!(f, "exception {vector} (error code {error:#x})"),
            Self::Panic => "panic",
            Self::Raised => "a value was raised",
        })
    }
}
