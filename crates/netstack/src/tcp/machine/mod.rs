//! The TCP state machine of one connection (RFC 9293), made for the common case: a segment in order on an open connection,
//! and an answer that carries its acknowledgement.
//!
//! Both directions are sequence numbers and a ring. Sending: `una..next` is under way, what the ring holds beyond `next` is
//! unsent, and a FIN stands behind the ring's last byte once `closing`. Receiving: `expected` is the next byte wanted, and
//! `promised` the right edge that the peer was told, which never moves back. Buffers come from a pool when the first byte
//! does and go back when the ring is empty, so an idle connection costs its numbers only.
//!
//! `input.rs` takes segments, `output.rs` decides what to send, `emit.rs` writes it; `ring.rs`, `reassembly.rs`,
//! `congestion.rs` and `round_trip.rs` each know one thing.

mod congestion;
mod emit;
mod input;
mod output;
mod reassembly;
mod ring;
pub(super) mod round_trip;

use super::engine::{Engine, Handshake, NEVER, Output, Phase, Reaction, Read};
use super::options::SynOptions;
use super::segment::{Segment, Tuple};
use crate::outbox::PacketSink;
use crate::shared::{Direction, Shared};
use congestion::Congestion;
use emit::{HEADERS_BYTES, Template};
use reassembly::Reassembly;
use ring::Ring;
use round_trip::{LONGEST_NS, RoundTrip};

/// What a peer that names no limit can take in one segment, and the least that is believed.
const PEER_SEGMENT_BYTES_DEFAULT: u16 = 536;
const PEER_SEGMENT_BYTES_MIN: u16 = 64;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    SynSent,
    SynReceived,
    Established,
    FinWait1,
    FinWait2,
    CloseWait,
    Closing,
    LastAck,
    TimeWait,
    Closed,
}

/// Whether the peer is owed an acknowledgement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Owed {
    Nothing,
    /// It may ride on data until then.
    By(u64),
    Now,
}

/// One connection.
#[derive(Debug)]
pub(super) struct Machine {
    tuple: Tuple,
    state: State,
    template: Template,
    /// Largest payload we send.
    segment_bytes: u32,

    // Sending.
    una: u32,
    next: u32,
    /// The highest `next` there was: what lies before it goes out again.
    top: u32,
    /// How far beyond `una` the peer lets us go.
    window: u32,
    window_shift: u8,
    /// The segment that told the window: its number and acknowledgement.
    window_told: (u32, u32),
    window_max: u32,
    send: Ring,
    send_bytes: usize,
    closing: bool,
    no_delay: bool,
    /// The first segment under way is to go out again.
    again: bool,
    congestion: Congestion,
    round_trip: RoundTrip,
    /// When what is under way is given up as lost, or a shut window is asked; [`NEVER`] when neither.
    retransmit_at_ns: u64,
    /// How often a shut window was asked, in vain.
    asked: u8,
    /// When `una` last moved while there was more to bring over, or the first of it went out; [`NEVER`] when all is through.
    waiting_since_ns: u64,

    // Receiving.
    expected: u32,
    promised: u32,
    receive: Ring,
    receive_bytes: usize,
    gaps: Reassembly,
    selective: bool,
    peer_ended: bool,
    owed: Owed,
    /// The acknowledgement that was sent last.
    acknowledged: u32,

    // Watching the peer.
    heard_at_ns: u64,
    /// How long it may be silent, and how long before it is asked whether it is there.
    patience_ns: u64,
    keep_alive_ns: u64,
    probe_at_ns: u64,
    challenge_at_ns: u64,
    /// The peer is to be told that this is over.
    reset: bool,
    /// It is over because the peer said nothing for too long.
    silent: bool,
}

impl Machine {
    pub(super) fn new() -> Self {
        let nobody = core::net::Ipv4Addr::UNSPECIFIED;
        let tuple = Tuple { local: nobody, remote: nobody, local_port: 0, remote_port: 0 };
        Machine {
            tuple,
            state: State::Closed,
            template: Template::empty(),
            segment_bytes: 0,
            una: 0,
            next: 0,
            top: 0,
            window: 0,
            window_shift: 0,
            window_told: (0, 0),
            window_max: 0,
            send: Ring::default(),
            send_bytes: 0,
            closing: false,
            no_delay: false,
            again: false,
            congestion: Congestion::new(0),
            round_trip: RoundTrip::new(),
            retransmit_at_ns: NEVER,
            asked: 0,
            waiting_since_ns: NEVER,
            expected: 0,
            promised: 0,
            receive: Ring::default(),
            receive_bytes: 0,
            gaps: Reassembly::default(),
            selective: false,
            peer_ended: false,
            owed: Owed::Nothing,
            acknowledged: 0,
            heard_at_ns: 0,
            patience_ns: NEVER,
            keep_alive_ns: NEVER,
            probe_at_ns: NEVER,
            challenge_at_ns: 0,
            reset: false,
            silent: false,
        }
    }

