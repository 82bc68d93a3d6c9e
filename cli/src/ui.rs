//! The tool's one voice: what failed, on what, why; then the cure. All of it on standard error.

use std::fmt::Display;
use toro_vmm::Error;

/// A failure.
pub(crate) fn error(error: &Error) {
    eprintln!("error: {}", error.message());
    if let Some(cure) = error.cure() {
        eprintln!(" help: {cure}");
    }
}

/// Something that the user should know, and that is no failure.
pub(crate) fn note(text: impl Display, cure: Option<&str>) {
    eprintln!("note: {text}");
    if let Some(cure) = cure {
        eprintln!(" help: {cure}");
    }
}

/// The application can be reached.
pub(crate) fn ready(text: impl Display) {
    eprintln!("ready: {text}");
}
