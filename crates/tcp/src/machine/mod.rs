//! The TCP state machine of one connection (RFC 9293), made for the common case: a segment in order on an open connection,
//! and an answer that carries its acknowledgement.
//!
//! Both directions are sequence numbers and a ring. Sending: `una..next` is under way, what the ring holds beyond `next` is
//! unsent, and a FIN stands behind the ring's last byte once `closing`. Receiving: `expected` is the next byte wanted, and
//! `promised` the right edge that the peer was told, which never moves back. Buffers come from a pool when the first byte
//! does and go back when the ring is empty, so an idle connection costs its numbers only.
//!
//! `input.rs` takes segments, `output.rs` decides what to send, `recovery.rs` what to send again, `emit.rs` writes it;
//! `ring.rs`, `reassembly.rs`, `scoreboard.rs`, `congestion.rs`, `round_trip.rs` and `stamps.rs` each know one thing;
//! `stream.rs` and `questions.rs` are what others see. What programs ask for beyond the usual, and what is rarely due, is in
//! `tuning.rs`.

mod congestion;
mod emit;
mod input;
mod output;
mod questions;
mod reassembly;
pub(crate) mod recovery;
mod ring;
pub(crate) mod round_trip;
mod scoreboard;
pub(crate) mod stamps;
mod stream;
mod tuning;

use crate::answers::{Handshake, NEVER, Output, Phase, Reaction, Read, Terms};
use crate::info::TcpState as State;
use crate::ip::Ip;
use crate::memory::Memory;
use crate::options::SynOptions;
use crate::segment::{Segment, Tuple};
use crate::sink::PacketSink;
use crate::tune::TcpOption;
use congestion::Congestion;
use emit::Template;
use reassembly::Reassembly;
use recovery::Recovery;
use ring::Ring;
use round_trip::{LONGEST_NS, RoundTrip};
use scoreboard::Scoreboard;
use tuning::Tuning;

/// What a peer that names no limit can take in one segment, and the least that is believed.
const PEER_SEGMENT_BYTES_DEFAULT: u16 = 536;
const PEER_SEGMENT_BYTES_MIN: u16 = 64;

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
pub struct Machine {
    tuple: Tuple,
    state: State,
    template: Template,
    /// Largest payload we send, and largest we take.
    segment_bytes: u32,
    own_segment_bytes: u16,

    // Sending.
    una: u32,
    next: u32,
    /// The highest `next` there was: what lies before it goes out again.
    top: u32,
    /// How far beyond `una` the peer lets us go.
    window: u32,
    window_shift: u8,
    /// Our own windows are told shifted by so much.
    shift: u8,
    /// The segment that told the window: its number and acknowledgement.
    window_told: (u32, u32),
    window_max: u32,
    send: Ring,
    send_bytes: usize,
    send_max_bytes: usize,
    closing: bool,
    no_delay: bool,
    /// The first segment under way is to go out again.
    again: bool,
    congestion: Congestion,
    recovery: Recovery,
    /// Acknowledgements of the same, since the last that moved.
    duplicates: u8,
    /// What the peer has beyond a gap.
    board: Scoreboard,
    /// The time that `retransmit_at_ns` says is when the tail is asked after; that it is due; that it was.
    probing: bool,
    probe_due: bool,
    probed: bool,
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
    receive_max_bytes: usize,
    /// Another half window of data was read when reading passes this; since when that is waited for.
    window_mark: u32,
    window_mark_ns: u64,
    gaps: Reassembly,
    selective: bool,
    peer_ended: bool,
    owed: Owed,
    /// How often the same acknowledgement is owed to a peer that counts them, since it is told no ranges.
    repeats: u8,
    /// The acknowledgement that was sent last.
    acknowledged: u32,

    // Time stamps.
    stamps: bool,
    stamp_offset: u32,
    /// What the peer's clock showed, and when we heard that; what it echoed of ours.
    recent: u32,
    recent_at_ns: u64,
    echo: u32,

