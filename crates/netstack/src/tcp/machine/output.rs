//! What to send now: one segment at a time, until there is nothing that may go.

use super::super::engine::{NEVER, Output, Sent};
use super::super::options::SynOptions;
use super::super::segment::{ACK, FIN, PSH, RST, SYN, after};
use super::emit::Draft;
use super::{Machine, Owed, State};
use crate::outbox::PacketSink;
use crate::shared::Shared;

impl Machine {
    /// Sends at most one segment.
    pub(super) fn say(&mut self, now_ns: u64, sink: &mut dyn PacketSink, shared: &mut Shared) -> Output {
        if !sink.ready() {
            return Output::Full;
        }
        self.watch(now_ns, shared);
        match self.state {
            State::Closed => self.say_goodbye(sink),
            State::SynSent | State::SynReceived => self.say_hello(now_ns, sink, shared),
            _ => self.say_data(now_ns, sink),
        }
    }

    /// What the clock says about the peer.
    fn watch(&mut self, now_ns: u64, shared: &mut Shared) {
        if now_ns.saturating_sub(self.heard_at_ns) >= self.patience_ns && self.state != State::Closed {
            self.reset = self.state != State::SynSent;
            self.silent = true;
            self.die(shared);
        }
        if self.retransmit_at_ns > now_ns || self.next == self.una {
            return;
        }
        self.again = false;
        if self.window == 0 && self.state != State::SynSent {
            // The byte that asked about a shut window had no room there; ask again.
            self.next = self.una;
        } else {
            self.congestion.on_timeout(self.flight_bytes(), self.top, self.segment_bytes);
            self.round_trip.on_timeout();
            self.retransmit_at_ns = NEVER;
            self.next = self.una;
        }
    }

    fn say_goodbye(&mut self, sink: &mut dyn PacketSink) -> Output {
        if !core::mem::take(&mut self.reset) {
            return Output::Nothing;
        }
        // Beyond the peer's window, where only a question about it can be, it would not be believed.
        let edge = self.una.wrapping_add(self.window);
        let number = if after(self.top, edge) { edge } else { self.top };
        Output::Sent(self.emit(&self.draft(number, RST | ACK), sink))
    }

    fn say_hello(&mut self, now_ns: u64, sink: &mut dyn PacketSink, shared: &Shared) -> Output {
        if self.next != self.una {
            return Output::Nothing;
        }
        let options = SynOptions {
            max_segment_bytes: Some((shared.config.mtu_bytes - 40).min(usize::from(u16::MAX)) as u16),
            // Our windows fit in 16 bits; saying so lets the peer scale its own.
            window_shift: Some(0),
            selective: true,
        };
        let mut list = [0; SynOptions::BYTES_MAX];
        let list_bytes = options.write(&mut list);
        let flags = if self.state == State::SynSent { SYN } else { SYN | ACK };
        let draft = Draft {
            options: &list[..list_bytes],
            window: self.receive_bytes as u16,
            acknowledgement: if self.state == State::SynSent { 0 } else { self.expected },
            ..self.draft(self.una, flags)
        };
        let sent = self.emit(&draft, sink);
        self.owed = Owed::Nothing;
        self.sent(sent, now_ns);
        Output::Sent(sent)
    }

