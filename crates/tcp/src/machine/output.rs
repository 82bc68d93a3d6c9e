//! What to send now: one segment at a time, until there is nothing that may go.

use super::emit::Draft;
use super::{Machine, Owed, State, stamps};
use crate::answers::{NEVER, Output, Sent};
use crate::memory::Memory;
use crate::options::SynOptions;
use crate::segment::{ACK, FIN, PSH, RST, SYN, after};
use crate::sink::PacketSink;

impl Machine {
    /// Sends at most one segment.
    pub(super) fn say(&mut self, now_ns: u64, sink: &mut dyn PacketSink, memory: &mut Memory) -> Output {
        if !sink.ready() {
            return Output::Full;
        }
        self.watch(now_ns, memory);
        match self.state {
            State::Closed => self.say_goodbye(now_ns, sink),
            State::SynSent | State::SynReceived => self.say_hello(now_ns, sink),
            _ => self.say_data(now_ns, sink),
        }
    }

    /// What the clock says about the peer.
    fn watch(&mut self, now_ns: u64, memory: &mut Memory) {
        self.look_at_clock(now_ns, memory);
        if self.retransmit_at_ns > now_ns || self.next == self.una {
            return;
        }
        if self.window == 0 && self.state != State::SynSent {
            // The byte that asked about a shut window had no room there; ask again.
            self.next = self.una;
        } else if core::mem::take(&mut self.probing) {
            self.probe();
            self.retransmit_at_ns = now_ns + self.round_trip.timeout_ns();
            return;
        } else {
            self.time_out();
            self.retransmit_at_ns = NEVER;
        }
        self.again = false;
    }

    fn say_goodbye(&mut self, now_ns: u64, sink: &mut dyn PacketSink) -> Output {
        if !core::mem::take(&mut self.reset) {
            return Output::Nothing;
        }
        // Beyond the peer's window, where only a question about it can be, it would not be believed.
        let edge = self.una.wrapping_add(self.window);
        let number = if after(self.top, edge) { edge } else { self.top };
        Output::Sent(self.emit(&self.draft(number, RST | ACK, now_ns), sink))
    }

    fn say_hello(&mut self, now_ns: u64, sink: &mut dyn PacketSink) -> Output {
        if self.next != self.una {
            return Output::Nothing;
        }
        let options = SynOptions {
            max_segment_bytes: Some(self.own_segment_bytes),
            window_shift: Some(self.shift),
            selective: true,
            stamp: Some((self.stamp(now_ns), self.recent)),
        };
        let mut list = [0; SynOptions::BYTES_MAX];
        let list_bytes = options.write(&mut list);
        let flags = if self.state == State::SynSent { SYN } else { SYN | ACK };
        let draft = Draft {
            options: &list[..list_bytes],
            window: self.first_window(),
            stamp: None,
            acknowledgement: if self.state == State::SynSent { 0 } else { self.expected },
            ..self.draft(self.una, flags, now_ns)
        };
        let sent = self.emit(&draft, sink);
        self.owed = Owed::Nothing;
        self.sent(sent, now_ns);
        Output::Sent(sent)
    }

    #[inline]
    fn say_data(&mut self, now_ns: u64, sink: &mut dyn PacketSink) -> Output {
        if core::mem::take(&mut self.again)
            && self.next != self.una
            && let Some(sent) = self.say_first_again(now_ns, sink)
        {
            return sent;
        }
        if !self.board.is_empty() {
            let has_more = self.unsent_bytes() > 0 && self.window > self.flight_bytes();
            if let Some(sent) = self.say_missing(has_more, now_ns, sink) {
                return sent;
            }
        }
        let end = self.data_end();
        let unsent = if after(end, self.next) { end.wrapping_sub(self.next) } else { 0 };
        let flight = self.flight_bytes();
        let mut usable = self.window.saturating_sub(flight).min(self.congestion_room(flight));
        if core::mem::take(&mut self.probe_due) {
            if unsent == 0 || self.window <= flight {
                if let Some(sent) = self.say_tail(now_ns, sink) {
                    return sent;
                }
            } else {
                usable = usable.max(self.segment_bytes).min(self.window - flight);
            }
        }
        let asks = usable == 0 && flight == 0 && self.retransmit_at_ns <= now_ns;
        if asks {
            // The peer shut its window: a byte beyond it makes it say whether that still holds.
            usable = 1;
            self.asked = self.asked.saturating_add(1);
            self.round_trip.on_retransmit();
            self.retransmit_at_ns = if unsent > 0 || self.closing { now_ns + self.persist_ns() } else { NEVER };
        }
        let mut bytes = unsent.min(usable).min(self.segment_bytes);
        if bytes == self.segment_bytes && unsent > bytes && self.next == self.top {
            bytes = self.several(unsent, usable, sink.large_bytes_max());
        }
        let last = bytes == unsent;
        if self.tuning.corked && bytes > 0 && !asks && self.holds_back(bytes, now_ns) {
            return self.send_acknowledgement(now_ns, sink);
        }
        // The FIN, too, goes out only behind everything else, and once.
        let fin = self.closing && last && !after(self.next, end);
        if (bytes > 0 && self.is_worth_it(bytes, last, flight, asks)) || (fin && (bytes > 0 || unsent == 0)) {
            return self.send_piece(self.next, bytes, fin, now_ns, sink);
        }
        if unsent > 0 && flight == 0 && self.window == 0 && self.retransmit_at_ns == NEVER {
            self.retransmit_at_ns = now_ns + self.persist_ns();
            self.waiting_since_ns = self.waiting_since_ns.min(now_ns);
        }
        self.send_acknowledgement(now_ns, sink)
    }

