//! Takes a segment (RFC 9293, 3.10.7): first the case that nearly all are, then the book.

use super::{Machine, Owed, State, stamps};
use crate::answers::{NEVER, Reaction};
use crate::memory::Memory;
use crate::options::SynOptions;
use crate::segment::{ACK, FIN, PSH, RST, SYN, Segment, after};

/// How long an acknowledgement may wait for data to ride on.
const ACKNOWLEDGE_WITHIN_NS: u64 = 10_000_000;
/// Answers to segments that make no sense, at most one in this time (RFC 5961, 7).
const CHALLENGE_NS: u64 = 500_000_000;

impl Machine {
    /// Takes a segment; says whether something is to be sent now.
    #[inline]
    pub(super) fn take(&mut self, segment: &Segment<'_>, now_ns: u64, memory: &mut Memory) -> Reaction {
        let last_stamp = self.recent;
        if self.stamps && !self.is_timely(segment, now_ns) && !self.begins_anew(segment) {
            // Of long ago (RFC 7323, 5.3).
            return self.challenge(now_ns);
        }
        let plain = segment.flags & !PSH == ACK;
        let acknowledges = segment.acknowledgement.wrapping_sub(self.una) <= self.top.wrapping_sub(self.una);
        let payload_bytes = segment.payload.len() as u32;
        if plain
            && self.state == State::Established
            && segment.sequence == self.expected
            && acknowledges
            && payload_bytes > 0
            && payload_bytes <= self.promised.wrapping_sub(self.expected)
            && self.gaps.is_empty()
        {
            self.heard_at_ns = now_ns;
            let reaction = self.acknowledge(segment, now_ns, memory);
            return reaction.or(self.store_in_order(segment.payload, now_ns, memory));
        }
        match self.state {
            State::Closed => Reaction::Refuse,
            State::SynSent => self.take_first(segment, now_ns, memory),
            State::TimeWait if segment.reopens(self.expected, self.stamps.then_some(last_stamp)) => {
                self.die(memory);
                Reaction::Succeed
            }
            _ => self.take_by_the_book(segment, now_ns, memory),
        }
    }

    /// Whether this connection is over, and the segment begins the next one between these ends.
    #[cold]
    fn begins_anew(&self, segment: &Segment<'_>) -> bool {
        matches!(self.state, State::Closed | State::TimeWait) && segment.opens()
    }

    /// The answer to our SYN, or the peer's own.
    fn take_first(&mut self, segment: &Segment<'_>, now_ns: u64, memory: &mut Memory) -> Reaction {
        let acknowledges = segment.has(ACK);
        if acknowledges && segment.acknowledgement != self.top {
            return if segment.has(RST) { Reaction::Nothing } else { Reaction::Refuse };
        }
        if segment.has(RST) {
            if acknowledges {
                self.die(memory);
            }
            return Reaction::Nothing;
        }
        let Some(options) = SynOptions::parse(segment.options) else { return Reaction::Nothing };
        if !segment.has(SYN) {
            return Reaction::Nothing;
        }
        self.heard_at_ns = now_ns;
        if acknowledges {
            let _first = self.round_trip.on_acknowledge(self.top, now_ns);
            self.open();
            self.owed = Owed::Now;
        } else {
            // Both asked at once: ours goes out again, with an answer to theirs.
            self.state = State::SynReceived;
            self.next = self.una;
        }
        self.retransmit_at_ns = NEVER;
        self.agree(segment.sequence, segment.window, &options, now_ns);
        Reaction::Turn
    }

    /// Both asked at once, and the peer answers with its SYN once more (RFC 9293, figure 7).
    fn take_second(&mut self, segment: &Segment<'_>, now_ns: u64) -> Reaction {
        if segment.sequence.wrapping_add(1) != self.expected || segment.acknowledgement != self.top {
            return self.challenge(now_ns);
        }
        self.heard_at_ns = now_ns;
        self.open();
        self.owed = Owed::Now;
        Reaction::Turn
    }

    /// Our SYN is acknowledged.
    fn open(&mut self) {
        self.una = self.top;
        self.next = self.top;
        self.retransmit_at_ns = NEVER;
        self.waiting_since_ns = NEVER;
        self.state = State::Established;
    }

    fn take_by_the_book(&mut self, segment: &Segment<'_>, now_ns: u64, memory: &mut Memory) -> Reaction {
        if self.state == State::SynReceived && segment.flags & (SYN | ACK | RST | FIN) == SYN | ACK {
            return self.take_second(segment, now_ns);
        }
        if !self.is_in_window(segment) {
            return self.take_outside(segment, now_ns, memory);
        }
        if segment.has(RST) {
            if segment.sequence != self.expected {
                return self.challenge(now_ns);
            }
            self.die(memory);
            return Reaction::Nothing;
        }
        if segment.has(SYN) {
            return self.challenge(now_ns);
        }
        if !segment.has(ACK) {
            return Reaction::Nothing;
        }
        if self.state == State::SynReceived {
            if segment.acknowledgement != self.top {
                return Reaction::Refuse;
            }
            self.open();
        }
        let old = self.una.wrapping_sub(segment.acknowledgement);
        if after(segment.acknowledgement, self.top) || (old as i32 > 0 && old > self.window_max) {
            // Of what was never sent, or older than anything that can be under way (RFC 5961, 5).
            return self.challenge(now_ns);
        }
        self.heard_at_ns = now_ns;
        let mut reaction = self.acknowledge(segment, now_ns, memory);
        if self.state == State::Closed {
            return reaction;
        }
        if !segment.payload.is_empty() && !self.peer_ended {
            reaction = reaction.or(self.store(segment, now_ns, memory));
        }
        if segment.has(FIN) {
            reaction = reaction.or(self.take_end(segment));
        }
        reaction
    }

