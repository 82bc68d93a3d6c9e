//! What the connection table asks of a TCP implementation: one connection, segments in, segments out, time passed in.
//!
//! Small on purpose: the engine can be replaced by changing [`TcpEngine`]. Finding the connection, listening, handshakes
//! that others begin, TIME-WAIT, resets for strangers and limits are not its business.

use super::options::SynOptions;
use super::segment::{Segment, Tuple};
use crate::outbox::PacketSink;
use crate::shared::Shared;

/// The engine in use.
pub(super) type TcpEngine = super::machine::Machine;

/// The end of time: a deadline that never comes.
pub(super) const NEVER: u64 = u64::MAX;

/// What a finished handshake agreed on, from our side.
#[derive(Clone, Copy, Debug)]
pub(super) struct Handshake {
    pub(super) tuple: Tuple,
    pub(super) isn: u32,
    pub(super) peer_isn: u32,
    pub(super) peer_window: u16,
    pub(super) peer_options: SynOptions,
}

/// A connection's life, as far as anybody outside has to know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// We asked for it; no answer yet.
    Opening,
    /// Both directions work.
    Open,
    /// The peer will send no more; we may.
    PeerClosed,
    /// We will send no more.
    Closing,
    /// Both directions ended in order and we keep watch for late segments.
    TimeWait,
    /// Over.
    Closed,
}

/// A segment that went out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Sent {
    pub(super) payload_bytes: usize,
    /// The sequence number after it.
    pub(super) next: u32,
}

/// What came of a turn to send.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Output {
    Sent(Sent),
    /// There was nothing to send, or nothing that may be sent yet.
    Nothing,
    /// The sink was full.
    Full,
}

/// What a segment calls for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reaction {
    /// Nothing, or nothing now.
    Nothing,
    /// A turn to send.
    Turn,
    /// The answer to a stranger: a reset.
    Refuse,
    /// This connection was over and is closed now; the segment opens its successor.
    Succeed,
}

impl Reaction {
    /// This and that.
    #[inline]
    pub(super) fn or(self, other: Reaction) -> Reaction {
        if self == Reaction::Nothing { other } else { self }
    }
}

/// What came of a read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Read {
    Bytes(usize),
    /// As many bytes; and the peer must hear that there is room again.
    Opening(usize),
    /// Nothing now.
    Empty,
    /// The peer ended its stream in order, and everything was read.
    End,
    /// The stream broke off.
    Broken,
}

/// One TCP connection.
pub(super) trait Engine {
    /// Becomes a new connection, of which somebody else has made the handshake.
    fn accept(&mut self, handshake: &Handshake, now_ns: u64, shared: &Shared);

    /// Becomes a new connection that asks for itself, with `isn`.
    fn connect(&mut self, tuple: Tuple, isn: u32, now_ns: u64, shared: &Shared);

    /// Takes a segment of this connection.
    fn input(&mut self, segment: &Segment<'_>, now_ns: u64, shared: &mut Shared) -> Reaction;

    /// Sends at most one segment.
    fn output(&mut self, now_ns: u64, sink: &mut dyn PacketSink, shared: &mut Shared) -> Output;

    /// When it wants a turn to send even if nothing happens, acknowledgements apart; [`NEVER`] if not.
    fn next_timer(&self) -> u64;

    /// When it wants a turn at the latest because it owes an acknowledgement; [`NEVER`] if not.
    fn acknowledge_by(&self) -> u64;

    fn phase(&self) -> Phase;
    fn readable_bytes(&self) -> usize;
    /// Whether a read would answer something else than "nothing now".
    fn is_readable(&self) -> bool;
    /// The peer ended its stream in order.
    fn peer_ended(&self) -> bool;
    fn writable_bytes(&self) -> usize;
    /// Bytes written and not yet acknowledged.
    fn unacknowledged_bytes(&self) -> usize;
    /// Our next number, and the next one expected.
    fn ends_at(&self) -> (u32, u32);
    /// Since when the peer owes an answer and says nothing; [`NEVER`] when it owes none.
    fn silent_since(&self) -> u64;
    /// When the peer last took something of what there is to bring over, or may at last end its own half; [`NEVER`] when
    /// neither is awaited.
    fn stalled_since(&self) -> u64;
    /// There is something to send, and a reason outside why it cannot go yet.
    fn held_up(&mut self, now_ns: u64);
    /// It gave up because the peer was silent for too long.
    fn is_silent(&self) -> bool;
    fn read(&mut self, buffer: &mut [u8], shared: &mut Shared) -> Read;
    /// Takes as much as fits; `None` when the sending half is closed.
    fn write(&mut self, data: &[u8], shared: &mut Shared) -> Option<usize>;
    /// Ends the sending half after what was written.
    fn close(&mut self, shared: &mut Shared);
    /// Ends both at once, with a reset.
    fn abort(&mut self, shared: &mut Shared);
    /// Gives everything back that it holds.
    fn release(&mut self, shared: &mut Shared);
    fn set_no_delay(&mut self, on: bool);
    /// Asks a silent peer whether it is there, after each such interval or [`NEVER`].
    fn set_keep_alive(&mut self, interval_ns: u64, now_ns: u64);
    /// Gives up, with a reset, after the peer has been silent for that long or [`NEVER`].
    fn set_patience(&mut self, silence_ns: u64, now_ns: u64);
    /// The way carries no packet longer than this, nor did it carry the segment with that number.
    fn shorten(&mut self, sequence: u32, packet_bytes: u32) -> Reaction;
    /// Nobody holds it any more: as [`set_patience`](Self::set_patience), and what it waits for counts from now.
    fn orphan(&mut self, silence_ns: u64, now_ns: u64);
}
