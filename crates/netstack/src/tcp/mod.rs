//! TCP around the connections of `toro_tcp`: the connection table, handshakes, listeners, TIME-WAIT, timers and limits.
//!
//! A segment's way: [`Tcp::receive`] finds its tuple in the table (`table.rs`) and hands it to the connection (`input.rs`),
//! a handshake under way, a closed connection's memory, or a listener (this file). What connections have to say is written
//! at the next flush (`output.rs`); programs come in through `sockets.rs` and `listener.rs`.

mod ask;
mod connection;
mod cookies;
mod handshake;
mod input;
mod listener;
mod output;
mod pool;
mod sockets;
mod table;
mod time_wait;

pub(crate) use connection::COST_BYTES as CONNECTION_BYTES;
pub use sockets::Ending;
pub(crate) use table::flow;
pub(crate) use toro_tcp::Tuple;

use crate::config::Config;
use crate::device::Received;
use crate::shared::Shared;
use crate::slab::{Key, Slab};
use crate::steering::Protocol;
use alloc::collections::VecDeque;
use alloc::vec::Vec;
use connection::Boxed;
use handshake::HalfOpens;
use listener::Listener;
use table::{Place, Table};
use time_wait::TimeWaits;
use toro_tcp::Handshake;
use toro_tcp::Packet;
use toro_tcp::SynOptions;
use toro_tcp::segment::{self, ACK, Control, FIN, RST, SYN, Segment};
use toro_timers::TimerQueue;

/// All of TCP.
#[derive(Debug)]
pub(crate) struct Tcp {
    table: Table,
    connections: Slab<Boxed>,
    listeners: Slab<Listener>,
    half_open: HalfOpens,
    time_waits: TimeWaits,
    /// Connections that ended, to be used again.
    spares: Vec<Boxed>,
    /// Connections that have a turn to send.
    turns: Vec<u32>,
    /// Connections that owe an acknowledgement, in the order it is due.
    acknowledgements: VecDeque<(u64, Key)>,
    /// Connections whose next timer is not due before the time noted, in its order: two of the usual times, a queue for each.
    soon: [VecDeque<(u64, Key)>; output::USUAL_NS.len()],
    /// Timers that come near: retransmissions, probes, patience.
    timers: TimerQueue<u32>,
    /// Nothing is due before.
    quiet_until_ns: u64,
    /// Until then somebody may complete a handshake that nobody remembers.
    cookies_until_ns: u64,
}

impl Tcp {
    pub(crate) fn new(config: &Config) -> Self {
        Tcp {
            table: Table::new([config.secret[0], config.secret[1]]),
            connections: Slab::new(),
            listeners: Slab::new(),
            half_open: HalfOpens::new(),
            time_waits: TimeWaits::new(config.limits.time_wait_max),
            spares: Vec::new(),
            turns: Vec::new(),
            acknowledgements: VecDeque::new(),
            soon: Default::default(),
            timers: TimerQueue::new(),
            quiet_until_ns: 0,
            cookies_until_ns: 0,
        }
    }

    /// Takes a packet for one of our addresses.
    pub(crate) fn receive(&mut self, packet: &Packet<'_>, checksum: Received, now_ns: u64, shared: &mut Shared) {
        let intact = checksum == Received::Verified || packet.pseudo_header().bytes(packet.payload).is_intact();
        let Some(segment) = Segment::parse(packet).filter(|_| intact) else {
            shared.statistics.malformed += 1;
            return;
        };
        match self.table.find(&segment.tuple) {
            Some(Place::Connection(index)) => self.input(index, &segment, now_ns, shared),
            Some(Place::HalfOpen(index)) => self.third_segment(index, &segment, now_ns, shared),
            Some(Place::TimeWait(number)) => self.late(number, &segment, now_ns, shared),
            None => self.unknown(&segment, None, now_ns, shared),
        }
    }

    /// A segment that belongs to nothing: a wish for a connection, or a mistake. `before` is our last number in a connection
    /// between the same ends.
    fn unknown(&mut self, segment: &Segment<'_>, before: Option<u32>, now_ns: u64, shared: &mut Shared) {
        let tuple = segment.tuple;
        if now_ns < self.cookies_until_ns && self.take_cookie(segment, now_ns, shared) {
            return;
        }
        let listener = if segment.opens() { self.listener_for(&tuple, shared) } else { None };
        if shared.seat.is_some() && self.steer(segment, listener.is_some(), shared) {
            return;
        }
        match listener {
            Some(listener) => self.first_segment(listener, segment, before, now_ns, shared),
            None => refuse(segment, shared),
        }
    }