    /// Starts for `tuple`, with our first number.
    fn begin(&mut self, state: State, tuple: Tuple, number: u32, now_ns: u64, shared: &Shared) {
        self.state = state;
        self.tuple = tuple;
        self.template = Template::new(&tuple);
        self.segment_bytes = (shared.config.mtu_bytes - 40) as u32;
        self.una = number;
        self.next = number;
        self.top = number;
        self.send_bytes = shared.send_bytes();
        self.receive_bytes = shared.receive_bytes();
        self.heard_at_ns = now_ns;
    }

    /// Learns from the peer's SYN.
    fn agree(&mut self, peer_number: u32, window: u16, options: &SynOptions) {
        let peer_bytes = options.max_segment_bytes.unwrap_or(PEER_SEGMENT_BYTES_DEFAULT).max(PEER_SEGMENT_BYTES_MIN);
        self.segment_bytes = self.segment_bytes.min(u32::from(peer_bytes));
        self.congestion = Congestion::new(self.segment_bytes);
        self.selective = options.selective;
        self.window_shift = options.window_shift.unwrap_or(0);
        self.window = u32::from(window);
        self.window_max = self.window;
        self.window_told = (peer_number, self.una);
        self.expected = peer_number.wrapping_add(1);
        self.acknowledged = self.expected;
        self.promised = self.expected.wrapping_add(self.receive_bytes as u32);
    }

    /// Number behind the last byte written.
    fn data_end(&self) -> u32 {
        self.una.wrapping_add(self.send.len() as u32)
    }

    fn flight_bytes(&self) -> u32 {
        self.next.wrapping_sub(self.una)
    }

    /// The right edge that we could promise now.
    fn right_edge(&self) -> u32 {
        let free = (self.receive_bytes - self.receive.len()) as u32;
        let edge = self.expected.wrapping_add(free);
        let gained = edge.wrapping_sub(self.promised);
        // A promise is kept, and one that is hardly better than the last is not made (RFC 9293, 3.8.6.2.2).
        let worth = (self.receive_bytes as u32 / 2).min(self.segment_bytes);
        if (gained as i32) >= worth as i32 { edge } else { self.promised }
    }

    /// How long a shut window is left alone before it is asked again.
    fn persist_ns(&self) -> u64 {
        let backed_off_ns = self.round_trip.timeout_ns() << self.asked.min(10);
        // A peer that answers must not be taken for a silent one.
        backed_off_ns.min(LONGEST_NS).min(self.patience_ns / 4)
    }

    /// Ends at once, without a word.
    fn die(&mut self, shared: &mut Shared) {
        self.state = State::Closed;
        self.retransmit_at_ns = NEVER;
        self.probe_at_ns = NEVER;
        self.patience_ns = NEVER;
        self.waiting_since_ns = NEVER;
        self.owed = Owed::Nothing;
        self.again = false;
        shared.put_buffer(Direction::Send, self.send.take());
    }
}

impl Engine for Machine {
    fn accept(&mut self, handshake: &Handshake, now_ns: u64, shared: &Shared) {
        self.begin(State::Established, handshake.tuple, handshake.isn.wrapping_add(1), now_ns, shared);
        self.agree(handshake.peer_isn, handshake.peer_window, &handshake.peer_options);
    }

    fn connect(&mut self, tuple: Tuple, isn: u32, now_ns: u64, shared: &Shared) {
        self.begin(State::SynSent, tuple, isn, now_ns, shared);
        self.waiting_since_ns = now_ns;
    }

    fn input(&mut self, segment: &Segment<'_>, now_ns: u64, shared: &mut Shared) -> Reaction {
        self.take(segment, now_ns, shared)
    }

    fn output(&mut self, now_ns: u64, sink: &mut dyn PacketSink, shared: &mut Shared) -> Output {
        self.say(now_ns, sink, shared)
    }

    #[inline]
    fn next_timer(&self) -> u64 {
        // Whoever has no patience set waits for ever: the sum stays at the end of time.
        self.retransmit_at_ns.min(self.probe_at_ns).min(self.heard_at_ns.saturating_add(self.patience_ns))
    }

    #[inline]
    fn acknowledge_by(&self) -> u64 {
        match self.owed {
            Owed::By(by_ns) => by_ns,
            Owed::Nothing | Owed::Now => NEVER,
        }
    }

    #[inline]
    fn phase(&self) -> Phase {
        match self.state {
            State::SynSent | State::SynReceived => Phase::Opening,
            State::Established => Phase::Open,
            State::CloseWait => Phase::PeerClosed,
            State::FinWait1 | State::FinWait2 | State::Closing | State::LastAck => Phase::Closing,
            State::TimeWait => Phase::TimeWait,
            State::Closed => Phase::Closed,
        }
    }

    #[inline]
    fn readable_bytes(&self) -> usize {
        self.receive.len()
    }

