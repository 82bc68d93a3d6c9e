//! How the program ends.

use core::convert::Infallible;
use core::fmt;

/// The program's exit status, for `main` to return.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ExitCode(u8);

impl ExitCode {
    /// All went well: 0.
    pub const SUCCESS: Self = ExitCode(0);
    /// It did not: 1.
    pub const FAILURE: Self = ExitCode(1);

    pub(crate) fn as_status(self) -> i32 {
        i32::from(self.0)
    }

    /// Ends the program with this status.
    pub fn exit_process(self) -> ! {
        exit(self.as_status())
    }
}

impl From<u8> for ExitCode {
    fn from(status: u8) -> Self {
        ExitCode(status)
    }
}

/// What `main` may return.
pub trait Termination {
    /// The exit status it stands for.
    fn report(self) -> ExitCode;
}

impl Termination for () {
    fn report(self) -> ExitCode {
        ExitCode::SUCCESS
    }
}

impl Termination for ExitCode {
    fn report(self) -> ExitCode {
        self
    }
}

impl Termination for Infallible {
    fn report(self) -> ExitCode {
        match self {}
    }
}

impl<T: Termination, E: fmt::Debug> Termination for Result<T, E> {
    fn report(self) -> ExitCode {
        match self {
            Ok(value) => value.report(),
            Err(error) => {
                crate::eprintln!("Error: {error:?}");
                ExitCode::FAILURE
            }
        }
    }
}

/// Ends the program, and with it the machine, with `status`; the host sees its low eight bits.
///
/// Neither destructors nor other threads run any more.
pub fn exit(status: i32) -> ! {
    toro_kernel::fault::exit(status)
}

/// Ends the machine as a signal with this number ends a Linux program: the host's exit status is 128 more. `message` says what
/// happened, where.
pub fn end_by_signal(number: u8, message: fmt::Arguments<'_>) -> ! {
    toro_kernel::fault::end_by_signal(number, message)
}

/// Ends the machine because its memory is used up; `message` says what wanted some.
pub fn out_of_memory(message: fmt::Arguments<'_>) -> ! {
    toro_kernel::fault::out_of_memory(message)
}

/// Ends the program at once, with a report and the exit status of a panic (101).
#[track_caller]
pub fn abort() -> ! {
    panic!("the program aborted")
}