    /// RFC 9293's test, and a bare acknowledgement at the expected number whatever the window.
    fn is_in_window(&self, segment: &Segment<'_>) -> bool {
        let window = self.promised.wrapping_sub(self.expected);
        let start = segment.sequence.wrapping_sub(self.expected);
        let len = segment.space();
        if len == 0 {
            return start == 0 || start < window;
        }
        let end = start.wrapping_add(len).wrapping_sub(1);
        // The FIN of a full window takes no room.
        start < window || end < window || (start == window && segment.has(FIN) && segment.payload.is_empty())
    }

    /// A segment that has been here before, or never should be.
    fn take_outside(&mut self, segment: &Segment<'_>, now_ns: u64, memory: &mut Memory) -> Reaction {
        if segment.has(RST) {
            return Reaction::Nothing;
        }
        let old_or_probe = segment.has(ACK) && !segment.has(SYN) && segment.space() > 0;
        if old_or_probe {
            // Its answer was lost, or it asks whether our window is still shut. What it acknowledges counts.
            if segment.sequence == self.expected && !after(segment.acknowledgement, self.top) {
                self.heard_at_ns = now_ns;
                let _ = self.acknowledge(segment, now_ns, memory);
            }
            self.owed = Owed::Now;
            return Reaction::Turn;
        }
        self.challenge(now_ns)
    }

    /// Says what we expect, to a segment that does not fit.
    fn challenge(&mut self, now_ns: u64) -> Reaction {
        if now_ns < self.challenge_at_ns {
            return Reaction::Nothing;
        }
        self.challenge_at_ns = now_ns + CHALLENGE_NS;
        self.owed = Owed::Now;
        Reaction::Turn
    }

    /// What the peer acknowledges, and how far it lets us go.
    #[inline]
    fn acknowledge(&mut self, segment: &Segment<'_>, now_ns: u64, memory: &mut Memory) -> Reaction {
        let number = segment.acknowledgement;
        if after(self.una, number) {
            return Reaction::Nothing;
        }
        let plain_bytes = if self.stamps { stamps::BYTES } else { 0 };
        let tells = self.selective && segment.options.len() > plain_bytes && self.take_ranges(segment);
        let window = u32::from(segment.window) << self.window_shift;
        let (moved, was_shut) = (window != self.window, self.window == 0);
        let (told_sequence, told_acknowledgement) = self.window_told;
        if after(segment.sequence, told_sequence)
            || (segment.sequence == told_sequence && !after(told_acknowledgement, number))
        {
            self.window = window;
            self.window_max = self.window_max.max(window);
            self.window_told = (segment.sequence, number);
        }
        if was_shut && self.window > 0 {
            self.asked = 0;
        }
        if number != self.una {
            return self.progress(number, now_ns, memory);
        }
        if self.window > 0 && was_shut {
            if self.send.len() > 0 {
                // What the clock was to ask about can go; the byte that asked had no room and goes again.
                self.next = self.una;
                self.retransmit_at_ns = NEVER;
                self.round_trip.on_retransmit();
            } else if self.next != self.una {
                // Our end is under way, and takes no room.
                self.retransmit_at_ns = now_ns + self.round_trip.timeout_ns();
            }
        } else if tells
            || segment.payload.is_empty() && !moved && !was_shut && self.next != self.una && !segment.has(FIN)
        {
            return self.on_duplicate();
        }
        if self.send.len() > 0 || self.closing { Reaction::Turn } else { Reaction::Nothing }
    }

