//! What programs ask of the stack. No call waits and none sends: [`Stack::flush`] does.

use crate::error::Error;
#[cfg(doc)]
use crate::event::Event;
use crate::event::{ConnectionId, ListenerId, Readiness, UdpId};
use crate::sharing::Sharing;
use crate::stack::Stack;
use crate::steering::Protocol;
use crate::tcp::Ending;
use crate::udp::{Datagram, UdpOption};
use core::net::{IpAddr, SocketAddr};
use toro_tcp::{End, Info, Ip, TcpOption};

/// TCP, as a program sees it.
impl Stack {
    /// Listens on an address of ours, or on all, of IPv4 (`0.0.0.0`) or of both families (`::`); port 0 picks a free one.
    ///
    /// # Errors
    /// [`Error::AddressInUse`], [`Error::AddressNotAvailable`], [`Error::OutOfMemory`].
    pub fn tcp_listen(&mut self, address: SocketAddr, backlog: usize) -> Result<ListenerId, Error> {
        Ok(self.tcp_listen_among(address, backlog)?.0)
    }

    /// As [`tcp_listen`](Self::tcp_listen); says too whether no other core listens on that port.
    ///
    /// # Errors
    /// As there.
    pub fn tcp_listen_among(&mut self, address: SocketAddr, backlog: usize) -> Result<(ListenerId, bool), Error> {
        self.tcp_listen_beside(address, Sharing::default(), backlog)
    }

    /// As [`tcp_listen_among`](Self::tcp_listen_among), beside listeners of this core that consent to it, as this one does:
    /// connections are spread over all that are as exact.
    ///
    /// # Errors
    /// As there.
    pub fn tcp_listen_beside(
        &mut self,
        address: SocketAddr,
        sharing: Sharing,
        backlog: usize,
    ) -> Result<(ListenerId, bool), Error> {
        self.tcp.listen(address.into(), sharing, backlog, &mut self.shared)
    }

    /// Changes how many connections may wait to be accepted.
    ///
    /// # Errors
    /// [`Error::NotConnected`] for a stale name.
    pub fn tcp_set_backlog(&mut self, listener: ListenerId, backlog: usize) -> Result<(), Error> {
        self.tcp.set_backlog(listener, backlog)
    }

    /// Where a listener listens.
    ///
    /// # Errors
    /// [`Error::NotConnected`] for a stale name.
    pub fn tcp_listener_address(&self, listener: ListenerId) -> Result<SocketAddr, Error> {
        self.tcp.listener_address(listener).map(SocketAddr::from)
    }

    /// The next connection that waits, and its peer.
    ///
    /// # Errors
    /// [`Error::WouldBlock`]: wait for [`Event::Acceptable`].
    pub fn tcp_accept(&mut self, listener: ListenerId) -> Result<(ConnectionId, SocketAddr), Error> {
        self.tcp.accept(listener, &mut self.shared).map(|(connection, peer)| (connection, peer.into()))
    }

    /// Stops listening; connections that were not accepted are reset.
    #[inline(never)] // as the other ends: called where a program lets go, and where it has faulted
    pub fn tcp_close_listener(&mut self, listener: ListenerId) {
        self.tcp.close_listener(listener, &mut self.shared);
    }

    /// The listener with this [number](ListenerId::index).
    #[must_use]
    pub fn tcp_listener_at(&self, index: usize) -> Option<ListenerId> {
        self.tcp.listener_at(index)
    }

    /// The connection with this [number](ConnectionId::index).
    #[must_use]
    pub fn tcp_connection_at(&self, index: usize) -> Option<ConnectionId> {
        self.tcp.connection_at(index)
    }

    /// Begins to connect; [`Event::Writable`] comes when [`tcp_connected`](Self::tcp_connected) knows more.
    ///
    /// # Errors
    /// [`Error::NetworkUnreachable`], [`Error::OutOfMemory`], [`Error::InvalidInput`], [`Error::AddressInUse`].
    pub fn tcp_connect(&mut self, remote: SocketAddr, now_ns: u64) -> Result<ConnectionId, Error> {
        self.tcp_connect_from(None, remote, &|_| false, now_ns)
    }

