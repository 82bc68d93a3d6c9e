//! UDP for threads.

use super::carry::Handle;
use super::sockets::Queues;
use super::{wait_for_address, with};
use crate::arch::{depth, time};
use crate::console;
use crate::sched::{self, WaitOutcome};
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
pub struct Socket(Handle<UdpId>);

impl Socket {
    /// Takes a port of an address of ours, or of all; port 0 picks a free one.
    ///
    /// # Errors
    /// The port is taken, the address is not ours, or there is no memory.
    pub fn bind(address: SocketAddrV4) -> Result<Self, Error> {
        let _kernel = depth::enter();
        let socket = with(|network| {
            let id = network.stack.udp_bind(address)?;
            Ok(Socket(Handle::new(id, network.sockets.datagrams.queues(id.index()))))
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
        self.0.call(|id, _| with(|network| network.stack.udp_address(id)))
    }

    /// The peer that was named.
    ///
    /// # Errors
    /// [`Error::NotConnected`] when none was.
    pub fn peer(&self) -> Result<SocketAddrV4, Error> {
        let _kernel = depth::enter();
        self.0.call(|id, _| with(|network| network.stack.udp_peer(id)))
    }

    /// Names the one peer to speak with.
    ///
    /// # Errors
    /// [`Error::InvalidInput`] for one that cannot be.
    pub fn connect(&self, peer: SocketAddrV4) -> Result<(), Error> {
        let _kernel = depth::enter();
        self.0.call(|id, _| with(|network| network.stack.udp_connect(id, peer)))
    }

    /// Sends a datagram, in one packet or not at all; waits for room, and for an address of our own if one may still come.
    ///
    /// # Errors
    /// It is too long, or there is no way to the destination; [`Error::WouldBlock`] when the card takes nothing.
    pub fn send_to(&self, data: &[u8], destination: SocketAddrV4) -> Result<(), Error> {
        let _kernel = depth::enter();
        self.0.call(|id, _| send(id, data, destination))
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
        self.0.call(|id, queues| receive(id, queues, buffer, keep, deadline_ns))
    }
}

fn send(id: UdpId, data: &[u8], destination: SocketAddrV4) -> Result<(), Error> {
    let mut sent = send_when_room(id, data, destination);
    if sent == Err(Error::NetworkUnreachable) && wait_for_address(Some(time::now_ns() + ADDRESS_WAIT_NS)) {
        sent = send_when_room(id, data, destination);
    }
    sent
}

#[inline]
fn send_when_room(id: UdpId, data: &[u8], destination: SocketAddrV4) -> Result<(), Error> {
    match send_now(id, data, destination) {
        Err(Error::WouldBlock) => send_later(id, data, destination),
        answer => answer,
    }
}

fn send_now(id: UdpId, data: &[u8], destination: SocketAddrV4) -> Result<(), Error> {
    with(|network| network.stack.udp_send(id, data, destination))
}

/// Tries again after others had the core, who bring the card what waits.
#[cold]
fn send_later(id: UdpId, data: &[u8], destination: SocketAddrV4) -> Result<(), Error> {
    let until_ns = time::now_ns() + ROOM_WAIT_NS;
    let mut yields = 0;
    loop {
        if yields < YIELDS_MAX {
            yields += 1;
            sched::yield_now();
        } else {
            sched::sleep_until(time::now_ns() + ROOM_AGAIN_NS);
        }
        match send_now(id, data, destination) {
            Err(Error::WouldBlock) if time::now_ns() < until_ns => {}
            answer => return answer,
        }
    }
}

fn receive(
    id: UdpId,
    queues: &Queues,
    buffer: &mut [u8],
    keep: bool,
    deadline_ns: Option<u64>,
) -> Result<(usize, SocketAddrV4), Error> {
    loop {
        match with(|network| network.stack.udp_receive(id, buffer, keep)) {
            Err(Error::WouldBlock) => {}
            answer => return answer,
        }
        if queues.readers.wait(deadline_ns) == WaitOutcome::TimedOut {
            return Err(Error::TimedOut);
        }
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        let _kernel = depth::enter();
        self.0.end(|id| with(|network| network.stack.udp_close(id)));
    }
}
