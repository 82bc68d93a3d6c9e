//! What connections have to say: turns to send, and the deadlines that give turns.

use super::Tcp;
use super::connection::{Connection, Hop, Turn};
use super::engine::{Engine, Output, Phase};
use crate::address::Way;
use crate::device::Device;
use crate::error::Error;
use crate::ethernet::{self, FrameSink};
use crate::neighbor::{Neighbors, Own};
use crate::outbox::PacketSink;
use crate::shared::Shared;

/// The engine sets no timer shorter than this, acknowledgements apart; so a timer this far away is early enough for any.
const SHORTEST_TIMER_NS: u64 = 1_000_000_000;
/// Data that nobody acknowledges, or a peer that never answers our SYN.
const PATIENCE_NS: u64 = 300_000_000_000;
const CONNECT_PATIENCE_NS: u64 = 60_000_000_000;

/// What came of a connection's turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Result {
    Done,
    /// The device is full: the turn is kept.
    Full,
}

impl Tcp {
    /// Gives every connection that has a turn its turn. Returns `false` when the device was full before all had it.
    pub(crate) fn flush<D: Device>(
        &mut self,
        device: &mut D,
        neighbors: &mut Neighbors,
        now_ns: u64,
        shared: &mut Shared,
    ) -> bool {
        let mut done = 0;
        let mut full = false;
        while let Some(&index) = self.turns.get(done) {
            if self.take_turn(index, device, neighbors, now_ns, shared) == Result::Full {
                full = true;
                break;
            }
            done += 1;
        }
        self.turns.drain(..done);
        !full
    }

    fn take_turn<D: Device>(
        &mut self,
        index: u32,
        device: &mut D,
        neighbors: &mut Neighbors,
        now_ns: u64,
        shared: &mut Shared,
    ) -> Result {
        let Some(connection) = self.connections.get_mut(index) else { return Result::Done };
        let connection = &mut **connection;
        if connection.turn == Turn::None {
            return Result::Done;
        }
        let result = match way(connection, neighbors, now_ns, shared) {
            Some(Route::Loopback) => send(connection, now_ns, &mut shared.loopback),
            Some(Route::Frame(header)) => {
                let offload = shared.config.checksum_offload;
                send(connection, now_ns, &mut FrameSink { device, header, offload })
            }
            Some(Route::Wait(hop)) => {
                connection.turn = Turn::None;
                neighbors.wait(hop, connection.key);
                self.arm(index, now_ns + SHORTEST_TIMER_NS);
                return Result::Done;
            }
            None => {
                connection.turn = Turn::None;
                self.fail(index, Error::NetworkUnreachable, shared);
                return Result::Done;
            }
        };
        if result == Result::Full {
            return result;
        }
        connection.turn = Turn::None;
        if connection.needs_timer() && connection.timer.is_none_or(|(_, at_ns)| at_ns > now_ns + SHORTEST_TIMER_NS) {
            self.arm(index, now_ns + SHORTEST_TIMER_NS);
        }
        self.after_turn(index, now_ns, shared);
        Result::Done
    }

    fn after_turn(&mut self, index: u32, now_ns: u64, shared: &mut Shared) {
        let Some(connection) = self.connections.get_mut(index) else { return };
        if connection.engine.phase() != connection.phase || connection.orphan {
            self.report(index, shared);
        }
        let Some(connection) = self.connections.get_mut(index) else { return };
        // Not before the peer's end is acknowledged; that may still wait for its time.
        let answered = connection.turn == Turn::None && connection.acknowledge_by_ns.is_none();
        if connection.orphan && connection.phase == Phase::TimeWait && answered {
            self.retire(index, now_ns, shared);
        }
    }

    /// Makes sure the connection gets a turn no later than `at_ns`.
    pub(super) fn arm(&mut self, index: u32, at_ns: u64) {
        let Some(connection) = self.connections.get_mut(index) else { return };
        if let Some((timer, armed_ns)) = connection.timer {
            if armed_ns <= at_ns {
                return;
            }
            self.timers.cancel(timer);
        }
        connection.timer = Some((self.timers.insert(at_ns, index), at_ns));
    }

