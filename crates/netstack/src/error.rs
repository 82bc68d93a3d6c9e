//! Why a request could not be met, in words a caller can act on.

use core::fmt;

/// A refusal; each names its cure by its kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Error {
    /// Not now: wait for the event and ask again.
    WouldBlock,
    /// The socket is not connected, or its handle is stale.
    NotConnected,
    /// The peer answered that nobody listens there.
    ConnectionRefused,
    /// The peer reset the connection.
    ConnectionReset,
    /// The connection ended on this side: aborted, or its address went away.
    ConnectionAborted,
    /// This side has shut down its sending half, or the peer is gone.
    BrokenPipe,
    /// The peer did not answer in time.
    TimedOut,
    /// Another socket has that address and port.
    AddressInUse,
    /// This machine does not have that address.
    AddressNotAvailable,
    /// There is no address of our own, or no gateway, to reach the network with.
    NetworkUnreachable,
    /// The next hop does not answer, or a router said that the host is unreachable.
    HostUnreachable,
    /// The memory set aside for the network is used up; close something or give the guest more.
    OutOfMemory,
    /// The datagram is longer than any can be, or than its way carries.
    MessageTooLong,
    /// An argument makes no sense, such as port 0 of a peer.
    InvalidInput,
    /// To everybody on the link only who has said so before.
    PermissionDenied,
    /// Not with addresses of that kind.
    Unsupported,
}

impl fmt::Display for Error {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Error::WouldBlock => "operation would block",
            Error::NotConnected => "not connected",
            Error::ConnectionRefused => "connection refused",
            Error::ConnectionReset => "connection reset by peer",
            Error::ConnectionAborted => "connection aborted",
            Error::BrokenPipe => "broken pipe",
            Error::TimedOut => "timed out",
            Error::AddressInUse => "address in use",
            Error::AddressNotAvailable => "address not available",
            Error::NetworkUnreachable => "network unreachable",
            Error::HostUnreachable => "host unreachable",
            Error::OutOfMemory => "out of network memory",
            Error::MessageTooLong => "message too long",
            Error::InvalidInput => "invalid input",
            Error::PermissionDenied => "permission denied",
            Error::Unsupported => "address family not supported",
        })
    }
}

impl core::error::Error for Error {}
