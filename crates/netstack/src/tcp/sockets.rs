//! What a program asks of a connection. Nothing here waits, and nothing here sends: the next flush does.

use super::Tcp;
use super::connection::Turn;
use super::engine::{Engine, NEVER, Phase, Read};
use super::handshake::initial_sequence;
use super::segment::Tuple;
use crate::error::Error;
use crate::event::ConnectionId;
use crate::shared::Shared;
use crate::steering::Protocol;
use core::net::SocketAddrV4;

/// Silence after which a connection that nobody holds is given up.
const ORPHAN_PATIENCE_NS: u64 = 60_000_000_000;

/// How a program lets go of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// What was written is brought over, then the connection ends in order.
    Orderly,
    /// At once; the peer sees a reset.
    Reset,
}

impl Tcp {
    /// Begins to connect. The connection reports `Writable` when it is open or has failed.
    pub(crate) fn connect(
        &mut self,
        remote: SocketAddrV4,
        now_ns: u64,
        shared: &mut Shared,
    ) -> Result<ConnectionId, Error> {
        if remote.port() == 0
            || remote.ip().is_unspecified()
            || remote.ip().is_multicast()
            || shared.addresses.is_broadcast(*remote.ip())
        {
            return Err(Error::InvalidInput);
        }
        let local = shared.addresses.source_for(*remote.ip()).ok_or(Error::NetworkUnreachable)?;
        if shared.addresses.way(*remote.ip()).is_none() {
            return Err(Error::NetworkUnreachable);
        }
        let mut tuple = Tuple { local, remote: *remote.ip(), local_port: 0, remote_port: remote.port() };
        tuple.local_port = super::ephemeral_ports(shared.random.draw())
            .find(|&local_port| {
                // Not to itself.
                shared.may_choose(Protocol::Tcp, local_port)
                    && (local_port, local) != (remote.port(), *remote.ip())
                    && self.table.find(&Tuple { local_port, ..tuple }).is_none()
                    && self.listener_for(local, local_port).is_none()
            })
            .ok_or(Error::AddressInUse)?;
        let isn = initial_sequence(&tuple, now_ns, shared);
        let key = self.open_connecting(tuple, isn, now_ns, shared).ok_or(Error::OutOfMemory)?;
        if let Some(connection) = self.connections.get_mut(key.index) {
            connection.wants_write = true;
        }
        shared.statistics.connections_opened += 1;
        self.give_turn(key.index, Turn::Everything);
        Ok(ConnectionId(key))
    }

    /// Whether a connection that was begun is open now.
    pub(crate) fn connected(&mut self, id: ConnectionId) -> Result<(), Error> {
        let connection = self.connections.get_key_mut(id.0).ok_or(Error::NotConnected)?;
        match connection.phase {
            Phase::Opening => {
                connection.wants_write = true;
                Err(Error::WouldBlock)
            }
            Phase::Closed => Err(connection.error.unwrap_or(Error::NotConnected)),
            _ => Ok(()),
        }
    }

    /// Reads what has come; 0 at the end of the peer's stream (or for an empty buffer).
    #[inline]
    pub(crate) fn read(&mut self, id: ConnectionId, buffer: &mut [u8], shared: &mut Shared) -> Result<usize, Error> {
        let connection = self.connections.get_key_mut(id.0).ok_or(Error::NotConnected)?;
        if buffer.is_empty() {
            return Ok(0);
        }
        match connection.engine.read(buffer, shared) {
            Read::Bytes(bytes) => Ok(bytes),
            Read::Opening(bytes) => {
                self.give_turn(id.0.index, Turn::Everything);
                Ok(bytes)
            }
            Read::Empty => {
                connection.wants_read = true;
                Err(Error::WouldBlock)
            }
            Read::End => Ok(0),
            Read::Broken => match connection.error {
                Some(error) => Err(error),
                None => Ok(0),
            },
        }
    }

