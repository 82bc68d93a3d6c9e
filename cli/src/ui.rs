//! The tool's one voice: what failed, on what, why; then the cure. All of it on standard error; what was asked for, on standard output.
//!
//! Nothing here panics when nobody listens: a message that cannot be written is lost, and what it speaks of goes on.

use std::fmt::Display;
use std::io::{ErrorKind, Write};
use std::os::fd::AsFd;
use std::sync::LazyLock;
use std::time::Instant;
use toro_vmm::{Error, Hurry};

/// How long a message waits for its reader: no longer than the user waits for the tool.
static HURRY: LazyLock<Hurry> = LazyLock::new(Hurry::new);

/// The user wants an end: messages that nobody reads are given up.
pub(crate) fn hurry() {
    HURRY.begin();
}

/// The same, from `limit` on.
pub(crate) fn hurry_at(limit: Instant) {
    HURRY.begin_at(limit);
}

/// A failure.
pub(crate) fn error(error: &Error) {
    say_with_cure(format_args!("error: {}", error.message()), error.cure());
}

/// Something that the user should know, and that is no failure.
pub(crate) fn note(text: impl Display, cure: Option<&str>) {
    say_with_cure(format_args!("note: {text}"), cure);
}

/// The application can be reached.
pub(crate) fn ready(text: impl Display) {
    say(format_args!("ready: {text}"));
}

/// A line on standard error.
pub(crate) fn say(line: impl Display) {
    say_text(&format!("{line}\n"));
}

/// Text on standard error, which has its line ends.
pub(crate) fn say_text(text: &str) {
    // There is nobody left to tell that nobody can be told.
    let _written = HURRY.write_all(std::io::stderr().as_fd(), text.as_bytes());
}

fn say_with_cure(line: impl Display, cure: Option<&str>) {
    say_text(&match cure {
        Some(cure) => format!("{line}\n help: {cure}\n"),
        None => format!("{line}\n"),
    });
}

/// What a command was asked to show, on standard output.
#[derive(Default)]
pub(crate) struct Page(String);

impl Page {
    /// Adds a line.
    pub(crate) fn line(&mut self, line: impl Display) {
        self.0.push_str(&format!("{line}\n"));
    }

    /// Prints it.
    pub(crate) fn print(self) -> Result<(), Error> {
        let mut stdout = std::io::stdout();
        printed(stdout.write_all(self.0.as_bytes()).and_then(|()| stdout.flush()))
    }
}

/// What came of printing. A reader who has seen enough, as `head`, is no failure.
pub(crate) fn printed(result: std::io::Result<()>) -> Result<(), Error> {
    match result {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => {
            Err(Error::new(format!("cannot write standard output: {error}")))
        }
        _ => Ok(()),
    }
}
