//! UDP for threads: calls that wait, and such that never do.

pub use toro_netstack::{Datagram, UdpOption};

use super::handle::{Handle, NO_TIMEOUT, Spot};
use super::ports::Port;
use super::sockets::{Kind, Side};
use super::{Error, Readiness, Watcher, here, wait_for_way};
use crate::arch::{depth, time};
use crate::console;
use alloc::sync::Arc;
use core::net::{IpAddr, SocketAddr};
use toro_abi::control::{self, Control};
use toro_netstack::{Protocol, Sharing, Stack, UdpId};

/// How long a datagram waits for an address of our own.
const ADDRESS_WAIT_NS: u64 = 15_000_000_000;
/// How long a datagram waits for room on its way out: a card that takes nothing for that long is broken.
const ROOM_WAIT_NS: u64 = 1_000_000_000;

/// A socket; dropped, its port is free.
#[derive(Debug)]
pub struct Socket(Handle<UdpId>);

impl Handle<UdpId> {
    fn spot(&self, side: Side) -> Spot {
        Spot { core: self.core, kind: Kind::Datagrams, index: self.id.index(), side }
    }
}

/// Ends a socket that a thread has left behind.
fn close(stack: &mut Stack, index: usize) {
    if let Some(id) = stack.udp_at(index) {
        stack.udp_close(id);
    }
}

impl Socket {
    /// Takes a port of an address of ours, or of all; port 0 picks a free one.
    ///
    /// # Errors
    /// The port is taken, the address is not ours, or there is no memory.
    pub fn bind(address: SocketAddr, sharing: Sharing) -> Result<Self, Error> {
        let _kernel = depth::enter();
        let socket = Socket::make(address, sharing)?;
        if address.port() != 0 {
            announce(address.port());
        }
        Ok(socket)
    }

    /// Takes a port that is held.
    ///
    /// # Errors
    /// [`Error::OutOfMemory`].
    pub fn open(port: &Port) -> Result<Self, Error> {
        let _kernel = depth::enter();
        let (address, sharing) = port.place(Protocol::Udp)?;
        let socket = Socket::make(address, sharing)?;
        if !port.was_picked() {
            announce(address.port());
        }
        Ok(socket)
    }

    fn make(address: SocketAddr, sharing: Sharing) -> Result<Self, Error> {
        let (socket, opened) = here(|core, network| {
            let id = network.stack.udp_bind_beside(address, sharing)?;
            let opened = network.sockets.open(Kind::Datagrams, id.index(), close);
            Ok((Socket(Handle { core, id }), opened))
        })?;
        opened.map(|()| socket)
    }

    /// Where it is bound.
    ///
    /// # Errors
    /// None, while it exists.
    pub fn address(&self) -> Result<SocketAddr, Error> {
        let _kernel = depth::enter();
        self.0.ask(|stack, id| stack.udp_address(id))
    }

    /// The peer that was named.
    ///
    /// # Errors
    /// [`Error::NotConnected`] when none was.
    pub fn peer(&self) -> Result<SocketAddr, Error> {
        let _kernel = depth::enter();
        self.0.ask(|stack, id| stack.udp_peer(id))
    }

    /// Names the one peer to speak with, or none any more.
    ///
    /// # Errors
    /// [`Error::InvalidInput`] for one that cannot be, [`Error::PermissionDenied`] for everybody when that was not allowed.
    pub fn connect(&self, peer: Option<SocketAddr>) -> Result<(), Error> {
        let _kernel = depth::enter();
        self.0.ask(|stack, id| stack.udp_connect(id, peer))
    }

    /// Does as an option says.
    ///
    /// # Errors
    /// [`Error::InvalidInput`].
    pub fn set(&self, option: UdpOption) -> Result<(), Error> {
        let _kernel = depth::enter();
        self.0.ask(|stack, id| stack.udp_set(id, option))
    }

    /// Does as an option about groups says, on the card with this number.
    ///
    /// # Errors
    /// As there, and [`Error::AddressNotAvailable`] when there is no such card.
    pub fn set_on(&self, card: usize, option: UdpOption) -> Result<(), Error> {
        let _kernel = depth::enter();
        self.0.ask(|stack, id| stack.udp_set_on(card, id, option))
    }

