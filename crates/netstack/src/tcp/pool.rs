//! Where connections come from and go to: memory, tuples, and buffers used again.

use super::Tcp;
use super::connection::Connection;
use super::engine::{BufferSizes, Engine, Handshake, TcpEngine};
use super::segment::Tuple;
use super::table::Place;
use crate::config::Limits;
use crate::event::Statistics;
use crate::shared::Shared;
use crate::slab::Key;
use alloc::boxed::Box;

/// Spare connections kept, as a share of the network's memory: one part in so many.
const SPARE_SHARE: usize = 4;

impl Tcp {
    /// Makes the connection that a finished handshake stands for, in the handshake's place.
    pub(super) fn open_accepted(&mut self, handshake: &Handshake, now_ns: u64, shared: &mut Shared) -> Option<Key> {
        let mut connection = self.take_connection(handshake.tuple, shared)?;
        connection.renew(handshake.tuple, handshake.isn, now_ns);
        let agreed = connection.engine.accept(handshake, shared.random.draw(), now_ns);
        self.place(connection, agreed, shared)
    }

    /// Makes a connection that will ask for itself.
    pub(super) fn open_connecting(&mut self, tuple: Tuple, isn: u32, now_ns: u64, shared: &mut Shared) -> Option<Key> {
        let mut connection = self.take_connection(tuple, shared)?;
        connection.renew(tuple, isn, now_ns);
        let agreed = connection.engine.connect(tuple, isn, shared.random.draw(), now_ns);
        self.place(connection, agreed, shared)
    }

    fn place(&mut self, connection: Box<Connection>, agreed: bool, shared: &mut Shared) -> Option<Key> {
        let tuple = connection.tuple;
        if !agreed {
            self.give_back(connection, shared);
            return None;
        }
        let key = match self.connections.insert(connection) {
            Ok(key) => key,
            Err(connection) => {
                self.give_back(connection, shared);
                return None;
            }
        };
        if let Some(connection) = self.connections.get_mut(key.index) {
            connection.key = key;
        }
        if !self.table.set(tuple, Place::Connection(key.index)) {
            if let Some(connection) = self.connections.remove(key.index) {
                self.give_back(connection, shared);
            }
            return None;
        }
        Some(key)
    }

    /// A connection with buffers: a spare one of the size wanted now, or a new one if memory allows.
    fn take_connection(&mut self, tuple: Tuple, shared: &mut Shared) -> Option<Box<Connection>> {
        let sizes = buffer_sizes(shared);
        if let Some(spare) = self.spares.pop() {
            return Some(spare);
        }
        if !shared.charge(Connection::cost_bytes(sizes)) {
            return None;
        }
        let Some(engine) = TcpEngine::new(sizes, shared.config.mtu_bytes) else {
            shared.refund(Connection::cost_bytes(sizes));
            shared.statistics.out_of_memory += 1;
            return None;
        };
        Some(Box::new(Connection::new(engine, tuple)))
    }

    fn give_back(&mut self, connection: Box<Connection>, shared: &mut Shared) {
        let cost = Connection::cost_bytes(connection.engine.sizes());
        let full_size = connection.engine.sizes() == full_sizes(shared);
        let kept_max = shared.config.limits.memory_bytes / SPARE_SHARE / cost.max(1);
        if full_size && self.spares.len() < kept_max && self.spares.try_reserve(1).is_ok() {
            self.spares.push(connection);
        } else {
            shared.refund(cost);
        }
    }

    /// Takes a connection out of the world: its tuple is free, its name is stale.
    pub(super) fn release(&mut self, index: u32, shared: &mut Shared) {
        let Some(connection) = self.unplace(index) else { return };
        self.table.remove(&connection.tuple);
        self.give_back(connection, shared);
    }

    /// Replaces a connection that ended in order by the memory of it.
    pub(super) fn retire(&mut self, index: u32, now_ns: u64, shared: &mut Shared) {
        let Some(connection) = self.unplace(index) else { return };
        let tuple = connection.tuple;
        let sent = connection.last_sent;
        self.give_back(connection, shared);
        while let Some(forgotten) = self.time_waits.expire(now_ns) {
            if matches!(self.table.find(&forgotten), Some(Place::TimeWait(_))) {
                self.table.remove(&forgotten);
            }
        }
        let number = self.time_waits.insert(tuple, sent.next, sent.acknowledgement, now_ns);
        if !number.is_some_and(|number| self.table.set(tuple, Place::TimeWait(number))) {
            self.table.remove(&tuple);
        }
    }

    fn unplace(&mut self, index: u32) -> Option<Box<Connection>> {
        let key = self.connections.key(index)?;
        let mut connection = self.connections.remove(index)?;
        if let Some((timer, _)) = connection.timer.take() {
            self.timers.cancel(timer);
        }
        if let Some(listener) = connection.listener.and_then(|listener| self.listeners.get_key_mut(listener)) {
            listener.forget(key);
        }
        Some(connection)
    }

    /// Adds what exists now to the counts.
    pub(crate) fn count(&self, statistics: &mut Statistics) {
        statistics.connections = self.connections.len() as u64;
        statistics.handshakes = self.half_open.len() as u64;
        statistics.remembered = self.time_waits.len() as u64;
    }
}

fn full_sizes(shared: &Shared) -> BufferSizes {
    let limits = &shared.config.limits;
    BufferSizes {
        receive_bytes: limits.receive_buffer_bytes.clamp(256, Limits::RECEIVE_BUFFER_BYTES_MAX),
        send_bytes: limits.send_buffer_bytes.max(256),
    }
}

/// Buffers shrink as memory fills: whole ones in the first quarter, then a half, a quarter and an eighth.
fn buffer_sizes(shared: &Shared) -> BufferSizes {
    let full = full_sizes(shared);
    let quarter = (shared.config.limits.memory_bytes / 4).max(1);
    let shift = (shared.memory_bytes / quarter).min(3);
    BufferSizes {
        receive_bytes: (full.receive_bytes >> shift).max(1024.min(full.receive_bytes)),
        send_bytes: (full.send_bytes >> shift).max(1024.min(full.send_bytes)),
    }
}
