//! What is done about a loss: when it is one, and what goes out again.
//!
//! A peer that tells what it has beyond a gap is sent exactly what it lacks (RFC 6675); for any other each partial
//! acknowledgement names the next hole (RFC 6582). A tail that nobody answers is asked after by its last segment before all
//! of it is given up (RFC 8985, 7). After a time-out everything goes out again, but for what the peer says that it has.

use super::Machine;
use super::scoreboard::Hole;
use crate::answers::{Output, Reaction};
use crate::segment::{Segment, after};
use crate::sink::PacketSink;

/// So many acknowledgements of the same mean that the segment after it was lost (RFC 5681, 3.2).
const DUPLICATES: u8 = 3;
/// A tail is asked after no sooner than this: a peer may hold back its acknowledgement for a while.
pub const PROBE_NS_MIN: u64 = 20_000_000;
/// Segments are made so long when longer ones find no answer, though nobody says why.
const SHORTER_BYTES: [u32; 2] = [1024, 512];
/// Kind of the option that tells ranges.
const RANGES_KIND: u8 = 5;

/// What is being done about a loss, until everything before `until` is acknowledged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Recovery {
    /// Nothing: nothing was lost.
    None,
    /// At each partial acknowledgement the next segment goes out again.
    Reno { until: u32 },
    /// What the peer lacks goes out again; it has, up to `again`.
    Selective { until: u32, again: u32, rescued: bool },
    /// Everything goes out again, in slow start. `heard`: something has been acknowledged since.
    TimedOut { until: u32, heard: bool },
}

impl Machine {
    /// Notes the ranges that a segment tells (RFC 2018, 3). `true`: there was news.
    #[cold]
    pub(super) fn take_ranges(&mut self, segment: &Segment<'_>) -> bool {
        let mut options = segment.options;
        let number = segment.acknowledgement;
        let mut news = false;
        while let Some((&kind, rest)) = options.split_first() {
            if kind == 0 {
                break;
            }
            if kind == 1 {
                options = rest;
                continue;
            }
            let Some((data, more)) =
                rest.first().and_then(|&len| options.get(2..len.into()).zip(options.get(len.into()..)))
            else {
                break; // a length that is a lie
            };
            if kind == RANGES_KIND {
                for range in data.as_chunks::<8>().0 {
                    let range = u64::from_be_bytes(*range);
                    let (from, to) = ((range >> 32) as u32, range as u32);
                    // Beyond what is acknowledged, and something that was sent; what lies below came twice.
                    if after(from, number) && after(to, from) && !after(to, self.top) {
                        news |= self.board.add(from, to);
                    }
                }
            }
            options = more;
        }
        news
    }

    /// The same acknowledgement once more, or one that tells of more beyond a gap.
    pub(super) fn on_duplicate(&mut self) -> Reaction {
        self.duplicates = self.duplicates.saturating_add(1);
        match self.recovery {
            Recovery::None if self.duplicates >= DUPLICATES => self.recover(self.top.wrapping_sub(self.una)),
            Recovery::None => self.look_for_loss(self.top.wrapping_sub(self.una)),
            // Each says that a segment has left the network.
            Recovery::Reno { .. } => self.congestion.inflate(self.segment_bytes),
            Recovery::Selective { .. } | Recovery::TimedOut { .. } => {}
        }
        Reaction::Turn
    }

    /// Finds out whether the first thing that the peer lacks was lost, by what it has beyond; `before` bytes were under way.
    #[cold]
    fn look_for_loss(&mut self, before: u32) {
        let Some(hole) = self.board.holes(self.una, self.segment_bytes).next() else { return };
        let flight = self.top.wrapping_sub(self.una);
        let beyond = flight - hole.to.wrapping_sub(hole.from);
        // With so few under way that three can never come beyond the hole, all the others will do (RFC 5827).
        let early = flight <= 3 * self.segment_bytes && self.board.has_all_beyond(hole.to, self.top) && beyond > 0;
        // What answers a question about the tail was sent long after what is missing.
        let old = self.probed || early && self.unsent_bytes() == 0;
        if old {
            self.board.give_up();
        }
        if hole.lost || old {
            self.recover(before);
        }
    }

    /// A segment was lost while `flight` bytes were under way.
    #[cold]
    fn recover(&mut self, flight: u32) {
        self.congestion.on_loss(flight, self.segment_bytes);
        self.recovery = if self.board.is_empty() {
            self.congestion.inflate(u32::from(DUPLICATES) * self.segment_bytes);
            Recovery::Reno { until: self.top }
        } else {
            Recovery::Selective { until: self.top, again: self.una, rescued: false }
        };
        self.again = true;
        self.probing = false;
        self.round_trip.on_retransmit();
    }