    // Watching the peer.
    heard_at_ns: u64,
    /// How long it may be silent.
    patience_ns: u64,
    /// When what is rarely due has to be looked at; [`NEVER`] if nothing is.
    check_at_ns: u64,
    challenge_at_ns: u64,
    tuning: Tuning,
    /// Segments that went out again.
    retransmitted: u32,
    /// The peer is to be told that this is over.
    reset: bool,
    /// It is over because the peer said nothing for too long.
    silent: bool,
}

impl Default for Machine {
    fn default() -> Self {
        Self::new()
    }
}

impl Machine {
    /// A connection that is none yet: see [`accept`](Self::accept) and [`connect`](Self::connect).
    #[must_use]
    pub fn new() -> Self {
        let nobody = Ip::UNSPECIFIED;
        let tuple = Tuple { local: nobody, remote: nobody, local_port: 0, remote_port: 0 };
        Machine {
            tuple,
            state: State::Closed,
            template: Template::empty(),
            segment_bytes: 0,
            own_segment_bytes: 0,
            una: 0,
            next: 0,
            top: 0,
            window: 0,
            window_shift: 0,
            shift: 0,
            window_told: (0, 0),
            window_max: 0,
            send: Ring::default(),
            send_bytes: 0,
            send_max_bytes: 0,
            closing: false,
            no_delay: false,
            again: false,
            congestion: Congestion::new(0),
            recovery: Recovery::None,
            duplicates: 0,
            board: Scoreboard::default(),
            probing: false,
            probe_due: false,
            probed: false,
            round_trip: RoundTrip::new(),
            retransmit_at_ns: NEVER,
            asked: 0,
            waiting_since_ns: NEVER,
            expected: 0,
            promised: 0,
            receive: Ring::default(),
            receive_bytes: 0,
            receive_max_bytes: 0,
            window_mark: 0,
            window_mark_ns: 0,
            gaps: Reassembly::default(),
            selective: false,
            peer_ended: false,
            owed: Owed::Nothing,
            repeats: 0,
            acknowledged: 0,
            stamps: false,
            stamp_offset: 0,
            recent: 0,
            recent_at_ns: 0,
            echo: 0,
            heard_at_ns: 0,
            patience_ns: NEVER,
            check_at_ns: NEVER,
            challenge_at_ns: 0,
            tuning: Tuning::NONE,
            retransmitted: 0,
            reset: false,
            silent: false,
        }
    }

    /// Starts for `tuple`, with our first number.
    fn begin(&mut self, state: State, tuple: Tuple, number: u32, now_ns: u64, terms: &Terms) {
        self.state = state;
        self.tuple = tuple;
        self.template = Template::new(&tuple);
        self.segment_bytes = (terms.mtu_bytes - self.template.headers_bytes()) as u32;
        self.own_segment_bytes = self.segment_bytes.min(u16::MAX.into()) as u16;
        self.una = number;
        self.next = number;
        self.top = number;
        self.send_bytes = terms.send_bytes;
        self.send_max_bytes = terms.send_max_bytes;
        self.receive_bytes = terms.receive_bytes;
        self.receive_max_bytes = terms.receive_max_bytes;
        self.shift = terms.window_shift();
        self.heard_at_ns = now_ns;
    }