    /// How much goes in one piece when somebody below cuts it into segments: whole ones, and a shorter one behind them only if that
    /// would go by itself.
    fn several(&self, unsent: u32, usable: u32, packet_bytes_max: usize) -> u32 {
        let headers_bytes = self.template.headers_bytes() + if self.stamps { stamps::BYTES } else { 0 };
        let room = packet_bytes_max.saturating_sub(headers_bytes) as u32;
        let bytes = unsent.min(usable).min(room);
        let rest = bytes % self.segment_bytes;
        let goes_along = bytes == unsent && (self.no_delay || self.closing) && !self.tuning.corked;
        let bytes = if goes_along { bytes } else { bytes - rest };
        bytes.max(self.segment_bytes)
    }

    /// Nagle's rule and the silly window's: a small piece waits while another is under way.
    fn is_worth_it(&self, bytes: u32, last: bool, flight: u32, asks: bool) -> bool {
        bytes >= self.segment_bytes
            || asks
            || flight == 0
            || (last && (self.no_delay || self.closing))
            || bytes * 2 >= self.window_max
    }

    pub(super) fn send_piece(
        &mut self,
        number: u32,
        bytes: u32,
        fin: bool,
        now_ns: u64,
        sink: &mut dyn PacketSink,
    ) -> Output {
        let end = number.wrapping_add(bytes);
        let mut flags = ACK;
        if bytes > 0 && end == self.data_end() {
            flags |= PSH;
        }
        if fin {
            flags |= FIN;
        }
        let offset = number.wrapping_sub(self.una) as usize;
        let draft = Draft { payload: (offset, bytes as usize), ..self.draft(number, flags, now_ns) };
        let sent = self.emit(&draft, sink);
        self.told(&draft);
        self.sent(sent, now_ns);
        Output::Sent(sent)
    }

    fn send_acknowledgement(&mut self, now_ns: u64, sink: &mut dyn PacketSink) -> Output {
        let due = match self.owed {
            Owed::Now => true,
            Owed::By(by_ns) => by_ns <= now_ns,
            Owed::Nothing => false,
        };
        if !due {
            return self.send_probe(now_ns, sink);
        }
        let mut list = [0; 28];
        let list_bytes = self.write_ranges(&mut list);
        let draft = Draft { options: &list[..list_bytes], ..self.draft(self.top, ACK, now_ns) };
        let sent = self.emit(&draft, sink);
        self.told(&draft);
        self.repeats = self.repeats.saturating_sub(1);
        if self.repeats > 0 {
            self.owed = Owed::Now;
        }
        Output::Sent(sent)
    }

    /// Asks a silent peer whether it is there: a number that it has had already makes it answer.
    fn send_probe(&mut self, now_ns: u64, sink: &mut dyn PacketSink) -> Output {
        if !core::mem::take(&mut self.tuning.probe) {
            return Output::Nothing;
        }
        Output::Sent(self.emit(&self.draft(self.una.wrapping_sub(1), ACK, now_ns), sink))
    }

    fn draft(&self, sequence: u32, flags: u8, now_ns: u64) -> Draft<'static> {
        let window = (self.right_edge().wrapping_sub(self.expected) >> self.shift).min(u32::from(u16::MAX));
        Draft {
            sequence,
            flags,
            payload: (0, 0),
            options: &[],
            stamp: self.stamps.then(|| (self.stamp(now_ns), self.recent)),
            window: window as u16,
            acknowledgement: self.expected,
        }
    }

    /// The peer was told what we expect, and how far it may go. What it was told before still holds, though a window that is
    /// shifted may say a little less (RFC 7323, 2.4).
    fn told(&mut self, draft: &Draft<'_>) {
        // What has come beyond a gap goes with an acknowledgement alone, and only so much of it with one.
        self.owed = if self.selective && self.gaps.has_news() { Owed::Now } else { Owed::Nothing };
        self.acknowledged = self.expected;
        let edge = draft.acknowledgement.wrapping_add(u32::from(draft.window) << self.shift);
        if after(edge, self.promised) {
            self.promised = edge;
        }
    }

    /// A segment with something to acknowledge went out.
    #[inline(always)]
    fn sent(&mut self, sent: Sent, now_ns: u64) {
        if after(sent.next, self.next) {
            self.next = sent.next;
        }
        if after(self.next, self.top) {
            self.top = self.next;
            self.round_trip.on_send(self.next, now_ns);
        } else {
            self.retransmitted = self.retransmitted.wrapping_add(1);
        }
        if self.tuning.user_timeout_ns != NEVER {
            self.check_by(now_ns.saturating_add(self.tuning.user_timeout_ns));
        }
        self.waiting_since_ns = self.waiting_since_ns.min(now_ns);
        if self.retransmit_at_ns == NEVER {
            self.retransmit_at_ns = now_ns + self.loss_timeout();
        } else if !self.probing && self.may_probe() {
            self.retransmit_at_ns = self.retransmit_at_ns.min(now_ns + self.loss_timeout());
        }
    }

    /// SACK blocks (RFC 2018): what has come beyond a gap.
    fn write_ranges(&mut self, list: &mut [u8; 28]) -> usize {
        if !self.selective || self.gaps.is_empty() {
            return 0;
        }
        let (expected, mut places) = (self.expected, list[4..].chunks_exact_mut(8));
        let count = self.gaps.tell(3, |from, to| {
            let Some(place) = places.next() else { return };
            place[..4].copy_from_slice(&expected.wrapping_add(from).to_be_bytes());
            place[4..].copy_from_slice(&expected.wrapping_add(to).to_be_bytes());
        });
        list[..4].copy_from_slice(&[1, 1, 5, 2 + 8 * count as u8]);
        4 + 8 * count
    }
}
