//! What connections have to say: turns to send, and the deadlines that give turns.

use super::Tcp;
use super::connection::{Connection, Hop, Turn};
use crate::address::Way;
use crate::device::Device;
use crate::error::Error;
use crate::ethernet::{self, FrameSink};
use crate::neighbor::Neighbors;
use crate::shared::Shared;
use toro_tcp::{NEVER, Output, Phase};
use toro_tcp::{PacketSink, packet};

/// How long the usual timers take at least: a retransmission, and a question about a tail.
pub(super) const USUAL_NS: [u64; 2] = [toro_tcp::SHORTEST_NS, toro_tcp::PROBE_NS_MIN];
/// Data that nobody acknowledges, or a peer that never answers our SYN.
const PATIENCE_NS: u64 = 300_000_000_000;
const CONNECT_PATIENCE_NS: u64 = 60_000_000_000;
/// A connection whose neighbour is being asked for is looked at again after this, should nobody tell it.
const UNRESOLVED_AGAIN_NS: u64 = 1_000_000_000;

/// What came of a connection's turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Result {
    Done,
    /// The device is full: the turn is kept.
    DeviceFull,
    /// The machine has to take in what it said to itself first: the turn is kept.
    LoopbackFull,
    /// It is another link's: the turn is kept.
    Elsewhere,
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
        let (mut taken, mut kept) = (0, 0);
        let mut full = false;
        while let Some(&index) = self.turns.get(taken) {
            taken += 1;
            let result = self.take_turn(index, device, neighbors, now_ns, shared);
            if result != Result::Done {
                // A full device holds up nobody who talks to this machine, nor the other way round.
                full |= result == Result::DeviceFull;
                self.turns[kept] = index;
                kept += 1;
            }
        }
        self.turns.truncate(kept);
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
        if connection.link != shared.at() {
            return Result::Elsewhere;
        }
        let result = match way(connection, neighbors, now_ns, shared) {
            Some(Route::Loopback) => {
                let mut loopback = core::mem::take(&mut shared.loopback);
                let done = send(connection, now_ns, &mut loopback, shared);
                shared.loopback = loopback;
                if done { Result::Done } else { Result::LoopbackFull }
            }
            Some(Route::Frame(header)) => {
                let remote = connection.tuple.remote;
                let start_bytes = (ethernet::HEADER_BYTES + packet::header_bytes(remote)) as u16;
                let offload = shared.config.link.checksum_offload.then_some(start_bytes);
                let large_bytes_max = shared.config.link.large_bytes_max_to(remote);
                let mut sink = FrameSink { device, header, offload, large_bytes_max };
                let done = send(connection, now_ns, &mut sink, shared);
                if done { Result::Done } else { Result::DeviceFull }
            }
            Some(Route::Wait(hop)) => {
                // The neighbour's answer, or the lack of one, brings it back; or the link.
                connection.turn = Turn::None;
                if connection.is_over() {
                    self.settle_orphan(index, shared);
                    return Result::Done;
                }
                connection.engine.held_up(now_ns);
                if let Some(hop) = hop {
                    neighbors.wait(hop, connection.key);
                }
                self.arm(index, now_ns + UNRESOLVED_AGAIN_NS);
                return Result::Done;
            }
            None => {
                connection.turn = Turn::None;
                self.fail(index, Error::NetworkUnreachable, shared);
                return Result::Done;
            }
        };
        if result != Result::Done {
            return result;
        }
        connection.turn = Turn::None;
        self.watch(index, now_ns);
        self.after_turn(index, shared);
        Result::Done
    }

    fn after_turn(&mut self, index: u32, shared: &mut Shared) {
        let Some(connection) = self.connections.get_mut(index) else { return };
        if connection.engine.phase() != connection.phase || connection.orphan {
            self.report(index, shared);
        }
    }

    /// Makes sure that the connection gets its turn when the engine's next timer is due.
    ///
    /// Nearly all of these timers are called off by an acknowledgement, long before. So one that is due no sooner than
    /// everybody's shortest is only noted in a queue, in order of that shortest time, and looked at again then.
    #[inline]
    fn watch(&mut self, index: u32, now_ns: u64) {
        let Some(connection) = self.connections.get_mut(index) else { return };
        let at_ns = connection.engine.next_timer();
        if at_ns == NEVER {
            return;
        }
        let Some(which) = USUAL_NS.iter().position(|usual_ns| at_ns >= now_ns + usual_ns) else {
            return self.arm(index, at_ns);
        };
        if connection.in_soon_queues & 1 << which == 0 {
            if self.soon[which].try_reserve(1).is_err() {
                return self.arm(index, at_ns); // every connection has a place among the timers
            }
            connection.in_soon_queues |= 1 << which;
            let soon_ns = now_ns + USUAL_NS[which];
            self.quiet_until_ns = self.quiet_until_ns.min(soon_ns);
            self.soon[which].push_back((soon_ns, connection.key));
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
        self.quiet_until_ns = self.quiet_until_ns.min(at_ns);
        connection.timer = Some((self.timers.insert(at_ns, index), at_ns));
    }

    /// Gives turns to whoever's deadline has come.
    #[inline]
    pub(crate) fn run(&mut self, now_ns: u64, shared: &mut Shared) {
        if now_ns >= self.quiet_until_ns {
            self.run_due(now_ns, shared);
        }
    }

    #[cold]
    fn run_due(&mut self, now_ns: u64, shared: &mut Shared) {
        self.run_acknowledgements(now_ns);
        self.run_soon(now_ns);
        while let Some((_, index)) = self.timers.pop_due(now_ns) {
            if let Some(connection) = self.connections.get_mut(index) {
                connection.timer = None;
                self.on_timer(index, now_ns, shared);
            }
        }
        let table = &mut self.table;
        self.half_open.run(now_ns, shared, |_, tuple| table.remove(&tuple));
        self.next_deadline();
    }

    fn run_acknowledgements(&mut self, now_ns: u64) {
        while let Some(&(by_ns, key)) = self.acknowledgements.front()
            && by_ns <= now_ns
        {
            self.acknowledgements.pop_front();
            let Some(connection) = self.connections.get_key_mut(key) else { continue };
            match connection.engine.acknowledge_by() {
                NEVER => connection.in_acknowledge_queue = false,
                // In the place of the one just taken.
                due_ns if due_ns > now_ns => self.acknowledgements.push_back((due_ns, key)),
                _ => {
                    connection.in_acknowledge_queue = false;
                    self.give_turn(key.index, Turn::Everything);
                }
            }
        }
    }

    fn run_soon(&mut self, now_ns: u64) {
        for which in 0..USUAL_NS.len() {
            while let Some(&(at_ns, key)) = self.soon[which].front()
                && at_ns <= now_ns
            {
                self.soon[which].pop_front();
                let Some(connection) = self.connections.get_key_mut(key) else { continue };
                connection.in_soon_queues &= !(1 << which);
                let at_ns = connection.engine.next_timer();
                if at_ns != NEVER {
                    self.arm(key.index, at_ns);
                }
            }
        }
    }

    fn on_timer(&mut self, index: u32, now_ns: u64, shared: &mut Shared) {
        let Some(connection) = self.connections.get_mut(index) else { return };
        if connection.is_over() {
            return self.settle_orphan(index, shared);
        }
        if connection.orphan && now_ns.saturating_sub(connection.engine.stalled_since()) >= connection.stall_ns() {
            // The peer answers, and takes nothing: nobody is left to wait for it.
            connection.engine.abort(&mut shared.memory);
            self.give_turn(index, Turn::Everything);
            self.report(index, shared);
            return;
        }
        // Here too: whoever's neighbour does not answer gets no turn.
        let speaks = connection.engine.look_at_clock(now_ns, &mut shared.memory);
        let over = connection.engine.phase() != connection.phase;
        if speaks || over {
            self.give_turn(index, Turn::Everything);
        }
        if over {
            return self.report(index, shared);
        }
        let Some(connection) = self.connections.get_mut(index) else { return };
        let silent_ns = now_ns.saturating_sub(connection.engine.silent_since());
        let patience_ns = if connection.phase == Phase::Opening { CONNECT_PATIENCE_NS } else { PATIENCE_NS };
        if silent_ns >= patience_ns {
            self.fail(index, Error::TimedOut, shared);
            return;
        }
        match connection.engine.next_timer() {
            // Nothing is due any more, unless it never got to speak.
            NEVER if !connection.waits_for_peer() => {}
            at_ns if at_ns > now_ns && at_ns != NEVER => self.arm(index, at_ns),
            _ => self.give_turn(index, Turn::Everything),
        }
    }

    /// When [`run`](Self::run) has something to do next; [`NEVER`] if nothing is to come.
    pub(crate) fn next_deadline(&mut self) -> u64 {
        let mut next_ns = self.half_open.next_deadline();
        if let Some(at_ns) = self.timers.next_deadline() {
            next_ns = next_ns.min(at_ns);
        }
        // What was called off must not wake an idle machine.
        while let Some(&(by_ns, key)) = self.acknowledgements.front() {
            if let Some(connection) = self.connections.get_key_mut(key) {
                if connection.engine.acknowledge_by() != NEVER {
                    next_ns = next_ns.min(by_ns);
                    break;
                }
                connection.in_acknowledge_queue = false;
            }
            self.acknowledgements.pop_front();
        }
        for (which, queue) in self.soon.iter_mut().enumerate() {
            if queue.is_empty() {
                continue;
            }
            while let Some(&(at_ns, key)) = queue.front() {
                if let Some(connection) = self.connections.get_key_mut(key) {
                    if connection.engine.next_timer() != NEVER {
                        next_ns = next_ns.min(at_ns);
                        break;
                    }
                    connection.in_soon_queues &= !(1 << which);
                }
                queue.pop_front();
            }
        }
        self.quiet_until_ns = next_ns;
        next_ns
    }

    /// Whether a connection that speaks by a link has a turn that a flush has not given it.
    pub(crate) fn has_turns_on(&self, link: u8) -> bool {
        let is_there = |index: &u32| self.connections.get(*index).is_some_and(|connection| connection.link == link);
        self.turns.iter().any(is_there)
    }

    /// Whether a connection has a turn that a flush has not given it.
    #[inline]
    pub(crate) fn has_turns(&self) -> bool {
        !self.turns.is_empty()
    }
}

