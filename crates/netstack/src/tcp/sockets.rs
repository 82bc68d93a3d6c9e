//! What a program asks of a connection. Nothing here waits, and nothing here sends: the next flush does.

use super::Tcp;
use super::connection::{Boxed, Turn};
use super::handshake::initial_sequence;
use super::table::Place;
use crate::address::Way;
use crate::error::Error;
use crate::event::{ConnectionId, Event};
use crate::report::SocketReport;
use crate::shared::Shared;
use crate::sharing::{Sharing, takes};
use crate::steering::Protocol;
use toro_tcp::segment::{Tuple, after};
use toro_tcp::{End, Ip, TcpOption};
use toro_tcp::{Phase, Read};

/// A connection that ended so long ago does not keep its ends from a new one that we begin.
const REUSED_AFTER_NS: u64 = 1_000_000_000;
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
    /// Begins to connect, from `local` if that is given: from its address, unless that is unspecified, and its port, unless that
    /// is 0. A port that is chosen here is none for which `taken` says so. The connection reports `Writable` when it is open
    /// or has failed.
    pub(crate) fn connect(
        &mut self,
        local: Option<End>,
        remote: End,
        taken: &dyn Fn(u16) -> bool,
        now_ns: u64,
        shared: &mut Shared,
    ) -> Result<ConnectionId, Error> {
        let to = remote.ip;
        if remote.port == 0 || to.is_unspecified() || to.is_multicast() || shared.is_broadcast(to) {
            return Err(Error::InvalidInput);
        }
        let way = shared.way(to).ok_or(Error::NetworkUnreachable)?;
        let (bound_ip, local_port) = local.map_or((Ip::UNSPECIFIED, 0), |local| (local.ip, local.port));
        let local = match bound_ip {
            ip if ip != Ip::UNSPECIFIED && ip.is_v4() != to.is_v4() => return Err(Error::Unsupported),
            ip if ip.is_unspecified() => shared.addresses.source_for(to).ok_or(Error::NetworkUnreachable)?,
            ip if !shared.addresses.is_local(ip) => return Err(Error::AddressNotAvailable),
            // No other machine could answer it.
            ip if ip.is_loopback() && way != Way::Loopback => return Err(Error::InvalidInput),
            ip => ip,
        };
        let mut tuple = Tuple { local, remote: to, local_port, remote_port: remote.port };
        if local_port == 0 {
            tuple.local_port = self.free_port(&tuple, taken, now_ns, shared).ok_or(Error::AddressInUse)?;
        } else if !self.is_free(&tuple, now_ns) {
            return Err(Error::AddressNotAvailable);
        }
        let mut isn = initial_sequence(&tuple, now_ns, shared);
        if let Some(Place::TimeWait(number)) = self.table.find(&tuple) {
            // The old connection's successor, told apart by its numbers (RFC 6191).
            if let Some(closed) = self.time_waits.get(number).filter(|closed| !after(isn, closed.next)) {
                isn = closed.next.wrapping_add(1 + u32::from(u16::MAX));
            }
            self.time_waits.remove(number);
            self.table.remove(&tuple);
        }
        let key = self.open_connecting(tuple, isn, now_ns, shared).ok_or(Error::OutOfMemory)?;
        if let Some(connection) = self.connections.get_mut(key.index) {
            connection.wants_write = true;
        }
        shared.statistics.connections_opened += 1;
        self.give_turn(key.index, Turn::Everything);
        Ok(ConnectionId(key))
    }

    /// A port for a new connection: one that nobody has, or else one whose connection between the same ends is long over.
    fn free_port(&self, tuple: &Tuple, taken: &dyn Fn(u16) -> bool, now_ns: u64, shared: &mut Shared) -> Option<u16> {
        let random = shared.random.draw();
        let may_have =
            |port: u16| shared.may_choose(Protocol::Tcp, port) && !self.has_listener(tuple.local, port) && !taken(port);
        let with = |local_port: u16| Tuple { local_port, ..*tuple };
        super::ephemeral_ports(random)
            .find(|&port| self.table.find(&with(port)).is_none() && !with(port).is_loop() && may_have(port))
            .or_else(|| {
                super::ephemeral_ports(random).find(|&port| self.is_free(&with(port), now_ns) && may_have(port))
            })
    }

    /// Whether a connection between these ends can be made: there is none, and none has just ended.
    fn is_free(&self, tuple: &Tuple, now_ns: u64) -> bool {
        let free = match self.table.find(tuple) {
            None => true,
            Some(Place::TimeWait(number)) => {
                self.time_waits.get(number).is_none_or(|closed| closed.since_ns() + REUSED_AFTER_NS <= now_ns)
            }
            Some(_) => false,
        };
        free && !tuple.is_loop()
    }

    /// Whether connections have that port of ours, living ones or some that ended lately.
    pub(crate) fn has_port(&self, bound: End, sharing: Sharing, now_ns: u64) -> bool {
        self.table.any(|tuple, place| {
            let over = matches!(place, Place::TimeWait(number)
                if self.time_waits.get(number).is_none_or(|closed| closed.until_ns <= now_ns));
            tuple.local_port == bound.port && takes(bound.ip, sharing, tuple.local) && !over
        })
    }

    /// Whether a connection that was begun is open now.
    pub(crate) fn connected(&mut self, id: ConnectionId) -> Result<(), Error> {
        let connection = self.connections.get_key_mut(id.0).ok_or(Error::NotConnected)?;
        match connection.phase {
            Phase::Opening => {
                connection.wants_write = true;
                Err(Error::WouldBlock)
            }
            Phase::Closed => Err(connection.error.take().unwrap_or(Error::NotConnected)),
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
        let read = connection.engine.read(buffer, &mut shared.memory);
        let answer = connection.answer(read);
        if matches!(read, Read::Opening(_)) {
            self.give_turn(id.0.index, Turn::Everything);
        }
        answer
    }

    /// As [`read`](Self::read), without a copy in between: `take` sees what there is, and says how much it took.
    pub(crate) fn read_with(
        &mut self,
        id: ConnectionId,
        bytes_max: usize,
        take: &mut dyn FnMut(&[u8]) -> usize,
        shared: &mut Shared,
    ) -> Result<usize, Error> {
        let connection = self.connections.get_key_mut(id.0).ok_or(Error::NotConnected)?;
        if bytes_max == 0 {
            return Ok(0);
        }
        let read = connection.engine.read_with(bytes_max, take, &mut shared.memory);
        let answer = connection.answer(read);
        if matches!(read, Read::Opening(_)) {
            self.give_turn(id.0.index, Turn::Everything);
        }
        answer
    }

    /// Takes as much as there is room for, at least one byte.
    #[inline]
    pub(crate) fn write(&mut self, id: ConnectionId, data: &[u8], shared: &mut Shared) -> Result<usize, Error> {
        let connection = self.open_for_writing(id)?;
        let written = connection.engine.write(data, &mut shared.memory);
        let answer = connection.written(data.len(), written);
        if answer.is_ok() {
            self.give_turn(id.0.index, Turn::Written);
        }
        answer
    }

    /// As [`write`](Self::write), without a copy in between: `fill` writes, and says how much.
    pub(crate) fn write_with(
        &mut self,
        id: ConnectionId,
        bytes_max: usize,
        fill: &mut dyn FnMut(&mut [u8]) -> usize,
        shared: &mut Shared,
    ) -> Result<usize, Error> {
        let connection = self.open_for_writing(id)?;
        let mut offered = 0;
        let written = connection.engine.write_with(
            bytes_max,
            &mut |room| {
                offered += room.len();
                fill(room)
            },
            &mut shared.memory,
        );
        // What was not filled is no sign that there is no room, though more than there is was to be written.
        let filled_all = written.is_none_or(|written| written == offered);
        let wanted = if offered < bytes_max && filled_all { bytes_max } else { written.unwrap_or(0) };
        let answer = connection.written(wanted, written);
        if answer.is_ok() {
            self.give_turn(id.0.index, Turn::Written);
        }
        answer
    }

    #[inline]
    fn open_for_writing(&mut self, id: ConnectionId) -> Result<&mut Boxed, Error> {
        let connection = self.connections.get_key_mut(id.0).ok_or(Error::NotConnected)?;
        if connection.phase == Phase::Opening {
            connection.wants_write = true;
            return Err(Error::WouldBlock);
        }
        Ok(connection)
    }

    /// Ends the sending half after what was written.
    pub(crate) fn shutdown_write(&mut self, id: ConnectionId, shared: &mut Shared) -> Result<(), Error> {
        let connection = self.connections.get_key_mut(id.0).ok_or(Error::NotConnected)?;
        if connection.phase == Phase::Opening {
            return Err(Error::NotConnected);
        }
        connection.write_closed = true;
        connection.engine.close(&mut shared.memory);
        self.give_turn(id.0.index, Turn::Everything);
        // A blocked writer has to hear that nothing can be written any more.
        self.report(id.0.index, shared);
        Ok(())
    }

    /// Ends the receiving half for this side: what has come can still be read, and then there is the end.
    pub(crate) fn shutdown_read(&mut self, id: ConnectionId, shared: &mut Shared) {
        if let Some(connection) = self.connections.get_key_mut(id.0) {
            connection.read_closed = true;
            if core::mem::take(&mut connection.wants_read) {
                shared.events.push(Event::Readable(id));
            }
        }
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
            _ if unread || ending == Ending::Reset => connection.engine.abort(&mut shared.memory),
            _ => {
                connection.write_closed = true;
                connection.engine.close(&mut shared.memory);
                connection.engine.orphan(ORPHAN_PATIENCE_NS, now_ns);
            }
        }
        connection.phase = connection.engine.phase();
        self.give_turn(id.0.index, Turn::Everything);
    }

    /// The connection with this number, if a program holds it.
    pub(crate) fn connection_at(&self, index: usize) -> Option<ConnectionId> {
        let key = self.connections.key(index as u32)?;
        self.connections.get_key(key).filter(|connection| !connection.orphan).map(|_| ConnectionId(key))
    }

    /// Our end and the peer's.
    pub(crate) fn ends(&self, id: ConnectionId) -> Result<(End, End), Error> {
        let tuple = self.connections.get_key(id.0).ok_or(Error::NotConnected)?.tuple;
        Ok(ends(&tuple))
    }

    /// Describes the connections.
    pub(crate) fn report_connections(&self, tell: &mut dyn FnMut(SocketReport)) {
        for (_, connection) in self.connections.iter() {
            let info = connection.engine.describe();
            let (local, remote) = ends(&connection.tuple);
            tell(SocketReport {
                remote: Some(remote.into()),
                unread: connection.engine.readable_bytes(),
                unsent: connection.engine.unacknowledged_bytes(),
                retransmitted: info.retransmitted_segments,
                round_trip_ns: info.round_trip_ns,
                window_bytes: info.congestion_window_bytes,
                ..SocketReport::new(Protocol::Tcp, info.state.name(), local.into())
            });
        }
    }

    /// Does as an option says.
    pub(crate) fn tune(&mut self, id: ConnectionId, option: TcpOption, now_ns: u64) -> Result<(), Error> {
        let connection = self.connections.get_key_mut(id.0).ok_or(Error::NotConnected)?;
        let sound = match option {
            TcpOption::KeepAlive(Some(keep_alive)) => keep_alive.is_sound(),
            TcpOption::UserTimeout(Some(timeout_ns)) => timeout_ns > 0,
            TcpOption::Hops(hops) => hops > 0,
            _ => true,
        };
        if !sound {
            return Err(Error::InvalidInput);
        }
        if connection.phase == Phase::Closed {
            return Ok(());
        }
        connection.engine.tune(option, now_ns);
        if connection.is_synchronised() {
            self.give_turn(id.0.index, Turn::Everything);
        }
        Ok(())
    }
}

/// Our end and the peer's.
fn ends(tuple: &Tuple) -> (End, End) {
    (End::new(tuple.local, tuple.local_port), End::new(tuple.remote, tuple.remote_port))
}