    #[inline]
    fn is_readable(&self) -> bool {
        self.receive.len() > 0 || self.peer_ended || self.state == State::Closed
    }

    fn peer_ended(&self) -> bool {
        self.peer_ended
    }

    #[inline]
    fn writable_bytes(&self) -> usize {
        self.send_bytes - self.send.len()
    }

    #[inline]
    fn unacknowledged_bytes(&self) -> usize {
        self.send.len()
    }

    fn ends_at(&self) -> (u32, u32) {
        (self.top, self.expected)
    }

    #[inline]
    fn read(&mut self, buffer: &mut [u8], shared: &mut Shared) -> Read {
        let bytes = self.receive.len().min(buffer.len());
        if bytes == 0 {
            return match self.state {
                _ if self.peer_ended => Read::End,
                State::Closed => Read::Broken,
                _ => Read::Empty,
            };
        }
        self.receive.copy(0, &mut buffer[..bytes]);
        self.receive.consume(bytes);
        if self.receive.len() == 0 && self.gaps.is_empty() {
            shared.put_buffer(Direction::Receive, self.receive.take());
        }
        if self.right_edge().wrapping_sub(self.promised) as usize * 2 >= self.receive_bytes
            && matches!(self.state, State::Established | State::FinWait1 | State::FinWait2)
        {
            self.owed = Owed::Now;
            return Read::Opening(bytes);
        }
        Read::Bytes(bytes)
    }

    #[inline]
    fn write(&mut self, data: &[u8], shared: &mut Shared) -> Option<usize> {
        if !matches!(self.state, State::Established | State::CloseWait) {
            return None;
        }
        let bytes = data.len().min(self.writable_bytes());
        if bytes == 0 {
            return Some(0);
        }
        if !self.send.has_buffer() {
            let Some(buffer) = shared.take_buffer(Direction::Send) else { return Some(0) };
            self.send.give(buffer);
        }
        self.send.write(self.send.len(), &data[..bytes]);
        self.send.extend(bytes);
        Some(bytes)
    }

    fn close(&mut self, shared: &mut Shared) {
        match self.state {
            State::SynSent | State::SynReceived => self.die(shared),
            State::Established => {
                self.closing = true;
                self.state = State::FinWait1;
            }
            State::CloseWait => {
                self.closing = true;
                self.state = State::LastAck;
            }
            _ => {}
        }
    }

    fn abort(&mut self, shared: &mut Shared) {
        if self.state != State::Closed {
            self.reset = self.state != State::SynSent;
            self.die(shared);
        }
    }

    fn release(&mut self, shared: &mut Shared) {
        shared.put_buffer(Direction::Receive, self.receive.take());
        self.die(shared);
    }

    fn silent_since(&self) -> u64 {
        // A peer that has yet to end its own half may take its time.
        if self.state == State::FinWait2 { NEVER } else { self.waiting_since_ns.max(self.heard_at_ns) }
    }

    fn stalled_since(&self) -> u64 {
        self.waiting_since_ns
    }

    fn held_up(&mut self, now_ns: u64) {
        if self.waiting_since_ns == NEVER && (self.send.len() > 0 || self.closing) {
            self.waiting_since_ns = now_ns;
        }
    }

    fn is_silent(&self) -> bool {
        self.silent
    }

    fn set_no_delay(&mut self, on: bool) {
        self.no_delay = on;
    }

    fn set_keep_alive(&mut self, interval_ns: u64, now_ns: u64) {
        if self.state == State::Closed {
            return;
        }
        self.keep_alive_ns = interval_ns;
        self.probe_at_ns = now_ns.saturating_add(interval_ns);
    }

    fn set_patience(&mut self, silence_ns: u64, now_ns: u64) {
        if self.state == State::Closed {
            return;
        }
        self.heard_at_ns = now_ns;
        self.patience_ns = silence_ns;
    }

    fn shorten(&mut self, sequence: u32, packet_bytes: u32) -> Reaction {
        let segment_bytes = packet_bytes.saturating_sub(HEADERS_BYTES as u32).max(PEER_SEGMENT_BYTES_DEFAULT.into());
        // Only who saw the segment knows its number.
        let under_way = sequence.wrapping_sub(self.una) < self.top.wrapping_sub(self.una);
        if !under_way || segment_bytes >= self.segment_bytes || self.phase() == Phase::Opening {
            return Reaction::Nothing;
        }
        self.segment_bytes = segment_bytes;
        // What is under way was as long and is lost, though not for want of room on the way: again, in smaller pieces.
        self.again = false;
        self.next = self.una;
        self.retransmit_at_ns = NEVER;
        self.round_trip.on_retransmit();
        Reaction::Turn
    }

    fn orphan(&mut self, silence_ns: u64, now_ns: u64) {
        self.set_patience(silence_ns, now_ns);
        if self.state != State::Closed {
            self.waiting_since_ns = now_ns;
        }
    }
}