    /// Sends a datagram; waits for room, and for an address of our own if one may still come.
    ///
    /// # Errors
    /// It is too long, or there is no way to the destination; [`Error::WouldBlock`] when the card takes nothing.
    pub fn send_to(&self, data: &[u8], destination: SocketAddr) -> Result<(), Error> {
        let _kernel = depth::enter();
        let mut sent = self.send_when_room(data, destination);
        let deadline_ns = Some(time::now_ns() + ADDRESS_WAIT_NS);
        if sent == Err(Error::NetworkUnreachable) && wait_for_way(destination.ip(), deadline_ns) {
            sent = self.send_when_room(data, destination);
        }
        sent
    }

    fn send_when_room(&self, data: &[u8], destination: SocketAddr) -> Result<(), Error> {
        let mut send = |stack: &mut toro_netstack::Stack| stack.udp_send(self.0.id, data, destination);
        match self.0.spot(Side::Writers).wait(ROOM_WAIT_NS, &mut send) {
            Err(Error::TimedOut) => Err(Error::WouldBlock),
            answer => answer,
        }
    }

    /// Sends a datagram, without waiting, from the socket's address or from another of ours.
    ///
    /// # Errors
    /// [`Error::WouldBlock`] when there is no room: the watcher will be told of some. It is too long, there is no way to the
    /// destination, or [`Error::PermissionDenied`].
    pub fn try_send_to(&self, data: &[u8], source: Option<IpAddr>, destination: SocketAddr) -> Result<(), Error> {
        let _kernel = depth::enter();
        self.0.ask(|stack, id| stack.udp_send_from(id, data, source, destination))
    }

    /// Waits for the next datagram: how much of it fitted, and its source. With `keep` it stays the next one.
    ///
    /// # Errors
    /// [`Error::TimedOut`] at the deadline; once, what ICMP said about a named peer.
    pub fn receive_from(
        &self,
        buffer: &mut [u8],
        keep: bool,
        deadline_ns: Option<u64>,
    ) -> Result<(usize, SocketAddr), Error> {
        let _kernel = depth::enter();
        let timeout_ns = deadline_ns.map_or(NO_TIMEOUT, |deadline_ns| deadline_ns.saturating_sub(time::now_ns()));
        self.0.spot(Side::Readers).wait(timeout_ns, |stack| stack.udp_receive(self.0.id, buffer, keep))
    }

    /// The next datagram, if there is one. With `keep` it stays the next one.
    ///
    /// # Errors
    /// [`Error::WouldBlock`]; once, what ICMP said about a named peer.
    pub fn try_receive(&self, buffer: &mut [u8], keep: bool) -> Result<Datagram, Error> {
        let _kernel = depth::enter();
        self.0.ask(|stack, id| stack.udp_receive_datagram(id, buffer, keep))
    }

    /// Bytes of the next datagram; 0 when there is none.
    #[must_use]
    pub fn next_bytes(&self) -> usize {
        let _kernel = depth::enter();
        self.0.ask(|stack, id| stack.udp_next_bytes(id))
    }

    /// Takes what ICMP said about a named peer, if no call has told it yet.
    #[must_use]
    pub fn take_error(&self) -> Option<Error> {
        let _kernel = depth::enter();
        self.0.ask(|stack, id| stack.udp_take_error(id))
    }

    /// What can be done now; arms the watcher for what comes next.
    #[must_use]
    pub fn readiness(&self) -> Readiness {
        let _kernel = depth::enter();
        self.0.ask(|stack, id| stack.udp_readiness(id))
    }

    /// Has `watcher` told when what can be done may have changed; `None`: nobody any more.
    ///
    /// # Errors
    /// [`Error::OutOfMemory`].
    pub fn set_watcher(&self, watcher: Option<Arc<dyn Watcher>>) -> Result<(), Error> {
        let _kernel = depth::enter();
        self.0.spot(Side::Readers).watch(watcher)
    }
}

/// Tells the host that datagrams are expected.
fn announce(port: u16) {
    console::control(&Control::Listen { protocol: control::Protocol::Udp, port });
}

impl Drop for Socket {
    fn drop(&mut self) {
        let _kernel = depth::enter();
        self.0.spot(Side::Readers).end(|stack| stack.udp_close(self.0.id));
    }
}
