//! What programs ask of the stack. No call waits and none sends: [`Stack::flush`] does.

use crate::error::Error;
use crate::event::{ConnectionId, ListenerId, UdpId};
use crate::stack::Stack;
use crate::tcp::Ending;
use core::net::SocketAddrV4;

/// TCP, as a program sees it.
impl Stack {
    /// Listens on an address of ours, or on all (`0.0.0.0`); port 0 picks a free one.
    ///
    /// # Errors
    /// [`Error::AddressInUse`], [`Error::AddressNotAvailable`], [`Error::OutOfMemory`].
    pub fn tcp_listen(&mut self, address: SocketAddrV4, backlog: usize) -> Result<ListenerId, Error> {
        Ok(self.tcp_listen_among(address, backlog)?.0)
    }

    /// As [`tcp_listen`](Self::tcp_listen); says too whether no other core listens on that port.
    ///
    /// # Errors
    /// As there.
    pub fn tcp_listen_among(&mut self, address: SocketAddrV4, backlog: usize) -> Result<(ListenerId, bool), Error> {
        self.tcp.listen(address, backlog, &mut self.shared)
    }

    /// Where a listener listens.
    ///
    /// # Errors
    /// [`Error::NotConnected`] for a stale name.
    pub fn tcp_listener_address(&self, listener: ListenerId) -> Result<SocketAddrV4, Error> {
        self.tcp.listener_address(listener)
    }

    /// The next connection that waits, and its peer.
    ///
    /// # Errors
    /// [`Error::WouldBlock`]: wait for [`Event::Acceptable`].
    pub fn tcp_accept(&mut self, listener: ListenerId) -> Result<(ConnectionId, SocketAddrV4), Error> {
        self.tcp.accept(listener, &mut self.shared)
    }

    /// Stops listening; connections that were not accepted are reset.
    pub fn tcp_close_listener(&mut self, listener: ListenerId) {
        self.tcp.close_listener(listener, &mut self.shared);
    }

    /// Begins to connect; [`Event::Writable`] comes when [`tcp_connected`](Self::tcp_connected) knows more.
    ///
    /// # Errors
    /// [`Error::NetworkUnreachable`], [`Error::OutOfMemory`], [`Error::InvalidInput`], [`Error::AddressInUse`].
    pub fn tcp_connect(&mut self, remote: SocketAddrV4, now_ns: u64) -> Result<ConnectionId, Error> {
        self.tcp.connect(remote, now_ns, &mut self.shared)
    }

    /// Whether a connection that was begun is open.
    ///
    /// # Errors
    /// [`Error::WouldBlock`] while it is not decided, else why it failed.
    pub fn tcp_connected(&mut self, connection: ConnectionId) -> Result<(), Error> {
        self.tcp.connected(connection)
    }

    /// Reads what has come; 0 at the end of the peer's stream.
    ///
    /// # Errors
    /// [`Error::WouldBlock`]: wait for [`Event::Readable`]. Else why the stream broke off.
    #[inline]
    pub fn tcp_read(&mut self, connection: ConnectionId, buffer: &mut [u8]) -> Result<usize, Error> {
        self.tcp.read(connection, buffer, &mut self.shared)
    }

    /// Takes as much of `data` as there is room for; the next flush sends it.
    ///
    /// # Errors
    /// [`Error::WouldBlock`]: wait for [`Event::Writable`]. Else why nothing can be sent.
    #[inline]
    pub fn tcp_write(&mut self, connection: ConnectionId, data: &[u8]) -> Result<usize, Error> {
        self.tcp.write(connection, data, &mut self.shared)
    }

    /// Ends the sending half after what was written; reading goes on.
    ///
    /// # Errors
    /// [`Error::NotConnected`] for a stale name.
    pub fn tcp_shutdown_write(&mut self, connection: ConnectionId) -> Result<(), Error> {
        self.tcp.shutdown_write(connection, &mut self.shared)
    }