    /// As [`tcp_connect`](Self::tcp_connect), from `local`: its address, unless that is nobody's, and its port, unless that is 0. A port that is chosen here is none of which `taken` says that somebody has it.
    ///
    /// # Errors
    /// As there; [`Error::AddressNotAvailable`] when the address is not ours, or there is a connection between these ends.
    pub fn tcp_connect_from(
        &mut self,
        local: Option<SocketAddr>,
        remote: SocketAddr,
        taken: &dyn Fn(u16) -> bool,
        now_ns: u64,
    ) -> Result<ConnectionId, Error> {
        let (local, remote) = (local.map(End::from), End::from(remote));
        let link = self.shared.link_for(local.map_or(Ip::UNSPECIFIED, |local| local.ip), remote.ip);
        self.shared.with_link(link, |shared| self.tcp.connect(local, remote, taken, now_ns, shared))
    }

    /// The address that we would speak to another from; `None` when there is no way to it.
    #[must_use]
    pub fn source_for(&self, remote: IpAddr) -> Option<IpAddr> {
        let remote = Ip::from(remote);
        let addresses = self.shared.addresses_of(self.shared.link_for(Ip::UNSPECIFIED, remote))?;
        addresses.way(remote)?;
        addresses.source_for(remote).map(Ip::addr)
    }

    /// Whether connections have what somebody wants to bind: living ones, or some that
    /// ended lately. Looks at all of them.
    #[must_use]
    pub fn tcp_has_port(&self, address: SocketAddr, sharing: Sharing, now_ns: u64) -> bool {
        self.tcp.has_port(address.into(), sharing, now_ns)
    }

    /// Whether a socket can have the address: all of this machine's, or one of them; for datagrams everybody's, too.
    #[must_use]
    pub fn can_bind(&self, protocol: Protocol, ip: IpAddr) -> bool {
        let (ip, shared) = (Ip::from(ip), &self.shared);
        let everybody = protocol == Protocol::Udp && (shared.is_broadcast(ip) || ip.is_multicast());
        ip.is_unspecified() || shared.is_local(ip) || everybody
    }