    /// Finds out whether an unknown segment belongs to another core; `keeps`: this one listens for what it wants.
    #[cold]
    fn steer(&self, segment: &Segment<'_>, keeps: bool, shared: &mut Shared) -> bool {
        let Some(seat) = shared.seat else { return false };
        let tuple = &segment.tuple;
        let (port, flow) = (tuple.local_port, flow(tuple, &shared.config));
        shared.elsewhere = if segment.opens() {
            let prefers = shared.own_queue || shared.is_local(tuple.remote);
            seat.opening(Protocol::Tcp, port, flow, shared.seen, keeps, prefers)
        } else {
            seat.stray(port, flow, shared.seen)
        };
        shared.elsewhere.is_some()
    }

    /// Whether a connection between these ends is here.
    pub(crate) fn knows(&self, tuple: &Tuple) -> bool {
        self.table.find(tuple).is_some()
    }

    /// A peer wants a connection to one of our listeners.
    fn first_segment(
        &mut self,
        listener: Key,
        segment: &Segment<'_>,
        before: Option<u32>,
        now_ns: u64,
        shared: &mut Shared,
    ) {
        let Some(peer_options) = SynOptions::parse(segment.options) else {
            shared.statistics.malformed += 1;
            return;
        };
        if self.listeners.get_key(listener).is_none_or(Listener::is_full) {
            // The peer asks again in a second; perhaps there is room then.
            shared.statistics.backlog_full += 1;
            return;
        }
        let tuple = segment.tuple;
        let mut isn = handshake::initial_sequence(&tuple, now_ns, shared);
        if let Some(before) = before.filter(|&before| !segment::after(isn, before)) {
            // Beyond all that the old connection can have sent, so that the peer tells them apart (RFC 9293, 3.4.1).
            isn = before.wrapping_add(1 + u32::from(u16::MAX));
        }
        let handshake = Handshake {
            tuple,
            isn,
            peer_isn: segment.sequence,
            peer_window: segment.window,
            peer_options,
            stamp_offset: handshake::stamp_offset(&tuple, shared),
        };
        if self.half_open.is_full(shared) {
            let isn = cookies::make(&tuple, segment.sequence, &peer_options, now_ns, shared);
            let stamp = cookies::stamp(cookies::true_stamp(&tuple, now_ns, shared), &peer_options);
            handshake::answer(&Handshake { isn, ..handshake }, stamp, shared);
            self.cookies_until_ns = now_ns + cookies::GOOD_NS;
            shared.statistics.cookies_sent += 1;
            return;
        }
        let begun = self.half_open.begin(handshake, listener, now_ns, shared);
        self.quiet_until_ns = self.quiet_until_ns.min(now_ns + handshake::FIRST_NS);
        match begun {
            Some(index) if self.table.set(tuple, Place::HalfOpen(index)) => {}
            Some(index) => {
                self.half_open.remove(index);
                shared.statistics.out_of_memory += 1;
            }
            None => shared.statistics.out_of_memory += 1,
        }
    }

    /// A segment for a handshake under way: mostly the one that completes it.
    fn third_segment(&mut self, index: u32, segment: &Segment<'_>, now_ns: u64, shared: &mut Shared) {
        let Some(half_open) = self.half_open.get(index).copied() else { return };
        let handshake = half_open.handshake;
        if segment.opens() {
            if segment.sequence == handshake.peer_isn {
                let stamp = SynOptions::parse(segment.options).and_then(|options| options.stamp);
                self.half_open.repeat(index, stamp, now_ns, shared);
            } else {
                // The peer started anew; so do we.
                self.forget_half_open(index, &handshake.tuple);
                self.unknown(segment, None, now_ns, shared);
            }
            return;
        }
        let in_order = segment.sequence == handshake.peer_isn.wrapping_add(1);
        if segment.has(RST) {
            if in_order {
                self.forget_half_open(index, &handshake.tuple);
            }
            return;
        }
        if !segment.has(ACK) || segment.has(SYN) {
            return;
        }
        if segment.acknowledgement != handshake.isn.wrapping_add(1) {
            // Two cores may have answered the same peer; then it speaks with the other one.
            if shared.seat.is_none() || !self.steer(segment, false, shared) {
                refuse(segment, shared);
            }
            return;
        }
        if !in_order {
            // Data overtook the bare acknowledgement. Without room to keep it, it must come again.
            return;
        }
        if self.establish(&handshake, half_open.listener, segment, now_ns, shared) {
            self.half_open.remove(index);
        }
    }

