//! What others may know of a connection.

use super::{Machine, State};
use crate::answers::{NEVER, Phase};
use crate::info::Info;
use crate::segment;

impl Machine {
    /// Where it is in its life.
    #[inline]
    pub fn phase(&self) -> Phase {
        match self.state {
            State::SynSent | State::SynReceived => Phase::Opening,
            State::Established => Phase::Open,
            State::CloseWait => Phase::PeerClosed,
            State::FinWait1 | State::FinWait2 | State::Closing | State::LastAck => Phase::Closing,
            State::TimeWait => Phase::TimeWait,
            State::Closed => Phase::Closed,
        }
    }

    /// Bytes that can be read.
    #[inline]
    pub fn readable_bytes(&self) -> usize {
        self.receive.len()
    }

    /// The peer ended its stream in order.
    pub fn peer_ended(&self) -> bool {
        self.peer_ended
    }

    /// Bytes that could be written.
    #[inline]
    pub fn writable_bytes(&self) -> usize {
        self.send_bytes.saturating_sub(self.send.len())
    }

    /// Whether there is room enough for what is written that a writer is worth waking.
    #[inline]
    pub fn has_room(&self) -> bool {
        self.writable_bytes() * 4 >= self.send_bytes
    }

    /// Bytes written and not yet acknowledged.
    #[inline]
    pub fn unacknowledged_bytes(&self) -> usize {
        self.send.len()
    }

    /// Our next number, and the next one expected.
    pub fn ends_at(&self) -> (u32, u32) {
        (self.top, self.expected)
    }

    /// What the peer's clock showed last, if it stamps its segments.
    pub fn peer_stamp(&self) -> Option<u32> {
        self.stamps.then_some(self.recent)
    }

    /// Since when the peer owes an answer and says nothing; [`NEVER`] when it owes none.
    pub fn silent_since(&self) -> u64 {
        // A peer that has yet to end its own half may take its time.
        if self.state == State::FinWait2 { NEVER } else { self.waiting_since_ns.max(self.heard_at_ns) }
    }

    /// When the peer last took something of what there is to bring over, or may at last end its own half; [`NEVER`] when
    /// neither is awaited.
    pub fn stalled_since(&self) -> u64 {
        self.waiting_since_ns
    }

    /// It gave up because the peer was silent for too long.
    pub fn is_silent(&self) -> bool {
        self.silent
    }

    /// A number that changes whenever more can be read, or the end.
    #[inline]
    pub fn arrived(&self) -> u32 {
        self.expected
    }

    /// Bytes written and never sent.
    pub fn unsent_bytes(&self) -> usize {
        let end = self.data_end();
        if segment::after(end, self.next) { end.wrapping_sub(self.next) as usize } else { 0 }
    }

    /// Everything said is acknowledged, and our end, too.
    pub fn is_through(&self) -> bool {
        self.top == self.una && self.send.len() == 0 && !self.closing
    }

    /// Bytes of its buffers.
    pub fn buffer_bytes(&self) -> usize {
        self.send.capacity() + self.receive.capacity()
    }

    /// Segments that went out again.
    pub fn retransmitted_segments(&self) -> u32 {
        self.retransmitted
    }

    /// How it stands.
    pub fn describe(&self) -> Info {
        self.info()
    }
}
