//! The program's arguments and environment, as the host gave them. They never change.

use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;
use core::fmt;
use toro_abi::cmdline;
use toro_abi::percent::Value;

/// The arguments; the first, if the host gave any, is the program's name.
///
/// ```no_run
/// # fn example() {
/// for argument in toro::env::args().skip(1) {
///     toro::println!("{argument}");
/// }
/// # }
/// ```
#[must_use]
pub fn args() -> Args {
    let arguments: Vec<String> = values(cmdline::ARG).collect();
    Args { inner: arguments.into_iter() }
}

/// The value of the environment variable `name`.
///
/// # Errors
/// [`VarError::NotPresent`].
pub fn var(name: &str) -> Result<String, VarError> {
    vars().find(|(key, _)| key == name).map(|(_, value)| value).ok_or(VarError::NotPresent)
}

/// All environment variables, as name and value, each once: one that was given twice has its last value.
#[must_use]
pub fn vars() -> Vars {
    let mut variables: Vec<(String, String)> = Vec::new();
    for text in values(cmdline::ENV) {
        let Some((name, value)) = text.split_once('=') else { continue };
        match variables.iter_mut().find(|(known, _)| known == name) {
            Some((_, known)) => *known = value.into(),
            None => variables.push((name.into(), value.into())),
        }
    }
    Vars { inner: variables.into_iter() }
}

/// The value of a key of the machine's command line (`docs/guest-interface.md`), if it is there; of several, the last.
#[must_use]
pub fn setting(key: &'static str) -> Option<String> {
    values(key).last()
}

/// All values of a key that may be given several times, in order.
pub fn settings(key: &'static str) -> impl Iterator<Item = String> {
    values(key)
}

fn values(key: &'static str) -> impl Iterator<Item = String> {
    let boot = toro_kernel::start::boot_info();
    boot.into_iter().flat_map(move |boot| boot.command_line().all(key)).map(Value::to_text)
}

/// See [`args`].
#[derive(Clone, Debug)]
pub struct Args {
    inner: vec::IntoIter<String>,
}

/// See [`vars`].
#[derive(Clone, Debug)]
pub struct Vars {
    inner: vec::IntoIter<(String, String)>,
}

/// Why a variable has no value.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum VarError {
    /// It is not set.
    NotPresent,
}

impl Iterator for Args {
    type Item = String;

    fn next(&mut self) -> Option<String> {
        self.inner.next()
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.inner.size_hint()
    }
}

impl ExactSizeIterator for Args {}

impl DoubleEndedIterator for Args {
    fn next_back(&mut self) -> Option<String> {
        self.inner.next_back()
    }
}

impl Iterator for Vars {
    type Item = (String, String);

    fn next(&mut self) -> Option<(String, String)> {
        self.inner.next()
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.inner.size_hint()
    }
}

impl fmt::Display for VarError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("environment variable not found")
    }
}

impl core::error::Error for VarError {}
