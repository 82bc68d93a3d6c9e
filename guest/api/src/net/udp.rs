//! Datagrams.

use super::address::first_of;
use super::{Ipv4Addr, Ipv6Addr, ONLY_V6, Sharing, SocketAddr, ToSocketAddrs, error};
use crate::io::{self, ErrorKind};
use core::sync::atomic::{AtomicU64, Ordering::Relaxed};
use core::time::Duration;
use toro_kernel::net::udp::{Socket, UdpOption};
use toro_kernel::time::deadline_after;

/// No limit on waiting, as a number of nanoseconds.
const NEVER: u64 = u64::MAX;

/// A port that datagrams go out of and come in at. A datagram has up to 65,507 bytes; one that is longer than a
/// frame goes in pieces, all of which have to arrive.
#[derive(Debug)]
pub struct UdpSocket {
    socket: Socket,
    read_timeout_ns: AtomicU64,
}

impl UdpSocket {
    /// Takes a port; `0.0.0.0` stands for all of this machine's addresses of IPv4, `::` for those of both families, port 0 for a free
    /// one.
    ///
    /// # Errors
    /// The port is taken, or the address is not this machine's.
    pub fn bind(address: impl ToSocketAddrs) -> io::Result<Self> {
        Self::bind_with(address, Sharing::default())
    }

    /// As [`bind`](Self::bind); `::` stands for all of this machine's addresses of IPv6, and for none of IPv4.
    ///
    /// # Errors
    /// As there.
    pub fn bind_only_v6(address: impl ToSocketAddrs) -> io::Result<Self> {
        Self::bind_with(address, ONLY_V6)
    }

    fn bind_with(address: impl ToSocketAddrs, sharing: Sharing) -> io::Result<Self> {
        first_of(address, |address| {
            let socket = Socket::bind(address, sharing).map_err(error)?;
            Ok(UdpSocket { socket, read_timeout_ns: AtomicU64::new(NEVER) })
        })
    }

    /// Sends a datagram, to the first of the addresses that it can be sent to; all of it, so the count is the buffer's length.
    ///
    /// # Errors
    /// It is longer than any can be, or there is no way to the destination.
    pub fn send_to(&self, data: &[u8], destination: impl ToSocketAddrs) -> io::Result<usize> {
        first_of(destination, |destination| self.socket.send_to(data, destination).map_err(error))?;
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
        self.socket.receive_from(buffer, keep, deadline_ns).map_err(error)
    }

    /// Names the one peer for [`send`](Self::send) and [`recv`](Self::recv); others are not heard any more.
    ///
    /// # Errors
    /// The address cannot be a peer's.
    pub fn connect(&self, peer: impl ToSocketAddrs) -> io::Result<()> {
        first_of(peer, |peer| self.socket.connect(Some(peer)).map_err(error))
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
        self.socket.address().map_err(error)
    }

    /// The named peer.
    ///
    /// # Errors
    /// [`ErrorKind::NotConnected`] when none was named.
    pub fn peer_addr(&self) -> io::Result<SocketAddr> {
        self.socket.peer().map_err(error)
    }

    /// Allows datagrams to everybody on the link, or, as at first, does not.
    ///
    /// # Errors
    /// None.
    pub fn set_broadcast(&self, broadcast: bool) -> io::Result<()> {
        self.socket.set(UdpOption::Broadcast(broadcast)).map_err(error)
    }

    /// Joins a group: what is sent to it comes to this machine. `_interface` makes no difference: it is the first card with an address.
    ///
    /// # Errors
    /// It is no group, the socket is in it already, or the machine is in too many.
    pub fn join_multicast_v4(&self, group: &Ipv4Addr, _interface: &Ipv4Addr) -> io::Result<()> {
        self.socket.set(UdpOption::Join((*group).into())).map_err(error)
    }

    /// Leaves a group, as the socket's end does.
    ///
    /// # Errors
    /// The socket is not in it.
    pub fn leave_multicast_v4(&self, group: &Ipv4Addr, _interface: &Ipv4Addr) -> io::Result<()> {
        self.socket.set(UdpOption::Leave((*group).into())).map_err(error)
    }

    /// As [`join_multicast_v4`](Self::join_multicast_v4), of a group of IPv6.
    ///
    /// # Errors
    /// As there.
    pub fn join_multicast_v6(&self, group: &Ipv6Addr, _interface: u32) -> io::Result<()> {
        self.socket.set(UdpOption::Join((*group).into())).map_err(error)
    }

    /// As [`leave_multicast_v4`](Self::leave_multicast_v4), of a group of IPv6.
    ///
    /// # Errors
    /// As there.
    pub fn leave_multicast_v6(&self, group: &Ipv6Addr, _interface: u32) -> io::Result<()> {
        self.socket.set(UdpOption::Leave((*group).into())).map_err(error)
    }

    /// As [`set_multicast_loop_v4`](Self::set_multicast_loop_v4): a socket has one setting for both families.
    ///
    /// # Errors
    /// None.
    pub fn set_multicast_loop_v6(&self, on: bool) -> io::Result<()> {
        self.set_multicast_loop_v4(on)
    }

    /// Has datagrams to groups come to this machine, too, if it is in them, as at first, or not.
    ///
    /// # Errors
    /// None.
    pub fn set_multicast_loop_v4(&self, on: bool) -> io::Result<()> {
        self.socket.set(UdpOption::GroupLoop(on)).map_err(error)
    }

    /// How many routers a datagram to a group may pass: at first none, which is 1.
    ///
    /// # Errors
    /// More than 255.
    pub fn set_multicast_ttl_v4(&self, hops: u32) -> io::Result<()> {
        let hops = u8::try_from(hops).map_err(|_| io::Error::from(ErrorKind::InvalidInput))?;
        self.socket.set(UdpOption::GroupHops(hops)).map_err(error)
    }

    /// How many routers a datagram may pass.
    ///
    /// # Errors
    /// None may pass no packet.
    pub fn set_ttl(&self, hops: u32) -> io::Result<()> {
        let hops = u8::try_from(hops).map_err(|_| io::Error::from(ErrorKind::InvalidInput))?;
        self.socket.set(UdpOption::Hops(hops)).map_err(error)
    }

    /// What was said about the named peer, if no call has told it yet.
    ///
    /// # Errors
    /// None.
    pub fn take_error(&self) -> io::Result<Option<io::Error>> {
        Ok(self.socket.take_error().map(error))
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
