//! What can go wrong with a thread, other than an error it returns.

use core::fmt;

/// Why a thread ended without a result.
///
/// There is no value of this type: today a panic or a processor fault in any thread ends the whole machine (exit status
/// 101 or 102), so whoever joins a thread gets its result or is gone with it. The type is here so that programs already
/// say what they want to happen once a fault ends its thread only.
#[derive(Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Fault {}

impl fmt::Debug for Fault {
    fn fmt(&self, _: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {}
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, _: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {}
    }
}

impl core::error::Error for Fault {}
