//! A connection's segment, and what has changed after it.
//!
//! Mostly the engine stores the data, the reader is told, and the acknowledgement is left to ride on the answer.

use super::Tcp;
use super::connection::{Connection, Turn};
use super::table::Place;
use crate::error::Error;
use crate::event::{ConnectionId, Event};
use crate::shared::Shared;
use crate::slab::Key;
use toro_tcp::segment::Segment;
use toro_tcp::{NEVER, Phase, Reaction};

impl Tcp {
    /// Takes a segment of the connection at `index`.
    #[inline]
    pub(super) fn input(&mut self, index: u32, segment: &Segment<'_>, now_ns: u64, shared: &mut Shared) {
        let Some(connection) = self.connections.get_mut(index) else { return };
        let connection = &mut **connection;
        connection.heard_at_ns = now_ns;
        let reaction = connection.engine.input(segment, now_ns, &mut shared.memory);
        let by_ns = connection.engine.acknowledge_by();
        if by_ns != NEVER && !core::mem::replace(&mut connection.in_acknowledge_queue, true) {
            self.quiet_until_ns = self.quiet_until_ns.min(by_ns);
            if self.acknowledgements.try_reserve(1).is_ok() {
                self.acknowledgements.push_back((by_ns, connection.key));
            } else {
                connection.in_acknowledge_queue = false; // it rides on the next segment, or the peer asks
            }
        }
        let plain = reaction == Reaction::Nothing && connection.engine.phase() == connection.phase;
        if plain && !connection.orphan && !connection.wants_write && !connection.wants_drained {
            if connection.has_news() {
                connection.wants_read = false;
                shared.events.push(Event::Readable(ConnectionId(connection.key)));
            }
            return;
        }
        match reaction {
            Reaction::Nothing => {}
            Reaction::Turn => self.give_turn(index, Turn::Everything),
            Reaction::Refuse => super::refuse(segment, shared),
            Reaction::Succeed => return self.succeed(index, segment, now_ns, shared),
        }
        self.report(index, shared);
    }

    /// A program still holds a connection that is over, and its peer begins a new one between the same ends: what can be
    /// read stays, the ends are free (RFC 9293, 3.10.7.4; RFC 6191).
    #[cold]
    fn succeed(&mut self, index: u32, segment: &Segment<'_>, now_ns: u64, shared: &mut Shared) {
        let Some(connection) = self.connections.get_mut(index) else { return };
        let (next, _) = connection.engine.ends_at();
        self.report(index, shared);
        self.table.remove_place(&segment.tuple, Place::Connection(index));
        self.unknown(segment, Some(next), now_ns, shared);
    }

    /// Lets a connection send at the next flush.
    #[inline]
    pub(super) fn give_turn(&mut self, index: u32, turn: Turn) {
        let Some(connection) = self.connections.get_mut(index) else { return };
        if connection.turn == Turn::None {
            if self.turns.try_reserve(1).is_err() {
                return; // its own clock brings it back
            }
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
            if phase == Phase::Closed {
                // A new connection between the same ends is possible, though a program may hold the dead one for long.
                self.table.remove_place(&connection.tuple, Place::Connection(index));
            }
        }
        let broke = changed && phase == Phase::Closed;
        if connection.has_news() || connection.wants_read && broke {
            connection.wants_read = false;
            shared.events.push(Event::Readable(ConnectionId(connection.key)));
        }
        let drained = connection.wants_drained && (changed || connection.engine.unacknowledged_bytes() == 0);
        let opened = phase != Phase::Opening && connection.engine.has_room();
        if drained || connection.wants_write && (changed || opened) {
            connection.wants_write &= !changed && !opened;
            connection.wants_drained &= !drained;
            shared.events.push(Event::Writable(ConnectionId(connection.key)));
        }
        if connection.orphan {
            self.settle_orphan(index, shared);
        }
    }

    /// Nobody holds this connection: ends it as soon as there is nothing left to bring over.
    pub(super) fn settle_orphan(&mut self, index: u32, shared: &mut Shared) {
        let Some(connection) = self.connections.get_mut(index) else { return };
        let has_turn = connection.turn != Turn::None;
        if connection.phase == Phase::Closed {
            if !has_turn {
                self.release(index, shared);
            }
        } else if connection.phase == Phase::TimeWait {
            // Not before the peer's end is acknowledged.
            if !has_turn {
                self.retire(index, shared);
            }
        } else if connection.engine.readable_bytes() > 0 {
            // Data that nobody will ever read: the peer has to know.
            connection.engine.abort(&mut shared.memory);
            self.give_turn(index, Turn::Everything);
        }
    }

    /// Ends a connection for a reason from outside; the peer is not told.
    pub(super) fn fail(&mut self, index: u32, error: Error, shared: &mut Shared) {
        let Some(connection) = self.connections.get_mut(index) else { return };
        connection.error = Some(error);
        connection.engine.release(&mut shared.memory);
        self.report(index, shared);
    }

    /// An ICMP error about a segment of ours with that sequence number.
    pub(crate) fn unreachable(&mut self, tuple: &super::Tuple, sequence: u32, error: Error, shared: &mut Shared) {
        let Some(Place::Connection(index)) = self.table.find(tuple) else { return };
        let Some(connection) = self.connections.get_mut(index) else { return };
        // Once it is open, a connection survives such news (RFC 1122, 4.2.3.9); before, our SYN's number proves the sender
        // saw it.
        if connection.phase == Phase::Opening && sequence == connection.isn {
            self.fail(index, error, shared);
        }
    }

    /// A router says that a segment of ours with that sequence number was longer than its way carries.
    pub(crate) fn too_long(&mut self, tuple: &super::Tuple, sequence: u32, packet_bytes: u32) {
        let Some(super::Place::Connection(index)) = self.table.find(tuple) else { return };
        let Some(connection) = self.connections.get_mut(index) else { return };
        if connection.engine.shorten(sequence, packet_bytes) == Reaction::Turn {
            self.give_turn(index, Turn::Everything);
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
            } else if self.connections.get_key(*key).is_some_and(|connection| connection.is_over()) {
                self.settle_orphan(key.index, shared);
            }
        }
    }

    /// The link is up again: whoever waits for an answer of another machine asks for it now.
    pub(crate) fn resume(&mut self, now_ns: u64, shared: &Shared) {
        for index in 0..self.connections.places() {
            if let Some(connection) = self.connections.get_mut(index)
                && !shared.is_local(connection.tuple.remote)
                && connection.link == shared.at()
            {
                connection.engine.resume(now_ns);
                self.give_turn(index, Turn::Everything);
            }
        }
    }

    /// Our address changed: what was bound to another one is over.
    pub(crate) fn readdress(&mut self, shared: &mut Shared) {
        for index in 0..self.connections.places() {
            let local = self.connections.get(index).map(|connection| connection.tuple.local);
            if local.is_some_and(|local| !shared.is_local(local)) {
                self.fail(index, Error::ConnectionAborted, shared);
            }
        }
    }
}

/// Why a connection that the engine closed is closed.
fn reason(connection: &Connection) -> Option<Error> {
    match connection.phase {
        _ if connection.engine.is_silent() => Some(Error::TimedOut),
        Phase::Opening => Some(Error::ConnectionRefused),
        // The last acknowledgement of a connection that both sides ended.
        Phase::Closing if connection.engine.peer_ended() => None,
        Phase::TimeWait => None,
        // It had ended its side: what we wrote after that finds nobody.
        _ if connection.engine.peer_ended() => Some(Error::BrokenPipe),
        _ => Some(Error::ConnectionReset),
    }
}
