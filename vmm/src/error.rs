//! What failed, on what, why; and what to do about it.

use std::fmt;
use toro_abi::outcome::status;

/// A failure that its reader can act on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Error {
    message: String,
    help: Option<String>,
    status: u8,
}

impl Error {
    /// `message` says what failed, on what and why, in one line.
    pub fn new(message: impl Into<String>) -> Self {
        Self { message: message.into(), help: None, status: status::TOOL }
    }

    /// Adds the cure.
    #[must_use]
    pub fn help(mut self, cure: impl Into<String>) -> Self {
        self.help = Some(cure.into());
        self
    }

    /// Sets the exit status, when it is not 125.
    #[must_use]
    pub fn with_status(mut self, status: u8) -> Self {
        self.status = status;
        self
    }

    /// What failed, on what and why.
    pub fn message(&self) -> &str {
        &self.message
    }

    /// The cure, where one is known.
    pub fn cure(&self) -> Option<&str> {
        self.help.as_deref()
    }

    /// The exit status that the tool ends with.
    pub fn status(&self) -> u8 {
        self.status
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)?;
        match &self.help {
            Some(help) => write!(f, " ({help})"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for Error {}