    /// Learns from the peer's SYN.
    fn agree(&mut self, peer_number: u32, window: u16, options: &SynOptions, now_ns: u64) {
        let peer_bytes = options.max_segment_bytes.unwrap_or(PEER_SEGMENT_BYTES_DEFAULT).max(PEER_SEGMENT_BYTES_MIN);
        self.segment_bytes = self.segment_bytes.min(u32::from(peer_bytes));
        self.selective = options.selective;
        self.window_shift = options.window_shift.unwrap_or(0);
        if options.window_shift.is_none() {
            self.shift = 0;
            self.receive_max_bytes = self.receive_max_bytes.min(u16::MAX.into());
            self.receive_bytes = self.receive_bytes.min(self.receive_max_bytes);
        }
        if let Some((value, echo)) = options.stamp {
            self.stamps = true;
            (self.recent, self.recent_at_ns, self.echo) = (value, now_ns, echo);
            self.segment_bytes -= stamps::BYTES as u32;
        }
        self.congestion = Congestion::new(self.segment_bytes);
        self.window = u32::from(window);
        self.window_max = self.window;
        self.window_told = (peer_number, self.una);
        self.expected = peer_number.wrapping_add(1);
        self.acknowledged = self.expected;
        self.promised = self.expected.wrapping_add(self.first_window().into());
        self.window_mark = self.expected.wrapping_add(self.receive_bytes as u32 / 2);
        self.window_mark_ns = now_ns;
    }

    /// The window that a SYN tells, which is not shifted.
    fn first_window(&self) -> u16 {
        self.receive_bytes.min(u16::MAX.into()) as u16
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
        let free = self.receive_bytes.saturating_sub(self.receive.len()) as u32;
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
    fn die(&mut self, memory: &mut Memory) {
        self.state = State::Closed;
        self.retransmit_at_ns = NEVER;
        self.check_at_ns = NEVER;
        self.waiting_since_ns = NEVER;
        self.owed = Owed::Nothing;
        self.again = false;
        self.probe_due = false;
        self.board.clear();
        memory.put(self.send.take());
    }
}

impl Machine {
    /// One TCP connection.
    /// Becomes a new connection, of which somebody else has made the handshake.
    pub fn accept(&mut self, handshake: &Handshake, now_ns: u64, terms: &Terms) {
        self.begin(State::Established, handshake.tuple, handshake.isn.wrapping_add(1), now_ns, terms);
        self.stamp_offset = handshake.stamp_offset;
        self.agree(handshake.peer_isn, handshake.peer_window, &handshake.peer_options, now_ns);
    }

    /// Becomes a new connection that asks for itself, with `isn`; its clock is off by `stamp_offset`.
    pub fn connect(&mut self, tuple: Tuple, isn: u32, stamp_offset: u32, now_ns: u64, terms: &Terms) {
        self.begin(State::SynSent, tuple, isn, now_ns, terms);
        self.waiting_since_ns = now_ns;
        self.stamp_offset = stamp_offset;
    }

    /// Takes a segment of this connection.
    pub fn input(&mut self, segment: &Segment<'_>, now_ns: u64, memory: &mut Memory) -> Reaction {
        self.take(segment, now_ns, memory)
    }

    /// Sends at most one segment.
    pub fn output(&mut self, now_ns: u64, sink: &mut dyn PacketSink, memory: &mut Memory) -> Output {
        self.say(now_ns, sink, memory)
    }

    /// When it wants a turn to send even if nothing happens, acknowledgements apart; [`NEVER`] if not.
    #[inline]
    pub fn next_timer(&self) -> u64 {
        self.retransmit_at_ns.min(self.check_at_ns)
    }

    /// Time has passed: it may have lost patience. `true` when it has something to say to that.
    #[inline]
    pub fn look_at_clock(&mut self, now_ns: u64, memory: &mut Memory) -> bool {
        self.check_at_ns <= now_ns && self.check(now_ns, memory)
    }

    /// When it wants a turn at the latest because it owes an acknowledgement; [`NEVER`] if not.
    #[inline]
    pub fn acknowledge_by(&self) -> u64 {
        match self.owed {
            Owed::By(by_ns) => by_ns,
            Owed::Nothing | Owed::Now => NEVER,
        }
    }

    /// Reads what has come.
    #[inline]
    pub fn read(&mut self, buffer: &mut [u8], memory: &mut Memory) -> Read {
        let bytes = self.receive.len().min(buffer.len());
        if bytes == 0 {
            return self.read_nothing();
        }
        self.receive.copy(0, &mut buffer[..bytes]);
        self.after_read(bytes, memory)
    }