    /// Lets go of a connection; the stack brings it to its end.
    pub fn tcp_close(&mut self, connection: ConnectionId, ending: Ending, now_ns: u64) {
        self.tcp.close(connection, ending, now_ns, &mut self.shared);
    }

    /// Our end of a connection, and the peer's.
    ///
    /// # Errors
    /// [`Error::NotConnected`] for a stale name.
    pub fn tcp_ends(&self, connection: ConnectionId) -> Result<(SocketAddrV4, SocketAddrV4), Error> {
        self.tcp.ends(connection)
    }

    /// Sends small writes at once instead of gathering them while others are under way.
    ///
    /// # Errors
    /// [`Error::NotConnected`] for a stale name.
    pub fn tcp_set_no_delay(&mut self, connection: ConnectionId, on: bool) -> Result<(), Error> {
        self.tcp.set_no_delay(connection, on)
    }

    /// Probes a silent peer at that interval, and gives it up after four of them; `None` switches it off.
    ///
    /// # Errors
    /// [`Error::NotConnected`] for a stale name.
    pub fn tcp_set_keep_alive(
        &mut self,
        connection: ConnectionId,
        interval_ns: Option<u64>,
        now_ns: u64,
    ) -> Result<(), Error> {
        self.tcp.set_keep_alive(connection, interval_ns, now_ns)
    }
}

/// UDP, as a program sees it.
impl Stack {
    /// Takes a port of an address of ours, or of all; port 0 picks a free one.
    ///
    /// # Errors
    /// [`Error::AddressInUse`], [`Error::AddressNotAvailable`], [`Error::OutOfMemory`].
    pub fn udp_bind(&mut self, address: SocketAddrV4) -> Result<UdpId, Error> {
        self.udp.bind(address, &mut self.shared)
    }

    /// Where a socket is bound.
    ///
    /// # Errors
    /// [`Error::NotConnected`] for a stale name.
    pub fn udp_address(&self, socket: UdpId) -> Result<SocketAddrV4, Error> {
        self.udp.address(socket)
    }

    /// Names the one peer to speak with.
    ///
    /// # Errors
    /// [`Error::InvalidInput`], [`Error::NotConnected`].
    pub fn udp_connect(&mut self, socket: UdpId, peer: SocketAddrV4) -> Result<(), Error> {
        self.udp.connect(socket, peer)
    }

    /// The one peer that was named.
    ///
    /// # Errors
    /// [`Error::NotConnected`] when none was.
    pub fn udp_peer(&self, socket: UdpId) -> Result<SocketAddrV4, Error> {
        self.udp.peer(socket)
    }

    /// Sends a datagram, in one packet or not at all.
    ///
    /// # Errors
    /// [`Error::WouldBlock`] until the next flush. [`Error::OutOfMemory`], [`Error::MessageTooLong`],
    /// [`Error::NetworkUnreachable`]; [`Error::InvalidInput`] for a destination that cannot be,
    /// or one beyond this machine for a socket of a loopback address; [`Error::AddressNotAvailable`] when the socket's
    /// address was lost.
    pub fn udp_send(&mut self, socket: UdpId, data: &[u8], destination: SocketAddrV4) -> Result<(), Error> {
        self.udp.send(socket, data, destination, &mut self.shared)
    }

    /// The next datagram, cut to the buffer, and its source; with `keep` it stays the next one.
    ///
    /// # Errors
    /// [`Error::WouldBlock`]: wait for [`Event::Datagram`]. [`Error::ConnectionRefused`] when a named peer said so.
    pub fn udp_receive(
        &mut self,
        socket: UdpId,
        buffer: &mut [u8],
        keep: bool,
    ) -> Result<(usize, SocketAddrV4), Error> {
        self.udp.receive_from(socket, buffer, keep, &mut self.shared)
    }

    /// Gives the port back.
    pub fn udp_close(&mut self, socket: UdpId) {
        self.udp.close(socket, &mut self.shared);
    }
}