    /// Everything before `number` has arrived.
    fn progress(&mut self, number: u32, now_ns: u64, memory: &mut Memory) -> Reaction {
        let acknowledged = number.wrapping_sub(self.una);
        let flight = self.top.wrapping_sub(self.una);
        let bytes = acknowledged.min(self.send.len() as u32);
        let end_acknowledged = self.closing && acknowledged > self.send.len() as u32;
        self.send.consume(bytes as usize);
        self.una = number;
        if after(self.una, self.next) {
            self.next = self.una;
        }
        if !self.round_trip.on_acknowledge(number, now_ns) && self.stamps {
            self.measure_echo(now_ns);
        }
        self.on_progress(bytes, flight, now_ns);
        if self.send_bytes < self.send_max_bytes && self.congestion.window_bytes as usize * 2 > self.send_bytes {
            // What is under way must be kept, and as much again be ready to follow.
            self.send_bytes = (self.congestion.window_bytes as usize * 2).min(self.send_max_bytes);
        }
        let under_way = self.top != self.una;
        self.retransmit_at_ns = if under_way { now_ns + self.loss_timeout() } else { NEVER };
        self.waiting_since_ns = now_ns;
        if self.send.len() == 0 {
            if !self.closing {
                self.waiting_since_ns = NEVER;
            }
            if self.send.has_buffer() {
                memory.put(self.send.take());
            }
            if end_acknowledged {
                self.on_end_acknowledged(memory);
            }
            // With nothing left to send, only an end that is still to be said needs a turn.
            return if self.closing && !end_acknowledged { Reaction::Turn } else { Reaction::Nothing };
        }
        Reaction::Turn
    }

    fn on_end_acknowledged(&mut self, memory: &mut Memory) {
        self.closing = false;
        match self.state {
            State::FinWait1 => self.state = State::FinWait2,
            State::Closing => self.rest(),
            State::LastAck => self.die(memory),
            _ => {}
        }
    }

    /// Both ends are said and heard.
    fn rest(&mut self) {
        self.waiting_since_ns = NEVER;
        self.state = State::TimeWait;
    }

    /// Data at the number we expect.
    #[inline]
    fn store_in_order(&mut self, payload: &[u8], now_ns: u64, memory: &mut Memory) -> Reaction {
        if !self.receive.reserve(self.receive.len() + payload.len(), memory) {
            // Without memory the segment is lost, as on a bad link, and comes again.
            return Reaction::Nothing;
        }
        self.receive.write(self.receive.len(), payload);
        self.receive.extend(payload.len());
        self.expected = self.expected.wrapping_add(payload.len() as u32);
        self.owe(now_ns)
    }

    /// Bytes stored and not acknowledged: at once for every second full segment, else on the answer or soon.
    fn owe(&mut self, now_ns: u64) -> Reaction {
        let unacknowledged = self.expected.wrapping_sub(self.acknowledged);
        if self.owed == Owed::Now || unacknowledged >= 2 * self.segment_bytes || self.tuning.quick {
            self.owed = Owed::Now;
            return Reaction::Turn;
        }
        if self.owed == Owed::Nothing {
            self.owed = Owed::By(now_ns + ACKNOWLEDGE_WITHIN_NS);
        }
        Reaction::Nothing
    }

    /// Data somewhere in the window.
    fn store(&mut self, segment: &Segment<'_>, now_ns: u64, memory: &mut Memory) -> Reaction {
        let mut payload = segment.payload;
        let mut offset = segment.sequence.wrapping_sub(self.expected);
        if (offset as i32) < 0 {
            let known = (offset.wrapping_neg() as usize).min(payload.len());
            payload = &payload[known..];
            offset = 0;
        }
        let window = self.promised.wrapping_sub(self.expected);
        payload = &payload[..payload.len().min(window.saturating_sub(offset) as usize)];
        let place = self.receive.len() + offset as usize;
        // Nobody can read what lies beyond a gap, as long as the peer wants: while memory is scarce it gets none for that.
        let is_refused = offset > 0 && memory.is_scarce() && place + payload.len() > self.receive.capacity();
        if payload.is_empty() || is_refused || !self.receive.reserve(place + payload.len(), memory) {
            self.owed = Owed::Now;
            return Reaction::Turn;
        }
        if offset == 0 && self.gaps.is_empty() {
            return self.store_in_order(payload, now_ns, memory);
        }
        // RFC 5681, 4.2: out of order, or into a gap, is acknowledged at once.
        self.owed = Owed::Now;
        if offset > 0 {
            if !self.selective {
                self.repeats = self.repeats.saturating_add(1);
            }
            if self.gaps.add(offset, offset + payload.len() as u32) {
                self.receive.write(place, payload);
            }
        } else {
            self.receive.write(place, payload);
            let bytes = payload.len() as u32;
            let in_order = bytes + self.gaps.advance(bytes);
            self.receive.extend(in_order as usize);
            self.repeats = 0;
            self.expected = self.expected.wrapping_add(in_order);
        }
        Reaction::Turn
    }

    /// The peer's end, if everything before it is there.
    fn take_end(&mut self, segment: &Segment<'_>) -> Reaction {
        let end = segment.sequence.wrapping_add(segment.payload.len() as u32);
        if end != self.expected || self.peer_ended || !self.gaps.is_empty() {
            self.owed = Owed::Now;
            return Reaction::Turn;
        }
        self.peer_ended = true;
        self.expected = self.expected.wrapping_add(1);
        if after(self.expected, self.promised) {
            self.promised = self.expected;
        }
        self.owed = Owed::Now;
        match self.state {
            State::Established => self.state = State::CloseWait,
            State::FinWait1 => self.state = State::Closing,
            State::FinWait2 => self.rest(),
            _ => {}
        }
        Reaction::Turn
    }
}
