//! Datagrams.

use super::address::{first_of, ipv4};
use super::{SocketAddr, ToSocketAddrs, error};
use crate::io::{self, ErrorKind};
use core::sync::atomic::{AtomicU64, Ordering::Relaxed};
use core::time::Duration;
use toro_kernel::net::udp::Socket;
use toro_kernel::time::deadline_after;

/// No limit on waiting, as a number of nanoseconds.
const NEVER: u64 = u64::MAX;

/// A port that datagrams go out of and come in at. A datagram is one packet, or refused.
#[derive(Debug)]
pub struct UdpSocket {
    socket: Socket,
    read_timeout_ns: AtomicU64,
}

impl UdpSocket {
    /// Takes a port; `0.0.0.0` stands for all of this machine's addresses, port 0 for a free one.
    ///
    /// # Errors
    /// The port is taken, or the address is not this machine's.
    pub fn bind(address: impl ToSocketAddrs) -> io::Result<Self> {
        first_of(address, |address| {
            let socket = Socket::bind(address).map_err(error)?;
            Ok(UdpSocket { socket, read_timeout_ns: AtomicU64::new(NEVER) })
        })
    }

    /// Sends a datagram; all of it, so the count is the buffer's length.
    ///
    /// # Errors
    /// It does not fit in one packet, or there is no way to the destination.
    pub fn send_to(&self, data: &[u8], destination: impl ToSocketAddrs) -> io::Result<usize> {
        let destination = ipv4(destination)?[0];
        self.socket.send_to(data, destination).map_err(error)?;
        Ok(data.len())
    }

    /// Waits for a datagram: how many bytes it put into `buffer` (what does not fit is lost), and who sent it.
    ///
    /// # Errors
    /// [`ErrorKind::TimedOut`], if a time-out is set.
    pub fn recv_from(&self, buffer: &mut [u8]) -> io::Result<(usize, SocketAddr)> {
        self.receive(buffer, false)
    }

    /// As [`recv_from`](Self::recv_from), but the datagram stays the next one.
    ///
    /// # Errors
    /// As there.
    pub fn peek_from(&self, buffer: &mut [u8]) -> io::Result<(usize, SocketAddr)> {
        self.receive(buffer, true)
    }

    fn receive(&self, buffer: &mut [u8], keep: bool) -> io::Result<(usize, SocketAddr)> {
        let deadline_ns = self.timeout().map(deadline_after);
        let (count, source) = self.socket.receive_from(buffer, keep, deadline_ns).map_err(error)?;
        Ok((count, SocketAddr::V4(source)))
    }

    /// Names the one peer for [`send`](Self::send) and [`recv`](Self::recv); others are not heard any more.
    ///
    /// # Errors
    /// The address cannot be a peer's.
    pub fn connect(&self, peer: impl ToSocketAddrs) -> io::Result<()> {
        first_of(peer, |peer| self.socket.connect(peer).map_err(error))
    }

    /// Sends to the named peer.
    ///
    /// # Errors
    /// As [`send_to`](Self::send_to); [`ErrorKind::NotConnected`] when none was named.
    pub fn send(&self, data: &[u8]) -> io::Result<usize> {
        let peer = self.socket.peer().map_err(error)?;
        self.send_to(data, peer)
    }

    /// Waits for a datagram of the named peer.
    ///
    /// # Errors
    /// As [`recv_from`](Self::recv_from); [`ErrorKind::ConnectionRefused`] when the peer said that nobody listens.
    pub fn recv(&self, buffer: &mut [u8]) -> io::Result<usize> {
        self.socket.peer().map_err(error)?;
        Ok(self.recv_from(buffer)?.0)
    }

    /// Where it is bound.
    ///
    /// # Errors
    /// None.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.socket.address().map(SocketAddr::V4).map_err(error)
    }

    /// The named peer.
    ///
    /// # Errors
    /// [`ErrorKind::NotConnected`] when none was named.
    pub fn peer_addr(&self) -> io::Result<SocketAddr> {
        self.socket.peer().map(SocketAddr::V4).map_err(error)
    }

    /// How long a read waits; `None`, as at first: for ever.
    ///
    /// # Errors
    /// A time-out of zero makes no sense.
    pub fn set_read_timeout(&self, timeout: Option<Duration>) -> io::Result<()> {
        if timeout.is_some_and(|timeout| timeout.is_zero()) {
            return Err(io::Error::with_message(ErrorKind::InvalidInput, "a time-out of zero"));
        }
        let timeout_ns = timeout.map_or(NEVER, |timeout| u64::try_from(timeout.as_nanos()).unwrap_or(NEVER));
        self.read_timeout_ns.store(timeout_ns, Relaxed);
        Ok(())
    }

    /// How long a read waits.
    ///
    /// # Errors
    /// None.
    pub fn read_timeout(&self) -> io::Result<Option<Duration>> {
        Ok(self.timeout())
    }

    fn timeout(&self) -> Option<Duration> {
        Some(self.read_timeout_ns.load(Relaxed)).filter(|&timeout_ns| timeout_ns != NEVER).map(Duration::from_nanos)
    }
}