enum Route {
    Loopback,
    Frame([u8; ethernet::HEADER_BYTES]),
    /// For this neighbour, or for the link.
    Wait(Option<toro_tcp::Ip>),
}

/// The way to a connection's peer; `None` when there is none.
fn way(connection: &mut Connection, neighbors: &mut Neighbors, now_ns: u64, shared: &mut Shared) -> Option<Route> {
    let (mac, remote) = (shared.config.link.mac, connection.tuple.remote);
    let kind = ethernet::kind(remote);
    if neighbors.is_certain(connection.hop.epoch, now_ns) {
        return Some(Route::Frame(ethernet::header(connection.hop.mac, mac, kind)));
    }
    match shared.way(remote)? {
        Way::Loopback => Some(Route::Loopback),
        _ if !shared.link_up => Some(Route::Wait(None)),
        Way::Broadcast => None,
        Way::Neighbor(hop) => {
            let (own, outbox) = shared.own();
            let Some(found) = neighbors.resolve(hop, now_ns, own, outbox) else {
                return Some(Route::Wait(Some(hop)));
            };
            connection.hop = Hop { mac: found, epoch: neighbors.epoch() };
            Some(Route::Frame(ethernet::header(found, mac, kind)))
        }
    }
}

/// Lets a connection send what its turn is for; `false` when the sink was full first.
fn send(connection: &mut Connection, now_ns: u64, sink: &mut dyn PacketSink, shared: &mut Shared) -> bool {
    loop {
        match connection.engine.output(now_ns, sink, &mut shared.memory) {
            Output::Sent(sent) => {
                connection.spoke = true;
                connection.unsent_bytes = connection.unsent_bytes.saturating_sub(sent.payload_bytes);
                if connection.turn == Turn::Written && connection.unsent_bytes == 0 {
                    return true;
                }
            }
            Output::Nothing => return true,
            Output::Full => return false,
        }
    }
}