    /// Whether a port that a program did not choose itself may be that one: nobody listens there, and what comes for it comes
    /// to this core.
    #[must_use]
    pub fn may_choose(&self, protocol: Protocol, port: u16) -> bool {
        self.shared.may_choose(protocol, port)
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

    /// Ends the receiving half for this side; the peer is not told. What has come can still be read, and then there is the
    /// end.
    pub fn tcp_shutdown_read(&mut self, connection: ConnectionId) {
        self.tcp.shutdown_read(connection, &mut self.shared);
    }

    /// Lets go of a connection; the stack brings it to its end.
    #[inline(never)]
    pub fn tcp_close(&mut self, connection: ConnectionId, ending: Ending, now_ns: u64) {
        self.tcp.close(connection, ending, now_ns, &mut self.shared);
    }

    /// Our end of a connection, and the peer's.
    ///
    /// # Errors
    /// [`Error::NotConnected`] for a stale name.
    pub fn tcp_ends(&self, connection: ConnectionId) -> Result<(SocketAddr, SocketAddr), Error> {
        self.tcp.ends(connection).map(|(local, remote)| (local.into(), remote.into()))
    }

    /// Does as an option says; nothing happens to a connection that is over.
    ///
    /// # Errors
    /// [`Error::NotConnected`] for a stale name, [`Error::InvalidInput`] for a time or count of 0.
    pub fn tcp_set(&mut self, connection: ConnectionId, option: TcpOption, now_ns: u64) -> Result<(), Error> {
        self.tcp.tune(connection, option, now_ns)
    }

    /// As [`tcp_read`](Self::tcp_read), without a copy in between: `take` sees what there is, in one piece or two and
    /// `bytes_max` at most, and says how much of it it took.
    ///
    /// # Errors
    /// As there.
    pub fn tcp_read_with(
        &mut self,
        connection: ConnectionId,
        bytes_max: usize,
        take: &mut dyn FnMut(&[u8]) -> usize,
    ) -> Result<usize, Error> {
        self.tcp.read_with(connection, bytes_max, take, &mut self.shared)
    }

    /// As [`tcp_write`](Self::tcp_write), without a copy in between: `fill` writes into the room there is, in one piece or
    /// two and `bytes_max` at most, and says how much it wrote.
    ///
    /// # Errors
    /// As there.
    pub fn tcp_write_with(
        &mut self,
        connection: ConnectionId,
        bytes_max: usize,
        fill: &mut dyn FnMut(&mut [u8]) -> usize,
    ) -> Result<usize, Error> {
        self.tcp.write_with(connection, bytes_max, fill, &mut self.shared)
    }

    /// As [`tcp_read`](Self::tcp_read), but what was read stays there.
    ///
    /// # Errors
    /// As there.
    pub fn tcp_peek(&mut self, connection: ConnectionId, buffer: &mut [u8]) -> Result<usize, Error> {
        self.tcp.peek(connection, buffer)
    }

    /// Bytes that can be read now.
    #[must_use]
    pub fn tcp_readable_bytes(&self, connection: ConnectionId) -> usize {
        self.tcp.readable_bytes(connection)
    }

    /// Bytes that were written and are not acknowledged, and those of them that were never sent.
    #[must_use]
    pub fn tcp_pending_bytes(&self, connection: ConnectionId) -> (usize, usize) {
        self.tcp.pending_bytes(connection)
    }

    /// Whether everything written has been acknowledged; after a shutdown, the end as well.
    ///
    /// # Errors
    /// [`Error::WouldBlock`]: wait for [`Event::Writable`]. [`Error::NotConnected`] for a stale name.
    pub fn tcp_drained(&mut self, connection: ConnectionId) -> Result<(), Error> {
        self.tcp.is_drained(connection)
    }

    /// Takes the reason why a connection broke, if no call has told it yet.
    pub fn tcp_take_error(&mut self, connection: ConnectionId) -> Option<Error> {
        self.tcp.take_error(connection)
    }

    /// What can be done with a connection now; arms for what comes next.
    pub fn tcp_readiness(&mut self, connection: ConnectionId) -> Readiness {
        self.tcp.readiness(connection)
    }

    /// What can be done with a listener now; arms for what comes next.
    pub fn tcp_listener_readiness(&mut self, listener: ListenerId) -> Readiness {
        self.tcp.listener_readiness(listener)
    }

    /// How a connection stands.
    ///
    /// # Errors
    /// [`Error::NotConnected`] for a stale name.
    pub fn tcp_info(&self, connection: ConnectionId) -> Result<Info, Error> {
        self.tcp.info(connection)
    }
}

/// UDP, as a program sees it.
impl Stack {
    /// Takes a port of an address of ours, or of all; port 0 picks a free one.
    ///
    /// # Errors
    /// [`Error::AddressInUse`], [`Error::AddressNotAvailable`], [`Error::OutOfMemory`].
    pub fn udp_bind(&mut self, address: SocketAddr) -> Result<UdpId, Error> {
        self.udp_bind_beside(address, Sharing::default())
    }

    /// Where a socket is bound.
    ///
    /// # Errors
    /// [`Error::NotConnected`] for a stale name.
    pub fn udp_address(&self, socket: UdpId) -> Result<SocketAddr, Error> {
        self.udp.address(socket).map(SocketAddr::from)
    }

    /// As [`udp_bind`](Self::udp_bind), beside sockets of this core that consent to it, as this one does.
    ///
    /// # Errors
    /// As there.
    pub fn udp_bind_beside(&mut self, address: SocketAddr, sharing: Sharing) -> Result<UdpId, Error> {
        self.udp.bind(address.into(), sharing, &mut self.shared)
    }

    /// Names the one peer to speak with, or none any more.
    ///
    /// # Errors
    /// [`Error::InvalidInput`], [`Error::NotConnected`], [`Error::NetworkUnreachable`], [`Error::PermissionDenied`].
    pub fn udp_connect(&mut self, socket: UdpId, peer: Option<SocketAddr>) -> Result<(), Error> {
        self.udp.connect(socket, peer.map(End::from), &mut self.shared)
    }

    /// The one peer that was named.
    ///
    /// # Errors
    /// [`Error::NotConnected`] when none was.
    pub fn udp_peer(&self, socket: UdpId) -> Result<SocketAddr, Error> {
        self.udp.peer(socket).map(SocketAddr::from)
    }

