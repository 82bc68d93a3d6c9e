//! Listeners: who is asked for, and who waits to be accepted.

use super::Tcp;
use super::engine::{Engine, Phase};
use crate::error::Error;
use crate::event::{ConnectionId, ListenerId};
use crate::shared::Shared;
use crate::slab::Key;
use crate::steering::Protocol;
use alloc::collections::VecDeque;
use core::net::{Ipv4Addr, SocketAddrV4};

#[derive(Debug)]
pub(super) struct Listener {
    pub(super) address: SocketAddrV4,
    backlog: usize,
    queue: VecDeque<Key>,
    wants_accept: bool,
}

impl Listener {
    pub(super) fn is_full(&self) -> bool {
        self.queue.len() >= self.backlog
    }

    /// Whether one more may wait; its place is there from then on.
    pub(super) fn make_room(&mut self) -> bool {
        !self.is_full() && self.queue.try_reserve(1).is_ok()
    }

    /// Queues a connection; `true` when somebody waits for one.
    pub(super) fn push(&mut self, connection: Key) -> bool {
        self.queue.push_back(connection);
        core::mem::take(&mut self.wants_accept)
    }

    pub(super) fn forget(&mut self, connection: Key) {
        self.queue.retain(|queued| *queued != connection);
    }

    fn serves(&self, ip: Ipv4Addr, port: u16) -> bool {
        self.address.port() == port && (self.address.ip().is_unspecified() || *self.address.ip() == ip)
    }
}

impl Tcp {
    /// Listens; port 0 picks a free one. Says whether no other core does on that port.
    pub(crate) fn listen(
        &mut self,
        address: SocketAddrV4,
        backlog: usize,
        shared: &mut Shared,
    ) -> Result<(ListenerId, bool), Error> {
        let ip = *address.ip();
        if !ip.is_unspecified() && !shared.addresses.is_local(ip) {
            return Err(Error::AddressNotAvailable);
        }
        let port = match address.port() {
            0 => self.free_listener_port(ip, shared).ok_or(Error::AddressInUse)?,
            port if self.is_taken(ip, port) => return Err(Error::AddressInUse),
            port => port,
        };
        let listener = Listener {
            address: SocketAddrV4::new(ip, port),
            backlog: backlog.max(1),
            queue: VecDeque::new(),
            wants_accept: false,
        };
        let key = self.listeners.insert(listener).map_err(|_| Error::OutOfMemory)?;
        let Some(first) = shared.listen(Protocol::Tcp, port) else {
            self.listeners.remove(key.index);
            return Err(Error::OutOfMemory);
        };
        Ok((ListenerId(key), first))
    }

    fn is_taken(&self, ip: Ipv4Addr, port: u16) -> bool {
        self.listeners
            .iter()
            .any(|(_, listener)| listener.serves(ip, port) || (ip.is_unspecified() && listener.address.port() == port))
    }

    fn free_listener_port(&self, ip: Ipv4Addr, shared: &mut Shared) -> Option<u16> {
        super::ephemeral_ports(shared.random.draw())
            .find(|&port| shared.may_choose(Protocol::Tcp, port) && !self.is_taken(ip, port))
    }

    pub(super) fn listener_for(&self, ip: Ipv4Addr, port: u16) -> Option<Key> {
        let (index, _) = self.listeners.iter().find(|(_, listener)| listener.serves(ip, port))?;
        self.listeners.key(index)
    }

    /// The next connection that waits, with its peer.
    pub(crate) fn accept(
        &mut self,
        id: ListenerId,
        shared: &mut Shared,
    ) -> Result<(ConnectionId, SocketAddrV4), Error> {
        loop {
            let listener = self.listeners.get_key_mut(id.0).ok_or(Error::NotConnected)?;
            let Some(key) = listener.queue.pop_front() else {
                listener.wants_accept = true;
                return Err(Error::WouldBlock);
            };
            let Some(connection) = self.connections.get_key_mut(key) else { continue };
            connection.listener = None;
            if connection.phase == Phase::Closed && connection.engine.readable_bytes() == 0 {
                // The peer gave up while it waited; nothing of it is worth an accept.
                self.release(key.index, shared);
                continue;
            }
            let tuple = connection.tuple;
            return Ok((ConnectionId(key), SocketAddrV4::new(tuple.remote, tuple.remote_port)));
        }
    }

    pub(crate) fn listener_address(&self, id: ListenerId) -> Result<SocketAddrV4, Error> {
        self.listeners.get_key(id.0).map(|listener| listener.address).ok_or(Error::NotConnected)
    }

    /// Stops listening; whoever was not accepted is reset.
    pub(crate) fn close_listener(&mut self, id: ListenerId, shared: &mut Shared) {
        if self.listeners.get_key(id.0).is_none() {
            return;
        }
        while let Some(half_open) = self.half_open.remove_of(id.0) {
            self.table.remove(&half_open.handshake.tuple);
        }
        if let Some(listener) = self.listeners.remove(id.0.index) {
            let port = listener.address.port();
            if self.listeners.iter().all(|(_, other)| other.address.port() != port) {
                shared.unlisten(Protocol::Tcp, port);
            }
            for key in listener.queue {
                self.close(ConnectionId(key), super::sockets::Ending::Reset, 0, shared);
            }
        }
    }
}
