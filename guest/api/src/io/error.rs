//! What went wrong with input or output.

use alloc::boxed::Box;
use core::error;
use core::fmt;

/// The result of an input or output operation.
pub type Result<T> = core::result::Result<T, Error>;

/// Why an operation failed: a [kind](ErrorKind), and perhaps what caused it.
pub struct Error {
    cause: Cause,
}

enum Cause {
    Kind(ErrorKind),
    Message(ErrorKind, &'static str),
    Other(Box<(ErrorKind, Box<dyn error::Error + Send + Sync>)>),
}

/// What kind of failure it was; what a caller can act on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum ErrorKind {
    /// There is no such thing.
    NotFound,
    /// It is not allowed.
    PermissionDenied,
    /// The peer refused the connection.
    ConnectionRefused,
    /// The peer reset the connection.
    ConnectionReset,
    /// The connection was ended on this side.
    ConnectionAborted,
    /// No way to the peer.
    HostUnreachable,
    /// No way to the peer's network.
    NetworkUnreachable,
    /// There is no network, or it has no address yet.
    NetworkDown,
    /// There is no connection.
    NotConnected,
    /// The address or port is taken.
    AddrInUse,
    /// The address is not this machine's, or no port is left.
    AddrNotAvailable,
    /// Nobody reads at the other end.
    BrokenPipe,
    /// It is there already.
    AlreadyExists,
    /// It cannot be done now without waiting.
    WouldBlock,
    /// An argument makes no sense.
    InvalidInput,
    /// The data makes no sense.
    InvalidData,
    /// The time was over.
    TimedOut,
    /// A write took nothing.
    WriteZero,
    /// The input ended too early.
    UnexpectedEof,
    /// A signal or the like came in between; try again.
    Interrupted,
    /// Toro does not do this.
    Unsupported,
    /// No memory for it.
    OutOfMemory,
    /// None of the above.
    Other,
}

impl Error {
    /// An error of `kind`, caused by `error`; a string will do.
    pub fn new(kind: ErrorKind, error: impl Into<Box<dyn error::Error + Send + Sync>>) -> Self {
        Error { cause: Cause::Other(Box::new((kind, error.into()))) }
    }

    /// An error of no particular kind.
    pub fn other(error: impl Into<Box<dyn error::Error + Send + Sync>>) -> Self {
        Self::new(ErrorKind::Other, error)
    }

    /// An error with a fixed message; allocates nothing.
    #[must_use]
    pub const fn with_message(kind: ErrorKind, message: &'static str) -> Self {
        Error { cause: Cause::Message(kind, message) }
    }

    /// What kind of failure it was.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        match &self.cause {
            Cause::Kind(kind) | Cause::Message(kind, _) => *kind,
            Cause::Other(other) => other.0,
        }
    }

    /// What caused it, if that was given.
    #[must_use]
    pub fn get_ref(&self) -> Option<&(dyn error::Error + Send + Sync + 'static)> {
        match &self.cause {
            Cause::Other(other) => Some(&*other.1),
            _ => None,
        }
    }

    /// What caused it, if that was given.
    #[must_use]
    pub fn into_inner(self) -> Option<Box<dyn error::Error + Send + Sync>> {
        match self.cause {
            Cause::Other(other) => Some(other.1),
            _ => None,
        }
    }
}

impl ErrorKind {
    fn description(self) -> &'static str {
        match self {
            Self::NotFound => "not found",
            Self::PermissionDenied => "permission denied",
            Self::ConnectionRefused => "connection refused",
            Self::ConnectionReset => "connection reset",
            Self::ConnectionAborted => "connection aborted",
            Self::HostUnreachable => "host unreachable",
            Self::NetworkUnreachable => "network unreachable",
            Self::NetworkDown => "network down",
            Self::NotConnected => "not connected",
            Self::AddrInUse => "address in use",
            Self::AddrNotAvailable => "address not available",
            Self::BrokenPipe => "broken pipe",
            Self::AlreadyExists => "already exists",
            Self::WouldBlock => "operation would block",
            Self::InvalidInput => "invalid input",
            Self::InvalidData => "invalid data",
            Self::TimedOut => "timed out",
            Self::WriteZero => "nothing could be written",
            Self::UnexpectedEof => "unexpected end of input",
            Self::Interrupted => "interrupted",
            Self::Unsupported => "not supported",
            Self::OutOfMemory => "out of memory",
            Self::Other => "other error",
        }
    }
}

impl From<ErrorKind> for Error {
    fn from(kind: ErrorKind) -> Self {
        Error { cause: Cause::Kind(kind) }
    }
}

impl From<fmt::Error> for Error {
    fn from(_: fmt::Error) -> Self {
        Self::with_message(ErrorKind::Other, "formatting failed")
    }
}

impl fmt::Display for ErrorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.description())
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.cause {
            Cause::Kind(kind) => kind.fmt(f),
            Cause::Message(_, message) => f.write_str(message),
            Cause::Other(other) => other.1.fmt(f),
        }
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.cause {
            Cause::Kind(kind) => f.debug_tuple("Kind").field(kind).finish(),
            Cause::Message(kind, message) => {
                f.debug_struct("Error").field("kind", kind).field("message", message).finish()
            }
            Cause::Other(other) => f.debug_struct("Custom").field("kind", &other.0).field("error", &other.1).finish(),
        }
    }
}

impl error::Error for Error {
    fn source(&self) -> Option<&(dyn error::Error + 'static)> {
        match &self.cause {
            Cause::Other(other) => other.1.source(),
            _ => None,
        }
    }
}