    /// Takes as much as fits; `None` when the sending half is closed.
    #[inline]
    pub fn write(&mut self, data: &[u8], memory: &mut Memory) -> Option<usize> {
        let bytes = match self.room_for(data.len(), memory) {
            Some(bytes @ 1..) => bytes,
            answer => return answer,
        };
        self.send.write(self.send.len(), &data[..bytes]);
        self.send.extend(bytes);
        Some(bytes)
    }

    /// Ends the sending half after what was written.
    pub fn close(&mut self, memory: &mut Memory) {
        match self.state {
            State::SynSent | State::SynReceived => self.die(memory),
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

    /// Ends both at once, with a reset.
    pub fn abort(&mut self, memory: &mut Memory) {
        if self.state != State::Closed {
            self.reset = self.state != State::SynSent;
            self.die(memory);
        }
    }

    /// Gives everything back that it holds.
    pub fn release(&mut self, memory: &mut Memory) {
        memory.put(self.receive.take());
        self.die(memory);
    }

    /// There is something to send, and a reason outside why it cannot go yet.
    pub fn held_up(&mut self, now_ns: u64) {
        if self.waiting_since_ns == NEVER && (self.send.len() > 0 || self.closing) {
            self.waiting_since_ns = now_ns;
        }
    }

    /// The way out was shut, and is open again: what is under way is taken for lost now, however far its timer was put off.
    pub fn resume(&mut self, now_ns: u64) {
        if self.retransmit_at_ns != NEVER {
            self.retransmit_at_ns = now_ns;
            self.asked = 0;
            self.on_resume();
        }
    }

    /// The way carries no packet longer than this, nor did it carry the segment with that number.
    pub fn shorten(&mut self, sequence: u32, packet_bytes: u32) -> Reaction {
        let header_bytes = self.template.headers_bytes() + if self.stamps { stamps::BYTES } else { 0 };
        let least = u32::from(PEER_SEGMENT_BYTES_DEFAULT) - stamps::BYTES as u32;
        let segment_bytes = packet_bytes.saturating_sub(header_bytes as u32).max(least);
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

    /// Nobody holds it any more: it gives up, with a reset, after the peer has been silent for that long, and what it waits
    /// for counts from now.
    pub fn orphan(&mut self, silence_ns: u64, now_ns: u64) {
        if self.state != State::Closed {
            self.heard_at_ns = now_ns;
            self.patience_ns = silence_ns;
            self.waiting_since_ns = now_ns;
            self.check_by(now_ns.saturating_add(silence_ns));
        }
    }

    /// Does as an option says, as far as that is the engine's.
    pub fn tune(&mut self, option: TcpOption, now_ns: u64) {
        self.set(option, now_ns);
    }

    /// As a read, but it stays there.
    pub fn peek(&self, buffer: &mut [u8]) -> Read {
        let bytes = self.receive.len().min(buffer.len());
        if bytes == 0 {
            return self.read_nothing();
        }
        self.receive.copy(0, &mut buffer[..bytes]);
        Read::Bytes(bytes)
    }

    /// Shows `take` what there is, at most so much; it says how much it took.
    pub fn read_with(&mut self, bytes_max: usize, take: &mut dyn FnMut(&[u8]) -> usize, memory: &mut Memory) -> Read {
        self.read_in_place(bytes_max, take, memory)
    }

    /// Has `fill` write, at most so much; it says how much it wrote. `None` when the sending half is closed.
    pub fn write_with(
        &mut self,
        bytes_max: usize,
        fill: &mut dyn FnMut(&mut [u8]) -> usize,
        memory: &mut Memory,
    ) -> Option<usize> {
        self.write_in_place(bytes_max, fill, memory)
    }
}
