//! Where connections come from and go to: memory, tuples and names.

use super::Tcp;
use super::connection::{Boxed, COST_BYTES, Connection};
use super::table::Place;
use crate::config::Limits;
use crate::event::Statistics;
use crate::shared::Shared;
use crate::slab::Key;
use toro_tcp::Handshake;
use toro_tcp::segment::Tuple;

/// Ended connections kept to be used again.
const SPARES_MAX: usize = 64;

impl Tcp {
    /// Makes the connection that a finished handshake stands for, in the handshake's place.
    pub(super) fn open_accepted(&mut self, handshake: &Handshake, now_ns: u64, shared: &mut Shared) -> Option<Key> {
        let mut connection = self.take_connection(handshake.tuple, handshake.isn, now_ns, shared)?;
        connection.engine.accept(handshake, now_ns, &shared.terms(handshake.tuple.remote));
        self.place(connection, shared)
    }

    /// Makes a connection that will ask for itself.
    pub(super) fn open_connecting(&mut self, tuple: Tuple, isn: u32, now_ns: u64, shared: &mut Shared) -> Option<Key> {
        let mut connection = self.take_connection(tuple, isn, now_ns, shared)?;
        let offset = super::handshake::stamp_offset(&tuple, shared);
        connection.engine.connect(tuple, isn, offset, now_ns, &shared.terms(tuple.remote));
        self.place(connection, shared)
    }

    fn take_connection(&mut self, tuple: Tuple, isn: u32, now_ns: u64, shared: &mut Shared) -> Option<Boxed> {
        if !shared.memory.charge(COST_BYTES) {
            return None;
        }
        let fresh = Connection::new(tuple, isn, now_ns);
        let Some(mut spare) = self.spares.pop() else {
            let made = Boxed::new(fresh);
            if made.is_none() {
                shared.memory.refund(COST_BYTES);
                shared.statistics.out_of_memory += 1;
            }
            return made;
        };
        *spare = fresh;
        Some(spare)
    }

    /// Makes sure that one more connection can get turns and timers without a further allocation.
    fn make_room(&mut self) -> bool {
        let connections = self.connections.len() + 1;
        self.turns.try_reserve(connections.saturating_sub(self.turns.len())).is_ok()
            && self.timers.reserve(connections).is_ok()
    }

    fn place(&mut self, connection: Boxed, shared: &mut Shared) -> Option<Key> {
        let tuple = connection.tuple;
        let inserted = if self.make_room() { self.connections.insert(connection) } else { Err(connection) };
        let key = match inserted {
            Ok(key) => key,
            Err(connection) => {
                self.give_back(connection, shared);
                return None;
            }
        };
        if let Some(connection) = self.connections.get_mut(key.index) {
            connection.key = key;
            connection.link = shared.link_of(tuple.local).unwrap_or(0);
        }
        if !self.table.set(tuple, Place::Connection(key.index)) {
            if let Some(connection) = self.connections.remove(key.index) {
                self.give_back(connection, shared);
            }
            return None;
        }
        Some(key)
    }

    fn give_back(&mut self, mut connection: Boxed, shared: &mut Shared) {
        connection.engine.release(&mut shared.memory);
        shared.statistics.segments_retransmitted += u64::from(connection.engine.retransmitted_segments());
        shared.memory.refund(COST_BYTES);
        if self.spares.len() < SPARES_MAX && self.spares.try_reserve(1).is_ok() {
            self.spares.push(connection);
        }
    }

    /// Takes a connection out of the world: its tuple is free, its name is stale.
    pub(super) fn release(&mut self, index: u32, shared: &mut Shared) {
        let Some(connection) = self.unplace(index) else { return };
        self.table.remove_place(&connection.tuple, Place::Connection(index));
        self.give_back(connection, shared);
    }

    /// Replaces a connection that ended in order by the memory of it.
    pub(super) fn retire(&mut self, index: u32, shared: &mut Shared) {
        let Some(connection) = self.unplace(index) else { return };
        let (tuple, now_ns) = (connection.tuple, connection.heard_at_ns);
        let (ends_at, stamp) = (connection.engine.ends_at(), connection.engine.peer_stamp());
        self.give_back(connection, shared);
        while let Some((number, forgotten)) = self.time_waits.expire(now_ns) {
            self.table.remove_place(&forgotten, Place::TimeWait(number));
        }
        let number = self.time_waits.insert(tuple, ends_at, stamp, now_ns);
        if !number.is_some_and(|number| self.table.set(tuple, Place::TimeWait(number))) {
            self.table.remove(&tuple);
        }
    }

    fn unplace(&mut self, index: u32) -> Option<Boxed> {
        let mut connection = self.connections.remove(index)?;
        if let Some((timer, _)) = connection.timer.take() {
            self.timers.cancel(timer);
        }
        if let Some(listener) = connection.listener.and_then(|listener| self.listeners.get_key_mut(listener)) {
            listener.forget(connection.key);
        }
        Some(connection)
    }

    /// See [`Stack::assert_sound`](crate::Stack::assert_sound); how many connections there are, and the bytes of their buffers.
    pub(crate) fn assert_sound(&self, limits: &Limits) -> (usize, usize) {
        assert!(self.half_open.len() <= limits.half_open_max && self.time_waits.len() <= limits.time_wait_max);
        let places = self.connections.len() + self.half_open.len() + self.time_waits.len();
        assert!(self.table.len() <= places, "{} ends of {places}", self.table.len());
        let buffers = self.connections.iter().map(|(_, connection)| connection.engine.buffer_bytes());
        (self.connections.len(), buffers.sum())
    }

    /// Adds what exists now to the counts.
    pub(crate) fn count(&self, statistics: &mut Statistics) {
        statistics.connections = self.connections.len() as u64;
        statistics.handshakes = self.half_open.len() as u64;
        statistics.remembered = self.time_waits.len() as u64;
        let again = self.connections.iter().map(|(_, connection)| connection.engine.retransmitted_segments());
        statistics.segments_retransmitted += again.map(u64::from).sum::<u64>();
    }
}