    #[inline]
    fn say_data(&mut self, now_ns: u64, sink: &mut dyn PacketSink) -> Output {
        if core::mem::take(&mut self.again) && self.next != self.una {
            let bytes = self.segment_bytes.min(self.send.len() as u32);
            let end = self.una.wrapping_add(bytes);
            let fin = self.closing && end == self.data_end() && after(self.top, end);
            if bytes > 0 || fin {
                self.round_trip.on_retransmit();
                return self.send_piece(self.una, bytes, fin, now_ns, sink);
            }
        }
        let end = self.data_end();
        let unsent = if after(end, self.next) { end.wrapping_sub(self.next) } else { 0 };
        let flight = self.flight_bytes();
        let mut usable = self.window.min(self.congestion.window_bytes).saturating_sub(flight);
        let asks = usable == 0 && flight == 0 && self.retransmit_at_ns <= now_ns;
        if asks {
            // The peer shut its window: a byte beyond it makes it say whether that still holds.
            usable = 1;
            self.asked = self.asked.saturating_add(1);
            self.round_trip.on_retransmit();
            self.retransmit_at_ns = if unsent > 0 || self.closing { now_ns + self.persist_ns() } else { NEVER };
        }
        let bytes = unsent.min(usable).min(self.segment_bytes);
        let last = bytes == unsent;
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

    /// Nagle's rule and the silly window's: a small piece waits while another is under way.
    fn is_worth_it(&self, bytes: u32, last: bool, flight: u32, asks: bool) -> bool {
        bytes == self.segment_bytes
            || asks
            || flight == 0
            || (last && (self.no_delay || self.closing))
            || bytes * 2 >= self.window_max
    }

    fn send_piece(&mut self, number: u32, bytes: u32, fin: bool, now_ns: u64, sink: &mut dyn PacketSink) -> Output {
        let end = number.wrapping_add(bytes);
        let mut flags = ACK;
        if bytes > 0 && end == self.data_end() {
            flags |= PSH;
        }
        if fin {
            flags |= FIN;
        }
        let offset = number.wrapping_sub(self.una) as usize;
        let draft = Draft { payload: (offset, bytes as usize), ..self.draft(number, flags) };
        let (edge, sent) = (draft_edge(&draft), self.emit(&draft, sink));
        self.told(edge);
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
        let draft = Draft { options: &list[..list_bytes], ..self.draft(self.top, ACK) };
        let (edge, sent) = (draft_edge(&draft), self.emit(&draft, sink));
        self.told(edge);
        Output::Sent(sent)
    }

    /// Asks a silent peer whether it is there: a number that it has had already makes it answer.
    fn send_probe(&mut self, now_ns: u64, sink: &mut dyn PacketSink) -> Output {
        if self.probe_at_ns > now_ns {
            return Output::Nothing;
        }
        self.probe_at_ns = now_ns.saturating_add(self.keep_alive_ns);
        if now_ns.saturating_sub(self.heard_at_ns) < self.keep_alive_ns {
            return Output::Nothing;
        }
        Output::Sent(self.emit(&self.draft(self.una.wrapping_sub(1), ACK), sink))
    }

    fn draft(&self, sequence: u32, flags: u8) -> Draft<'static> {
        let window = self.right_edge().wrapping_sub(self.expected).min(u32::from(u16::MAX));
        Draft { sequence, flags, payload: (0, 0), options: &[], window: window as u16, acknowledgement: self.expected }
    }

    /// The peer was told what we expect, and how far it may go.
    fn told(&mut self, edge: u32) {
        self.owed = Owed::Nothing;
        self.acknowledged = self.expected;
        self.promised = edge;
    }

    /// A segment with something to acknowledge went out.
    fn sent(&mut self, sent: Sent, now_ns: u64) {
        if after(sent.next, self.next) {
            self.next = sent.next;
        }
        if after(self.next, self.top) {
            self.top = self.next;
            self.round_trip.on_send(self.next, now_ns);
        }
        self.waiting_since_ns = self.waiting_since_ns.min(now_ns);
        if self.retransmit_at_ns == NEVER {
            self.retransmit_at_ns = now_ns + self.round_trip.timeout_ns();
        }
    }

    /// SACK blocks (RFC 2018): what has come beyond a gap.
    fn write_ranges(&self, list: &mut [u8; 28]) -> usize {
        if !self.selective || self.gaps.is_empty() {
            return 0;
        }
        // The one that the latest segment belongs to first: the others may have been told before.
        let (newest, all) = (self.gaps.newest(), self.gaps.ranges());
        let ranges = newest.into_iter().chain(all.iter().copied().filter(|range| Some(*range) != newest)).take(3);
        let count = all.len().min(3);
        list[..4].copy_from_slice(&[1, 1, 5, 2 + 8 * count as u8]);
        for (place, (from, to)) in list[4..].chunks_exact_mut(8).zip(ranges) {
            place[..4].copy_from_slice(&self.expected.wrapping_add(from).to_be_bytes());
            place[4..].copy_from_slice(&self.expected.wrapping_add(to).to_be_bytes());
        }
        4 + 8 * count
    }
}

fn draft_edge(draft: &Draft<'_>) -> u32 {
    draft.acknowledgement.wrapping_add(u32::from(draft.window))
}
