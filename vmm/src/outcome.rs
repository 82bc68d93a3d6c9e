//! How a run ended: what the guest said, or what can be said in its place.

use crate::error::Error;
use crate::report::Report;
use toro_abi::outcome::{Kind, Outcome, status};

/// How a run ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ending {
    /// The guest said it.
    Said(Outcome),
    /// The machine went off without a word.
    Silent {
        /// What the VMM knows about it.
        reason: String,
    },
    /// The VMM failed.
    VmmFailed {
        /// Its last words.
        reason: String,
    },
    /// The guest speaks another version of the guest interface.
    Foreign {
        /// Which.
        version: u32,
    },
    /// The time limit was reached; the caller's `backtrace` says where the guest was.
    TimedOut,
    /// The caller ended it.
    Killed,
}

/// A run that has ended.
#[derive(Clone, Debug)]
pub struct Exit {
    /// How.
    pub ending: Ending,
    /// The program's standard output, where it was kept.
    pub stdout: Vec<u8>,
    /// The program's standard error, where it was kept.
    pub stderr: Vec<u8>,
    /// Kernel log and reports, where they were kept.
    pub log: Vec<u8>,
    /// Reports of what went wrong, read; they stand in the log, too.
    pub reports: Vec<Report>,
    /// What came of writing a core; `None` when there was none to write.
    pub core: Option<Result<(), Error>>,
    /// The VMM's own messages.
    pub vmm_messages: String,
    /// Where each processor was when a guest was ended that did not end by itself; empty otherwise.
    pub backtrace: String,
}

impl Exit {
    /// The exit status of the tool.
    pub fn status(&self) -> u8 {
        match &self.ending {
            Ending::Said(outcome) => outcome.kind.status(),
            Ending::Silent { .. } | Ending::VmmFailed { .. } | Ending::Foreign { .. } => status::TOOL,
            Ending::TimedOut => status::TIMEOUT,
            Ending::Killed => status::INTERRUPTED,
        }
    }

    /// What the guest said; `None` when it said nothing.
    pub fn outcome(&self) -> Option<&Outcome> {
        match &self.ending {
            Ending::Said(outcome) => Some(outcome),
            _ => None,
        }
    }

    /// A word for how it ended, as in the status file.
    pub fn kind(&self) -> &'static str {
        match &self.ending {
            Ending::Said(outcome) => outcome.kind.name(),
            Ending::Silent { .. } => "silent",
            Ending::VmmFailed { .. } => "vmm",
            Ending::Foreign { .. } => "version",
            Ending::TimedOut => "timeout",
            Ending::Killed => "killed",
        }
    }

    /// What to tell the user: `None` for an application that exited, or was stopped.
    pub fn error(&self) -> Option<Error> {
        let message = self.outcome().map_or("", |outcome| &outcome.message);
        self.describe(message)
    }

    /// The same for a user who has just read the guest's report, which says the rest.
    pub fn error_after_report(&self) -> Option<Error> {
        match self.outcome() {
            Some(Outcome { kind: Kind::Panic | Kind::Fault | Kind::KernelDefect | Kind::OutOfMemory, .. }) => {
                self.describe("")
            }
            // `SIGSEGV: read of ..` stands there already.
            Some(Outcome { kind: Kind::Signal { .. }, message }) => {
                self.describe(message.split([':', ',']).next().unwrap_or_default())
            }
            _ => self.error(),
        }
    }

    fn describe(&self, message: &str) -> Option<Error> {
        let error = match &self.ending {
            Ending::Said(Outcome { kind: Kind::Exit { .. } | Kind::Stopped, .. }) | Ending::Killed => return None,
            Ending::Said(outcome) => {
                let what = match outcome.kind {
                    Kind::Panic => "the application panicked",
                    Kind::Fault => "the application faulted",
                    Kind::Signal { .. } => "the program was ended by a signal",
                    Kind::KernelDefect => "the kernel has a defect",
                    Kind::OutOfMemory => "the guest is out of memory",
                    _ => "the guest cannot start",
                };
                Error::new(if message.is_empty() { what.into() } else { format!("{what}: {message}") })
            }
            Ending::Silent { reason } => Error::new(format!("the guest ended without saying why: {reason}")),
            Ending::VmmFailed { reason } => Error::new(format!("the VMM failed: {reason}")),
            Ending::Foreign { version } => Error::new(format!(
                "the guest speaks version {version} of the guest interface, and this program version {}",
                toro_abi::VERSION
            )),
            Ending::TimedOut => Error::new("the guest did not end in time"),
        };
        let error = match &self.ending {
            Ending::Said(Outcome { kind: Kind::OutOfMemory, .. }) => error.help("give it more with -m"),
            Ending::Foreign { .. } => error.help("build the image and this program from the same version of Toro"),
            Ending::VmmFailed { reason } if reason.contains("KVM") => error.help("use --accel tcg (slower)"),
            _ => error,
        };
        Some(error.with_status(self.status()))
    }

    /// Whether QEMU gave up recording frames, as on a full disk.
    pub fn lost_frames(&self) -> bool {
        self.vmm_messages.contains("network dump write error")
    }

    /// Standard output as text.
    pub fn stdout_text(&self) -> String {
        String::from_utf8_lossy(&self.stdout).into_owned()
    }

    /// Standard error as text.
    pub fn stderr_text(&self) -> String {
        String::from_utf8_lossy(&self.stderr).into_owned()
    }

    /// Kernel log and reports as text.
    pub fn log_text(&self) -> String {
        String::from_utf8_lossy(&self.log).into_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn exit(ending: Ending) -> Exit {
        Exit {
            ending,
            stdout: Vec::new(),
            stderr: Vec::new(),
            log: Vec::new(),
            reports: Vec::new(),
            core: None,
            vmm_messages: String::new(),
            backtrace: String::new(),
        }
    }

    #[test]
    fn what_the_guest_said_becomes_the_status() {
        let said = |kind| exit(Ending::Said(Outcome { kind, message: "why".into() }));
        assert_eq!(said(Kind::Exit { status: 3 }).status(), 3);
        assert_eq!(said(Kind::Exit { status: 3 }).error(), None);
        let error = said(Kind::OutOfMemory).error().unwrap();
        assert_eq!((error.status(), error.message()), (104, "the guest is out of memory: why"));
        assert!(error.cure().is_some());
    }

    #[test]
    fn silence_is_never_success() {
        let silent = exit(Ending::Silent { reason: "guest-reset".into() });
        assert_eq!((silent.status(), silent.kind()), (125, "silent"));
        assert!(silent.error().unwrap().message().contains("without saying why"));
        assert_eq!(exit(Ending::TimedOut).status(), 124);
        let foreign = exit(Ending::Foreign { version: 9 });
        assert_eq!((foreign.status(), foreign.kind()), (125, "version"));
        assert!(foreign.error().unwrap().message().contains("version 9"));
    }
}