    /// `acknowledged` bytes are through, of `flight` that were under way.
    #[inline]
    pub(super) fn on_progress(&mut self, acknowledged: u32, flight: u32, now_ns: u64) {
        self.duplicates = 0;
        self.probed = false;
        if self.recovery == Recovery::None {
            // A window that is not made use of says nothing about what the way can carry (RFC 7661).
            if flight >= self.congestion.window_bytes / 2 {
                let round_trip_ns = self.round_trip.smoothed_ns();
                self.congestion.on_progress(acknowledged, self.segment_bytes, now_ns, round_trip_ns);
            }
            if !self.board.is_empty() {
                self.board.advance(self.una);
                self.look_for_loss(flight);
            }
        } else {
            self.on_progress_after_loss(acknowledged, now_ns);
        }
    }

    #[cold]
    fn on_progress_after_loss(&mut self, acknowledged: u32, now_ns: u64) {
        self.board.advance(self.una);
        let congestion = &mut self.congestion;
        match &mut self.recovery {
            Recovery::Reno { until } | Recovery::Selective { until, .. } if !after(*until, self.una) => {
                congestion.window_bytes = congestion.threshold_bytes;
                self.recovery = Recovery::None;
            }
            Recovery::TimedOut { until, .. } if !after(*until, self.una) => self.recovery = Recovery::None,
            Recovery::Reno { .. } => {
                // A partial one: the next segment was lost as well.
                let segment_bytes = self.segment_bytes;
                let left = congestion.window_bytes.saturating_sub(acknowledged);
                congestion.window_bytes = left.max(segment_bytes);
                congestion.inflate(segment_bytes);
                self.again = true;
            }
            Recovery::Selective { again, .. } => {
                if after(self.una, *again) {
                    *again = self.una;
                }
            }
            Recovery::TimedOut { heard, .. } => {
                *heard = true;
                // It may stand for what arrived before (RFC 3465, 2.3).
                let counted = acknowledged.min(2 * self.segment_bytes);
                congestion.on_progress(counted, self.segment_bytes, now_ns, self.round_trip.smoothed_ns());
            }
            Recovery::None => {}
        }
    }

    /// Nothing came back in time: everything goes out again.
    #[cold]
    pub(super) fn time_out(&mut self) {
        let first = !matches!(self.recovery, Recovery::TimedOut { heard: false, .. });
        if !first && self.top.wrapping_sub(self.una) >= self.segment_bytes {
            // Long ones may vanish on the way without a word (RFC 4821, 7.7; RFC 2923, 2.1).
            let shorter = SHORTER_BYTES.into_iter().find(|&bytes| bytes < self.segment_bytes);
            self.segment_bytes = shorter.unwrap_or(self.segment_bytes);
        }
        self.congestion.on_timeout(self.flight_bytes(), self.segment_bytes, first);
        self.round_trip.on_timeout();
        self.recovery = Recovery::TimedOut { until: self.top, heard: false };
        self.duplicates = 0;
        // What the peer told may not hold any more (RFC 2018, 8): it tells again.
        self.board.clear();
        self.next = self.una;
    }

    /// Time-outs until now said nothing about the way: the next one is a first.
    pub(super) fn on_resume(&mut self) {
        self.probing = false;
        if matches!(self.recovery, Recovery::TimedOut { heard: false, .. }) {
            self.recovery = Recovery::None;
        }
        self.round_trip.on_resume();
    }

    /// Whether the tail may be asked after: not a single segment, whose answer may be held back, and not twice.
    #[inline]
    pub(super) fn may_probe(&self) -> bool {
        self.flight_bytes() > self.segment_bytes
            && !self.probed
            && matches!(self.recovery, Recovery::None | Recovery::Selective { .. })
    }

    /// Nothing came back for two round trips: asks after the tail, or, when what the peer lacked went out again, takes that for
    /// lost once more.
    #[cold]
    pub(super) fn probe(&mut self) {
        self.probed = true;
        if let Recovery::Selective { again, rescued, .. } = &mut self.recovery {
            (*again, *rescued) = (self.una, false);
            self.board.give_up();
            self.again = true;
        } else {
            self.probe_due = true;
        }
    }

    /// How long to wait for an answer to what is under way.
    #[inline(always)]
    pub(super) fn loss_timeout(&mut self) -> u64 {
        self.probing = false;
        if self.may_probe() { self.probe_timeout() } else { self.round_trip.timeout_ns() }
    }

