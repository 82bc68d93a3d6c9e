//! What the connection table asks of a TCP implementation: one connection, packets in, packets out, time passed in.
//!
//! Small on purpose: the engine can be replaced by changing [`TcpEngine`]. Finding the connection, listening, handshakes,
//! TIME-WAIT, resets and limits are not its business.

use super::segment::Tuple;
use crate::outbox::PacketSink;

/// The engine in use.
pub(super) type TcpEngine = super::smoltcp::Smoltcp;

/// Sizes of a connection's two buffers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct BufferSizes {
    pub(crate) receive_bytes: usize,
    pub(crate) send_bytes: usize,
}

/// What a finished handshake agreed on, from our side.
#[derive(Clone, Copy, Debug)]
pub(super) struct Handshake {
    pub(super) tuple: Tuple,
    pub(super) isn: u32,
    pub(super) peer_isn: u32,
    pub(super) peer_window: u16,
    pub(super) peer_options: super::options::SynOptions,
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
    pub(super) acknowledgement: u32,
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

/// What came of a read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Read {
    Bytes(usize),
    /// Nothing now.
    Empty,
    /// The peer ended its stream in order, and everything was read.
    End,
    /// The stream broke off.
    Broken,
}

/// One TCP connection.
pub(super) trait Engine: Sized {
    /// An engine with buffers of these sizes; `None` when there is no memory for them.
    fn new(sizes: BufferSizes, mtu_bytes: usize) -> Option<Self>;

    fn sizes(&self) -> BufferSizes;

    /// Becomes a new connection, of which somebody else has made the handshake. `false` when it cannot agree to it.
    fn accept(&mut self, handshake: &Handshake, salt: u64, now_ns: u64) -> bool;

    /// Becomes a new connection that asks for itself, with `isn`. `false` when the tuple makes no sense.
    fn connect(&mut self, tuple: Tuple, isn: u32, salt: u64, now_ns: u64) -> bool;

    /// Takes a packet of this connection; an immediate answer goes to `replies`.
    fn input(&mut self, packet: &[u8], now_ns: u64, replies: &mut dyn PacketSink);

    /// Sends at most one segment.
    fn output(&mut self, now_ns: u64, sink: &mut dyn PacketSink) -> Output;

    /// When it wants a turn to send even if nothing happens.
    fn next_timer(&mut self, now_ns: u64) -> Option<u64>;

    fn phase(&self) -> Phase;
    fn readable_bytes(&self) -> usize;
    fn writable_bytes(&self) -> usize;
    /// Bytes written and not yet acknowledged.
    fn unacknowledged_bytes(&self) -> usize;
    fn read(&mut self, buffer: &mut [u8]) -> Read;
    /// Takes as much as fits; `None` when the sending half is closed.
    fn write(&mut self, data: &[u8]) -> Option<usize>;
    /// Ends the sending half after what was written.
    fn close(&mut self);
    /// Ends both at once, with a reset.
    fn abort(&mut self);
    fn set_no_delay(&mut self, on: bool);
    fn set_keep_alive(&mut self, interval_ns: Option<u64>);
    /// Gives up, with a reset, after the peer has been silent for that long.
    fn set_patience(&mut self, silence_ns: Option<u64>);
}
