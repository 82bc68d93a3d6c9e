//! UDP for threads.

use super::sockets::Queues;
use super::{wait_for_address, with};
use crate::arch::{depth, time};
use crate::console;
use crate::sched::{self, WaitOutcome};
use alloc::sync::Arc;
use core::net::SocketAddrV4;
use toro_abi::control::{Control, Protocol};
use toro_netstack::{Error, UdpId};

/// How long a datagram waits for an address of our own.
const ADDRESS_WAIT_NS: u64 = 15_000_000_000;
/// How long a datagram waits for room on its way out: a card that takes nothing for that long is broken.
const ROOM_WAIT_NS: u64 = 1_000_000_000;
/// How often the core is given up before the wait goes by the clock. Usually the first time sends all that is in the way.
const YIELDS_MAX: usize = 256;
const ROOM_AGAIN_NS: u64 = 1_000_000;

/// A socket; dropped, its port is free.
#[derive(Debug)]
pub struct Socket {
    id: UdpId,
    queues: Arc<Queues>,
}

impl Socket {
    /// Takes a port of an address of ours, or of all; port 0 picks a free one.
    ///
    /// # Errors
    /// The port is taken, the address is not ours, or there is no memory.
    pub fn bind(address: SocketAddrV4) -> Result<Self, Error> {
        let _kernel = depth::enter();
        let socket = with(|network| {
            let id = network.stack.udp_bind(address)?;
            Ok(Socket { id, queues: network.sockets.datagrams.queues(id.index()) })
        })?;
        if address.port() != 0 {
            console::control(&Control::Listen { protocol: Protocol::Udp, port: address.port() });
        }
        Ok(socket)
    }

    /// Where it is bound.
    ///
    /// # Errors
    /// None, while it exists.
    pub fn address(&self) -> Result<SocketAddrV4, Error> {
        let _kernel = depth::enter();
        with(|network| network.stack.udp_address(self.id))
    }

    /// The peer that was named.
    ///
    /// # Errors
    /// [`Error::NotConnected`] when none was.
    pub fn peer(&self) -> Result<SocketAddrV4, Error> {
        let _kernel = depth::enter();
        with(|network| network.stack.udp_peer(self.id))
    }

    /// Names the one peer to speak with.
    ///
    /// # Errors
    /// [`Error::InvalidInput`] for one that cannot be.
    pub fn connect(&self, peer: SocketAddrV4) -> Result<(), Error> {
        let _kernel = depth::enter();
        with(|network| network.stack.udp_connect(self.id, peer))
    }

    /// Sends a datagram, in one packet or not at all; waits for room, and for an address of our own if one may still come.
    ///
    /// # Errors
    /// It is too long, or there is no way to the destination; [`Error::WouldBlock`] when the card takes nothing.
    pub fn send_to(&self, data: &[u8], destination: SocketAddrV4) -> Result<(), Error> {
        let _kernel = depth::enter();
        let mut sent = self.send_when_room(data, destination);
        if sent == Err(Error::NetworkUnreachable) && wait_for_address(Some(time::now_ns() + ADDRESS_WAIT_NS)) {
            sent = self.send_when_room(data, destination);
        }
        sent
    }

    #[inline]
    fn send_when_room(&self, data: &[u8], destination: SocketAddrV4) -> Result<(), Error> {
        match self.send_now(data, destination) {
            Err(Error::WouldBlock) => self.send_later(data, destination),
            answer => answer,
        }
    }

    fn send_now(&self, data: &[u8], destination: SocketAddrV4) -> Result<(), Error> {
        with(|network| network.stack.udp_send(self.id, data, destination))
    }

    /// Tries again after others had the core, who bring the card what waits.
    #[cold]
    fn send_later(&self, data: &[u8], destination: SocketAddrV4) -> Result<(), Error> {
        let until_ns = time::now_ns() + ROOM_WAIT_NS;
        let mut yields = 0;
        loop {
            if yields < YIELDS_MAX {
                yields += 1;
                sched::yield_now();
            } else {
                sched::sleep_until(time::now_ns() + ROOM_AGAIN_NS);
            }
            match self.send_now(data, destination) {
                Err(Error::WouldBlock) if time::now_ns() < until_ns => {}
                answer => return answer,
            }
        }
    }

    /// Waits for the next datagram: how much of it fitted, and its source. With `keep` it stays the next one.
    ///
    /// # Errors
    /// [`Error::TimedOut`] at the deadline; [`Error::ConnectionRefused`] when a named peer said so.
    pub fn receive_from(
        &self,
        buffer: &mut [u8],
        keep: bool,
        deadline_ns: Option<u64>,
    ) -> Result<(usize, SocketAddrV4), Error> {
        let _kernel = depth::enter();
        loop {
            match with(|network| network.stack.udp_receive(self.id, buffer, keep)) {
                Err(Error::WouldBlock) => {}
                answer => return answer,
            }
            if self.queues.readers.wait(deadline_ns) == WaitOutcome::TimedOut {
                return Err(Error::TimedOut);
            }
        }
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        let _kernel = depth::enter();
        with(|network| network.stack.udp_close(self.id));
    }
}
