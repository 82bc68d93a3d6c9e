//! Listeners: who is asked for, and who waits to be accepted.

use super::{Tcp, flow};
use crate::error::Error;
use crate::event::{ConnectionId, ListenerId};
use crate::report::SocketReport;
use crate::shared::Shared;
use crate::sharing::{Claim, Sharing, takes};
use crate::slab::Key;
use crate::steering::Protocol;
use alloc::collections::VecDeque;
use toro_tcp::segment::Tuple;
use toro_tcp::{End, Ip, Phase};

#[derive(Debug)]
pub(super) struct Listener {
    pub(super) address: End,
    sharing: Sharing,
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

    /// Whether somebody can be accepted; whoever asks hears of the next one.
    pub(super) fn arm(&mut self) -> bool {
        self.wants_accept = true;
        !self.queue.is_empty()
    }

    pub(super) fn forget(&mut self, connection: Key) {
        self.queue.retain(|queued| *queued != connection);
    }

    fn serves(&self, ip: Ip, port: u16) -> bool {
        self.address.port == port && takes(self.address.ip, self.sharing, ip)
    }
}

impl Tcp {
    /// Listens; port 0 picks a free one. Says whether no other core does on that port.
    pub(crate) fn listen(
        &mut self,
        address: End,
        sharing: Sharing,
        backlog: usize,
        shared: &mut Shared,
    ) -> Result<(ListenerId, bool), Error> {
        let ip = address.ip;
        if !ip.is_unspecified() && !shared.is_local(ip) {
            return Err(Error::AddressNotAvailable);
        }
        let claim = Claim { ip, sharing, exclusive: true };
        let port = match address.port {
            0 => self.free_listener_port(&claim, shared).ok_or(Error::AddressInUse)?,
            port if self.is_taken(&claim, port) => return Err(Error::AddressInUse),
            port => port,
        };
        let listener = Listener {
            address: End::new(ip, port),
            sharing,
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

    fn is_taken(&self, claim: &Claim, port: u16) -> bool {
        self.listeners.iter().any(|(_, listener)| {
            let other = Claim { ip: listener.address.ip, sharing: listener.sharing, exclusive: true };
            listener.address.port == port && claim.conflicts(&other)
        })
    }

    fn free_listener_port(&self, claim: &Claim, shared: &mut Shared) -> Option<u16> {
        let claim = Claim { sharing: Sharing::default(), ..*claim };
        super::ephemeral_ports(shared.random.draw())
            .find(|&port| shared.may_choose(Protocol::Tcp, port) && !self.is_taken(&claim, port))
    }

    /// Whether somebody listens.
    pub(super) fn has_listener(&self, ip: Ip, port: u16) -> bool {
        self.listeners.iter().any(|(_, listener)| listener.serves(ip, port))
    }

    /// Who is asked for: rather one that listens on this very address, and of several the one that the flow falls to.
    pub(super) fn listener_for(&self, tuple: &Tuple, shared: &Shared) -> Option<Key> {
        let among = |exact: bool| {
            self.listeners.iter().filter(move |(_, listener)| {
                listener.serves(tuple.local, tuple.local_port) && listener.address.ip.is_unspecified() != exact
            })
        };
        let exact = among(true).next().is_some();
        let skipped = match among(exact).count() as u64 {
            0..=1 => 0,
            several => ((flow(tuple, &shared.config) >> 32) * several) >> 32,
        };
        let (index, _) = among(exact).nth(skipped as usize)?;
        self.listeners.key(index)
    }

    /// How many connections may wait to be accepted.
    pub(crate) fn set_backlog(&mut self, id: ListenerId, backlog: usize) -> Result<(), Error> {
        self.listeners.get_key_mut(id.0).ok_or(Error::NotConnected)?.backlog = backlog.max(1);
        Ok(())
    }

    /// The next connection that waits, with its peer.
    pub(crate) fn accept(&mut self, id: ListenerId, shared: &mut Shared) -> Result<(ConnectionId, End), Error> {
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
            return Ok((ConnectionId(key), End::new(tuple.remote, tuple.remote_port)));
        }
    }

    /// The listener with this number.
    pub(crate) fn listener_at(&self, index: usize) -> Option<ListenerId> {
        self.listeners.key(index as u32).map(ListenerId)
    }

    pub(crate) fn listener_address(&self, id: ListenerId) -> Result<End, Error> {
        self.listeners.get_key(id.0).map(|listener| listener.address).ok_or(Error::NotConnected)
    }

    /// Describes those who listen.
    pub(crate) fn report_listeners(&self, tell: &mut dyn FnMut(SocketReport)) {
        for (_, listener) in self.listeners.iter() {
            let (unread, unsent) = (listener.queue.len(), listener.backlog);
            let report = SocketReport::new(Protocol::Tcp, "listen", listener.address.into());
            tell(SocketReport { unread, unsent, ..report });
        }
    }

    /// Stops listening; whoever was not accepted is reset.
    pub(crate) fn close_listener(&mut self, id: ListenerId, shared: &mut Shared) {
        if self.listeners.get_key(id.0).is_none() {
            return;
        }
        self.half_open.remove_all_of(id.0, |tuple| self.table.remove(tuple));
        if let Some(listener) = self.listeners.remove(id.0.index) {
            let port = listener.address.port;
            if self.listeners.iter().all(|(_, other)| other.address.port != port) {
                shared.unlisten(Protocol::Tcp, port);
            }
            for key in listener.queue {
                self.close(ConnectionId(key), super::sockets::Ending::Reset, 0, shared);
            }
        }
    }
}