    /// Gives turns to whoever's deadline has come.
    pub(crate) fn run(&mut self, now_ns: u64, shared: &mut Shared) {
        while let Some(&(by_ns, key)) = self.acknowledgements.front() {
            let due_ns = match self.connections.get_key(key) {
                Some(connection) => connection.acknowledge_by_ns,
                None => None,
            };
            if due_ns.is_some() && by_ns > now_ns {
                break;
            }
            self.acknowledgements.pop_front();
            let Some(connection) = self.connections.get_key_mut(key) else { continue };
            match due_ns {
                Some(due_ns) if due_ns > now_ns => self.acknowledgements.push_back((due_ns, key)),
                Some(_) => {
                    connection.in_acknowledge_queue = false;
                    self.give_turn(key.index, Turn::Everything);
                }
                None => connection.in_acknowledge_queue = false,
            }
        }
        while let Some((_, index)) = self.timers.pop_due(now_ns) {
            self.on_timer(index, now_ns, shared);
        }
        let table = &mut self.table;
        self.half_open.run(now_ns, shared, |_, tuple| table.remove(&tuple));
    }

    fn on_timer(&mut self, index: u32, now_ns: u64, shared: &mut Shared) {
        let Some(connection) = self.connections.get_mut(index) else { return };
        connection.timer = None;
        if !connection.needs_timer() {
            return;
        }
        let silent_ns = now_ns.saturating_sub(connection.heard_at_ns);
        let given_up = match connection.phase {
            Phase::Opening => silent_ns >= CONNECT_PATIENCE_NS,
            _ => connection.engine.unacknowledged_bytes() > 0 && silent_ns >= PATIENCE_NS,
        };
        if given_up {
            self.fail(index, Error::TimedOut, shared);
            return;
        }
        match connection.engine.next_timer(now_ns) {
            Some(at_ns) if at_ns > now_ns => self.arm(index, at_ns),
            // The turn arms the timer again.
            Some(_) => self.give_turn(index, Turn::Everything),
            None => {}
        }
    }

    /// When [`run`](Self::run) has something to do next.
    pub(crate) fn next_deadline(&mut self) -> Option<u64> {
        // What was acknowledged by riding on data is not due any more: it must not wake an idle machine.
        while let Some(&(_, key)) = self.acknowledgements.front() {
            match self.connections.get_key_mut(key) {
                Some(connection) if connection.acknowledge_by_ns.is_some() => break,
                Some(connection) => connection.in_acknowledge_queue = false,
                None => {}
            }
            self.acknowledgements.pop_front();
        }
        let acknowledgement = self.acknowledgements.front().map(|(by_ns, _)| *by_ns);
        [acknowledgement, self.timers.next_deadline(), self.half_open.next_deadline()].into_iter().flatten().min()
    }

    /// Whether a connection has a turn that a flush has not given it.
    pub(crate) fn has_turns(&self) -> bool {
        !self.turns.is_empty()
    }
}

enum Route {
    Loopback,
    Frame([u8; ethernet::HEADER_BYTES]),
    Wait(core::net::Ipv4Addr),
}

/// The way to a connection's peer; `None` when there is none.
fn way(connection: &mut Connection, neighbors: &mut Neighbors, now_ns: u64, shared: &mut Shared) -> Option<Route> {
    let mac = shared.config.mac;
    if neighbors.is_certain(connection.hop.epoch, now_ns) {
        return Some(Route::Frame(ethernet::header(connection.hop.mac, mac, ethernet::IPV4)));
    }
    match shared.addresses.way(connection.tuple.remote)? {
        Way::Loopback => Some(Route::Loopback),
        Way::Broadcast => None,
        Way::Neighbor(hop) => {
            let own = Own { mac, ip: shared.addresses.own_ip()? };
            let Some(found) = neighbors.resolve(hop, now_ns, own, &mut shared.outbox) else {
                return Some(Route::Wait(hop));
            };
            connection.hop = Hop { mac: found, epoch: neighbors.epoch() };
            Some(Route::Frame(ethernet::header(found, mac, ethernet::IPV4)))
        }
    }
}

/// Lets a connection send what its turn is for.
fn send(connection: &mut Connection, now_ns: u64, sink: &mut dyn PacketSink) -> Result {
    loop {
        match connection.engine.output(now_ns, sink) {
            Output::Sent(sent) => {
                connection.last_sent = sent;
                connection.acknowledge_by_ns = None;
                connection.unsent_bytes = connection.unsent_bytes.saturating_sub(sent.payload_bytes);
                if connection.turn == Turn::Written && connection.unsent_bytes == 0 {
                    return Result::Done;
                }
            }
            Output::Nothing => return Result::Done,
            Output::Full => return Result::Full,
        }
    }
}