    /// Takes as much as there is room for, at least one byte.
    #[inline]
    pub(crate) fn write(&mut self, id: ConnectionId, data: &[u8], shared: &mut Shared) -> Result<usize, Error> {
        let connection = self.connections.get_key_mut(id.0).ok_or(Error::NotConnected)?;
        if connection.phase == Phase::Opening {
            connection.wants_write = true;
            return Err(Error::WouldBlock);
        }
        match connection.engine.write(data, shared) {
            // There is no buffer, and nothing under way whose end could free one.
            Some(0) if !data.is_empty() && connection.engine.unacknowledged_bytes() == 0 => Err(Error::OutOfMemory),
            Some(0) if !data.is_empty() => {
                connection.wants_write = true;
                Err(Error::WouldBlock)
            }
            Some(bytes) => {
                connection.unsent_bytes += bytes;
                self.give_turn(id.0.index, Turn::Written);
                Ok(bytes)
            }
            None if connection.write_closed => Err(Error::BrokenPipe),
            None => Err(connection.error.unwrap_or(Error::BrokenPipe)),
        }
    }

    /// Ends the sending half after what was written.
    pub(crate) fn shutdown_write(&mut self, id: ConnectionId, shared: &mut Shared) -> Result<(), Error> {
        let connection = self.connections.get_key_mut(id.0).ok_or(Error::NotConnected)?;
        if connection.phase == Phase::Opening {
            return Err(Error::NotConnected);
        }
        connection.write_closed = true;
        connection.engine.close(shared);
        self.give_turn(id.0.index, Turn::Everything);
        // A blocked writer has to hear that nothing can be written any more.
        self.report(id.0.index, shared);
        Ok(())
    }

    /// Lets go of a connection; its name is stale from here on.
    pub(crate) fn close(&mut self, id: ConnectionId, ending: Ending, now_ns: u64, shared: &mut Shared) {
        let Some(connection) = self.connections.get_key_mut(id.0) else { return };
        connection.orphan = true;
        connection.listener = None;
        connection.wants_read = false;
        connection.wants_write = false;
        let unread = connection.engine.readable_bytes() > 0;
        match connection.phase {
            // Everything was said, or nothing was heard: nobody has to be told.
            Phase::Closed if connection.turn == Turn::None => return self.release(id.0.index, shared),
            Phase::Closed => {}
            Phase::Opening if !connection.spoke => return self.release(id.0.index, shared),
            // RFC 2525, 2.17: data that was never read is lost, and the peer must know.
            _ if unread || ending == Ending::Reset => connection.engine.abort(shared),
            _ => {
                connection.write_closed = true;
                connection.engine.close(shared);
                connection.engine.orphan(ORPHAN_PATIENCE_NS, now_ns);
            }
        }
        connection.phase = connection.engine.phase();
        self.give_turn(id.0.index, Turn::Everything);
    }

    /// Our end and the peer's.
    pub(crate) fn ends(&self, id: ConnectionId) -> Result<(SocketAddrV4, SocketAddrV4), Error> {
        let tuple = self.connections.get_key(id.0).ok_or(Error::NotConnected)?.tuple;
        Ok((SocketAddrV4::new(tuple.local, tuple.local_port), SocketAddrV4::new(tuple.remote, tuple.remote_port)))
    }

    /// Sends small writes at once instead of gathering them while others are under way.
    pub(crate) fn set_no_delay(&mut self, id: ConnectionId, on: bool) -> Result<(), Error> {
        let connection = self.connections.get_key_mut(id.0).ok_or(Error::NotConnected)?;
        connection.engine.set_no_delay(on);
        if connection.is_synchronised() {
            self.give_turn(id.0.index, Turn::Everything);
        }
        Ok(())
    }

    /// Probes a silent peer at that interval, and gives up after four of them without an answer. Nothing happens to a
    /// connection that is not open yet, or no more.
    pub(crate) fn set_keep_alive(
        &mut self,
        id: ConnectionId,
        interval_ns: Option<u64>,
        now_ns: u64,
    ) -> Result<(), Error> {
        let connection = self.connections.get_key_mut(id.0).ok_or(Error::NotConnected)?;
        if interval_ns == Some(0) {
            return Err(Error::InvalidInput);
        }
        if !connection.is_synchronised() {
            return Ok(());
        }
        let interval_ns = interval_ns.unwrap_or(NEVER);
        connection.engine.set_keep_alive(interval_ns, now_ns);
        connection.engine.set_patience(interval_ns.saturating_mul(4), now_ns);
        if interval_ns != NEVER {
            self.arm(id.0.index, now_ns.saturating_add(interval_ns));
        }
        Ok(())
    }
}