    /// Does as an option says.
    ///
    /// # Errors
    /// [`Error::NotConnected`] for a stale name, [`Error::InvalidInput`] for 0 hops.
    pub fn udp_set(&mut self, socket: UdpId, option: UdpOption) -> Result<(), Error> {
        let link = match option {
            UdpOption::Join(group) => self.shared.link_for(Ip::UNSPECIFIED, group.into()),
            // Where it was joined, whichever link would be chosen now.
            UdpOption::Leave(group) => self.udp.link_of_group(socket, group.into()).unwrap_or(0),
            _ => 0,
        };
        self.udp_set_on(link.into(), socket, option)
    }

    /// Does as an option about groups says on a link.
    ///
    /// # Errors
    /// As there, and [`Error::AddressNotAvailable`] when there is no such link.
    pub fn udp_set_on(&mut self, link: usize, socket: UdpId, option: UdpOption) -> Result<(), Error> {
        if link >= self.links() {
            return Err(Error::AddressNotAvailable);
        }
        self.shared.with_link(link as u8, |shared| self.udp.tune(socket, option, shared))
    }

    /// Sends a datagram, in one packet or not at all.
    ///
    /// # Errors
    /// [`Error::WouldBlock`]: wait for [`Event::Room`]. [`Error::OutOfMemory`], [`Error::MessageTooLong`],
    /// [`Error::NetworkUnreachable`]; [`Error::PermissionDenied`] for everybody's address when that was not allowed;
    /// [`Error::InvalidInput`] for a destination that cannot be, or one beyond this machine for a socket of a loopback
    /// address; [`Error::AddressNotAvailable`] when the socket's address was lost.
    pub fn udp_send(&mut self, socket: UdpId, data: &[u8], destination: SocketAddr) -> Result<(), Error> {
        self.udp_send_from(socket, data, None, destination)
    }

    /// As [`udp_send`](Self::udp_send), from an address that the sender names, whatever the socket's is.
    ///
    /// # Errors
    /// As there; [`Error::AddressNotAvailable`] when it is not ours.
    pub fn udp_send_from(
        &mut self,
        socket: UdpId,
        data: &[u8],
        source: Option<IpAddr>,
        destination: SocketAddr,
    ) -> Result<(), Error> {
        self.udp.send(socket, data, source.map(Ip::from), destination.into(), &mut self.shared)
    }

    /// The next datagram, cut to the buffer, and its source; with `keep` it stays the next one.
    ///
    /// # Errors
    /// [`Error::WouldBlock`]: wait for [`Event::Datagram`]. Once, what ICMP said about a named peer.
    pub fn udp_receive(&mut self, socket: UdpId, buffer: &mut [u8], keep: bool) -> Result<(usize, SocketAddr), Error> {
        let datagram = self.udp_receive_datagram(socket, buffer, keep)?;
        Ok((datagram.copied_bytes, datagram.source))
    }

    /// As [`udp_receive`](Self::udp_receive), with all that is known of the datagram.
    ///
    /// # Errors
    /// As there.
    pub fn udp_receive_datagram(&mut self, socket: UdpId, buffer: &mut [u8], keep: bool) -> Result<Datagram, Error> {
        self.udp.receive_from(socket, buffer, keep, &mut self.shared)
    }

    /// Bytes of the next datagram; 0 when there is none.
    #[must_use]
    pub fn udp_next_bytes(&self, socket: UdpId) -> usize {
        self.udp.next_bytes(socket)
    }

    /// Takes what ICMP said about a named peer, if no call has told it yet.
    pub fn udp_take_error(&mut self, socket: UdpId) -> Option<Error> {
        self.udp.take_error(socket)
    }

    /// What can be done with a socket now; arms for what comes next.
    pub fn udp_readiness(&mut self, socket: UdpId) -> Readiness {
        self.udp.readiness(socket, &self.shared)
    }

    /// The socket with this [number](UdpId::index).
    #[must_use]
    pub fn udp_at(&self, index: usize) -> Option<UdpId> {
        self.udp.at_index(index)
    }

    /// Gives the port back.
    #[inline(never)]
    pub fn udp_close(&mut self, socket: UdpId) {
        self.udp.close(socket, &mut self.shared);
    }
}
