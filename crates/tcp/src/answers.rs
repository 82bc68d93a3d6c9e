//! What a connection is told, and what it answers.

use crate::options::SynOptions;
use crate::segment::Tuple;

/// The end of time: a deadline that never comes.
pub const NEVER: u64 = u64::MAX;

/// What a finished handshake agreed on, from our side.
#[derive(Clone, Copy, Debug)]
pub struct Handshake {
    /// The two ends.
    pub tuple: Tuple,
    /// Our first number.
    pub isn: u32,
    /// The peer's first number.
    pub peer_isn: u32,
    /// The window that came with it, as it stood there.
    pub peer_window: u16,
    /// What the peer's SYN said.
    pub peer_options: SynOptions,
    /// By how much our clock's stamps are off.
    pub stamp_offset: u32,
}

/// A connection's life, as far as anybody outside has to know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
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
pub struct Sent {
    /// Bytes of the stream in it.
    pub payload_bytes: usize,
    /// The sequence number after it.
    pub next: u32,
}

/// What came of a turn to send.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Output {
    /// A segment went out.
    Sent(Sent),
    /// There was nothing to send, or nothing that may be sent yet.
    Nothing,
    /// The sink was full.
    Full,
}

/// What a segment calls for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reaction {
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
    #[must_use]
    pub fn or(self, other: Reaction) -> Reaction {
        if self == Reaction::Nothing { other } else { self }
    }
}

/// What came of a read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Read {
    /// So many bytes.
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

/// What this machine offers to every connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Terms {
    /// Largest IP packet the link carries.
    pub mtu_bytes: usize,
    /// How much a connection takes before it is sent, and how much at most, should the way be long and wide.
    pub send_bytes: usize,
    /// As above.
    pub send_max_bytes: usize,
    /// How much a connection receives before it is read, and how much at most.
    pub receive_bytes: usize,
    /// As above.
    pub receive_max_bytes: usize,
}

impl Terms {
    /// How far our windows are shifted where the peer can do that (RFC 7323, 2.3): as little as lets the largest be told.
    #[must_use]
    pub fn window_shift(&self) -> u8 {
        let bits = usize::BITS - self.receive_max_bytes.leading_zeros();
        bits.saturating_sub(u16::BITS).min(14) as u8
    }
}