    fn probe_timeout(&mut self) -> u64 {
        let timeout_ns = self.round_trip.timeout_ns();
        let round_trip_ns = self.round_trip.smoothed_ns();
        let probe_ns = (2 * round_trip_ns).max(PROBE_NS_MIN);
        self.probing = round_trip_ns > 0 && probe_ns < timeout_ns;
        if self.probing { probe_ns } else { timeout_ns }
    }

    /// Bytes that may go out for the network's sake.
    #[inline(always)]
    pub(super) fn congestion_room(&self, flight: u32) -> u32 {
        if self.duplicates == 0 && self.recovery == Recovery::None {
            return self.congestion.window_bytes.saturating_sub(flight);
        }
        self.congestion_room_after_loss(flight)
    }

    #[cold]
    fn congestion_room_after_loss(&self, flight: u32) -> u32 {
        let window = self.congestion.window_bytes;
        match self.recovery {
            // Each of the first two says that a segment has left the network (RFC 3042).
            Recovery::None => (window + u32::from(self.duplicates) * self.segment_bytes).saturating_sub(flight),
            Recovery::Selective { again, .. } => {
                window.saturating_sub(self.board.pipe_bytes(self.una, self.top, again, self.segment_bytes))
            }
            Recovery::Reno { .. } | Recovery::TimedOut { .. } => window.saturating_sub(flight),
        }
    }

    /// Sends something again that the peer lacks, before anything new (RFC 6675, 4: `NextSeg`, rules 1 and 3).
    #[cold]
    pub(super) fn say_missing(&mut self, has_more: bool, now_ns: u64, sink: &mut dyn PacketSink) -> Option<Output> {
        let Recovery::Selective { until, again, rescued } = self.recovery else {
            // After a time-out: what the peer has is not said again.
            let next = self.board.skip(self.next);
            self.next = if after(next, self.top) { self.top } else { next };
            return None;
        };
        if self.congestion_room(0) < self.segment_bytes {
            return None;
        }
        let wanted = |hole: &Hole| after(hole.to, again) && (hole.lost || !has_more);
        let found = self.board.holes(self.una, self.segment_bytes).find(wanted);
        if let Some(hole) = found {
            let from = if after(again, hole.from) { again } else { hole.from };
            let (bytes, fin) = self.piece(from, hole.to);
            let end = from.wrapping_add(bytes).wrapping_add(fin.into());
            self.recovery = Recovery::Selective { until, again: end, rescued };
            return (bytes > 0 || fin).then(|| self.say_again(from, bytes, fin, now_ns, sink));
        }
        // Nothing is left to be filled, and nothing new: the last segment, once, so that its loss shows (rule 4).
        if !has_more && !rescued && self.board.highest().is_some_and(|highest| after(self.top, highest)) {
            self.recovery = Recovery::Selective { until, again, rescued: true };
            return self.say_tail(now_ns, sink);
        }
        None
    }

    /// The first segment of what is under way, once more.
    #[cold]
    pub(super) fn say_first_again(&mut self, now_ns: u64, sink: &mut dyn PacketSink) -> Option<Output> {
        let (bytes, fin) = self.piece(self.una, self.board.next_from(self.una).unwrap_or(self.top));
        let end = self.una.wrapping_add(bytes).wrapping_add(fin.into());
        if let Recovery::Selective { again, .. } = &mut self.recovery
            && after(end, *again)
        {
            *again = end;
        }
        (bytes > 0 || fin).then(|| self.say_again(self.una, bytes, fin, now_ns, sink))
    }

    /// The end of what is under way, once more.
    #[cold]
    pub(super) fn say_tail(&mut self, now_ns: u64, sink: &mut dyn PacketSink) -> Option<Output> {
        let from = self.top.wrapping_sub(self.segment_bytes);
        let from = if after(self.una, from) { self.una } else { from };
        let (bytes, fin) = self.piece(from, self.top);
        (bytes > 0 || fin).then(|| self.say_again(from, bytes, fin, now_ns, sink))
    }

    /// What a segment holds that begins at `from` and ends at `to` at the latest: so much data, and our end or not.
    fn piece(&self, from: u32, to: u32) -> (u32, bool) {
        let data_end = self.data_end();
        let stop = if after(to, data_end) { data_end } else { to };
        let bytes = if after(stop, from) { stop.wrapping_sub(from).min(self.segment_bytes) } else { 0 };
        (bytes, self.closing && from.wrapping_add(bytes) == data_end && after(to, data_end))
    }

    fn say_again(&mut self, from: u32, bytes: u32, fin: bool, now_ns: u64, sink: &mut dyn PacketSink) -> Output {
        self.round_trip.on_retransmit();
        self.send_piece(from, bytes, fin, now_ns, sink)
    }
}