    /// A segment that completes a handshake which nobody remembers; `false`: it does not.
    #[cold]
    fn take_cookie(&mut self, segment: &Segment<'_>, now_ns: u64, shared: &mut Shared) -> bool {
        if segment.flags & (SYN | ACK | RST) != ACK {
            return false;
        }
        let Some(listener) = self.listener_for(&segment.tuple, shared) else { return false };
        let Some(handshake) = cookies::open(segment, now_ns, shared) else { return false };
        if self.establish(&handshake, listener, segment, now_ns, shared) {
            shared.statistics.cookies_accepted += 1;
        }
        true
    }

    /// Makes the connection of a handshake that `segment` completes, and has it wait to be accepted; `false` when there is no
    /// room for it now.
    fn establish(
        &mut self,
        handshake: &Handshake,
        asked: Key,
        segment: &Segment<'_>,
        now_ns: u64,
        shared: &mut Shared,
    ) -> bool {
        if !self.listeners.get_key_mut(asked).is_some_and(Listener::make_room) {
            shared.statistics.backlog_full += 1;
            return false;
        }
        let Some(key) = self.open_accepted(handshake, now_ns, shared) else { return false };
        if let Some(connection) = self.connections.get_mut(key.index) {
            connection.listener = Some(asked);
        }
        shared.statistics.connections_opened += 1;
        self.input(key.index, segment, now_ns, shared);
        if self.connections.get_key(key).is_some()
            && let Some(listener) = self.listeners.get_key_mut(asked)
            && listener.push(key)
        {
            shared.events.push(crate::Event::Acceptable(crate::ListenerId(asked)));
        }
        true
    }

    fn forget_half_open(&mut self, index: u32, tuple: &Tuple) {
        self.half_open.remove(index);
        self.table.remove(tuple);
    }

    /// A segment for a connection that ended in order.
    fn late(&mut self, number: u32, segment: &Segment<'_>, now_ns: u64, shared: &mut Shared) {
        let Some(closed) = self.time_waits.get(number).copied() else {
            self.table.remove(&segment.tuple);
            return self.unknown(segment, None, now_ns, shared);
        };
        let over = closed.until_ns <= now_ns;
        if over || segment.reopens(closed.expected, closed.stamp) {
            // A new connection between the same ends, told apart from the old one by its numbers or stamps.
            self.time_waits.remove(number);
            self.table.remove(&segment.tuple);
            return self.unknown(segment, Some(closed.next), now_ns, shared);
        }
        // RFC 1337: a reset does not end the watch. The peer's last segment again means that our answer was lost.
        if !segment.has(RST) && (segment.has(FIN) || segment.has(SYN) || !segment.payload.is_empty()) {
            let control = Control {
                tuple: closed.tuple,
                sequence: closed.next,
                acknowledgement: closed.expected,
                flags: ACK,
                window: 0,
                options: &[],
            };
            shared.send(closed.tuple.remote, control.packet_bytes(), &mut |packet| control.write(packet));
        }
    }
}

/// Answers that there is no such connection.
fn refuse(segment: &Segment<'_>, shared: &mut Shared) {
    if let Some(control) = Control::reset_for(segment) {
        shared.statistics.resets_sent += 1;
        shared.send(segment.tuple.remote, control.packet_bytes(), &mut |packet| control.write(packet));
    }
}

const EPHEMERAL_FIRST: u64 = 32768;
const EPHEMERAL_COUNT: u64 = 28232;

/// All ports a program did not choose itself, from a random one on.
pub(crate) fn ephemeral_ports(random: u64) -> impl Iterator<Item = u16> {
    (0..EPHEMERAL_COUNT).map(move |step| (EPHEMERAL_FIRST + (random % EPHEMERAL_COUNT + step) % EPHEMERAL_COUNT) as u16)
}

/// Whether the port is one of those.
pub(crate) fn is_ephemeral(port: u16) -> bool {
    (EPHEMERAL_FIRST..EPHEMERAL_FIRST + EPHEMERAL_COUNT).contains(&u64::from(port))
}
