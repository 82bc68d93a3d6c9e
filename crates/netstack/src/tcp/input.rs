//! A connection's segment, and what has changed after it.
//!
//! The fast path is a segment with data on an open connection with nothing of ours under way: the engine stores it, the
//! reader is told, and the acknowledgement is left to ride on the answer. It gets no turn to send.

use super::Tcp;
use super::connection::{Connection, Turn};
use super::engine::{Engine, Phase};
use super::segment::{FIN, Segment};
use crate::error::Error;
use crate::event::{ConnectionId, Event};
use crate::outbox::PacketSink;
use crate::shared::Shared;
use crate::slab::Key;

/// How long an acknowledgement may wait for data to ride on. The engine's own figure.
const ACKNOWLEDGE_WITHIN_NS: u64 = 10_000_000;

impl Tcp {
    /// Takes a segment of the connection at `index`.
    pub(super) fn input(&mut self, index: u32, bytes: &[u8], segment: &Segment<'_>, now_ns: u64, shared: &mut Shared) {
        let Some(connection) = self.connections.get_mut(index) else { return };
        let connection = &mut **connection;
        connection.heard_at_ns = now_ns;
        let replies: &mut dyn PacketSink =
            if shared.addresses.is_local(segment.tuple.remote) { &mut shared.loopback } else { &mut shared.outbox };
        connection.engine.input(bytes, now_ns, replies);

        let phase = connection.engine.phase();
        // A connection fresh from a handshake counts as open before, too.
        let was_open = connection.phase == Phase::Open || connection.listener.is_some();
        let quiet =
            was_open && phase == Phase::Open && connection.engine.unacknowledged_bytes() == 0 && !segment.has(FIN);
        let mut owes_at_once = false;
        if segment.payload_bytes > 0 {
            owes_at_once = connection.acknowledge_by_ns.is_some();
            if !owes_at_once {
                let by_ns = now_ns + ACKNOWLEDGE_WITHIN_NS;
                connection.acknowledge_by_ns = Some(by_ns);
                if !core::mem::replace(&mut connection.in_acknowledge_queue, true) {
                    self.acknowledgements.push_back((by_ns, connection.key));
                }
            }
        }
        if phase != Phase::Closed && (owes_at_once || !quiet) {
            self.give_turn(index, Turn::Everything);
        }
        self.report(index, shared);
    }

    /// Lets a connection send at the next flush.
    pub(super) fn give_turn(&mut self, index: u32, turn: Turn) {
        let Some(connection) = self.connections.get_mut(index) else { return };
        if connection.turn == Turn::None {
            self.turns.push(index);
            connection.turn = turn;
        } else if turn == Turn::Everything {
            connection.turn = Turn::Everything;
        }
    }

    /// Notes a change of phase and tells whoever waits.
    pub(super) fn report(&mut self, index: u32, shared: &mut Shared) {
        let Some(connection) = self.connections.get_mut(index) else { return };
        let phase = connection.engine.phase();
        let changed = phase != connection.phase;
        if changed {
            if phase == Phase::Closed && connection.error.is_none() {
                connection.error = reason(connection);
            }
            connection.phase = phase;
        }
        if connection.wants_read && (changed || connection.engine.readable_bytes() > 0) {
            connection.wants_read = false;
            shared.events.push(Event::Readable(ConnectionId(connection.key)));
        }
        if connection.wants_write && (changed || has_room(connection)) {
            connection.wants_write = false;
            shared.events.push(Event::Writable(ConnectionId(connection.key)));
        }
        if connection.orphan {
            self.settle_orphan(index, shared);
        }
    }

    /// Nobody holds this connection: ends it as soon as there is nothing left to bring over.
    pub(super) fn settle_orphan(&mut self, index: u32, shared: &mut Shared) {
        let Some(connection) = self.connections.get_mut(index) else { return };
        if connection.phase == Phase::Closed && connection.turn == Turn::None {
            self.release(index, shared);
        } else if connection.engine.readable_bytes() > 0 && connection.phase != Phase::Closed {
            // Data that nobody will ever read: the peer has to know.
            connection.engine.abort();
            self.give_turn(index, Turn::Everything);
        }
    }

    /// Ends a connection for a reason from outside; the peer is not told.
    pub(super) fn fail(&mut self, index: u32, error: Error, shared: &mut Shared) {
        let Some(connection) = self.connections.get_mut(index) else { return };
        connection.error = Some(error);
        connection.engine.abort();
        self.report(index, shared);
    }

    /// An ICMP error about a segment of ours with that sequence number.
    pub(crate) fn unreachable(&mut self, tuple: &super::Tuple, sequence: u32, error: Error, shared: &mut Shared) {
        let Some(super::Place::Connection(index)) = self.table.find(tuple) else { return };
        let Some(connection) = self.connections.get_mut(index) else { return };
        // Once it is open, a connection survives such news (RFC 1122, 4.2.3.9); before, our SYN's number proves the sender saw it.
        if connection.phase == Phase::Opening && sequence == connection.isn {
            self.fail(index, error, shared);
        }
    }

    /// The neighbour of these connections answered: they can go on.
    pub(crate) fn reachable(&mut self, waiting: &[Key]) {
        for key in waiting {
            if self.connections.get_key(*key).is_some() {
                self.give_turn(key.index, Turn::Everything);
            }
        }
    }

    /// The neighbour of these connections does not answer.
    pub(crate) fn abandoned(&mut self, waiting: &[Key], shared: &mut Shared) {
        for key in waiting {
            let opening = self.connections.get_key(*key).is_some_and(|connection| connection.phase == Phase::Opening);
            if opening {
                self.fail(key.index, Error::HostUnreachable, shared);
            }
        }
    }

    /// Our address changed: what was bound to another one is over.
    pub(crate) fn readdress(&mut self, shared: &mut Shared) {
        let lost: alloc::vec::Vec<u32> = self
            .connections
            .iter()
            .filter(|(_, connection)| !shared.addresses.is_local(connection.tuple.local))
            .map(|(index, _)| index)
            .collect();
        for index in lost {
            self.fail(index, Error::ConnectionAborted, shared);
        }
    }
}

/// Why a connection that the engine closed is closed.
fn reason(connection: &Connection) -> Option<Error> {
    match connection.phase {
        Phase::Opening => Some(Error::ConnectionRefused),
        // The last acknowledgement of a connection that both sides ended.
        Phase::Closing if connection.write_closed => None,
        Phase::TimeWait => None,
        _ => Some(Error::ConnectionReset),
    }
}

/// Whether a blocked writer is worth waking: not for every few bytes.
fn has_room(connection: &Connection) -> bool {
    connection.phase != Phase::Opening && connection.engine.writable_bytes() * 4 >= connection.engine.sizes().send_bytes
}
