//! How much may be under way: slow start, congestion avoidance, fast recovery (RFC 5681, RFC 6582).

/// Segments that may go out before the first acknowledgement (RFC 6928).
const INITIAL_SEGMENTS: u32 = 10;
const WINDOW_BYTES_MAX: u32 = 1 << 20;
const DUPLICATES: u8 = 3;

/// The congestion window and what moves it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Congestion {
    pub(super) window_bytes: u32,
    threshold_bytes: u32,
    duplicates: u8,
    /// Until everything before this number is acknowledged, more acknowledgements of the same say nothing new.
    recover: Option<u32>,
    /// It is fast recovery that goes on until then; else there was a time-out.
    fast: bool,
    /// There was a time-out, and nothing has been acknowledged since.
    timed_out: bool,
}

/// What an acknowledgement asks the sender to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Advice {
    /// Nothing.
    Proceed,
    /// Send the first unacknowledged segment again, now.
    Retransmit,
}

impl Congestion {
    pub(super) fn new(segment_bytes: u32) -> Self {
        Congestion {
            window_bytes: INITIAL_SEGMENTS * segment_bytes,
            threshold_bytes: u32::MAX,
            duplicates: 0,
            recover: None,
            fast: false,
            timed_out: false,
        }
    }

    /// `acknowledged` bytes are through, up to `number`.
    pub(super) fn on_progress(&mut self, acknowledged: u32, number: u32, segment_bytes: u32) -> Advice {
        self.duplicates = 0;
        if let Some(recover) = self.recover {
            self.timed_out = false;
            let partial = super::super::segment::after(recover, number);
            if !partial {
                self.recover = None;
            }
            if partial && self.fast {
                // A partial one: the next segment was lost as well.
                self.window_bytes = self.window_bytes.saturating_sub(acknowledged).max(segment_bytes) + segment_bytes;
                return Advice::Retransmit;
            }
            if core::mem::take(&mut self.fast) {
                self.window_bytes = self.threshold_bytes;
                return Advice::Proceed;
            }
        }
        if self.window_bytes < WINDOW_BYTES_MAX {
            self.window_bytes += if self.window_bytes < self.threshold_bytes {
                acknowledged.min(2 * segment_bytes)
            } else {
                (segment_bytes * segment_bytes / self.window_bytes).max(1)
            };
        }
        Advice::Proceed
    }

    /// The same acknowledgement once more, while `flight_bytes` are under way, up to `top`.
    pub(super) fn on_duplicate(&mut self, flight_bytes: u32, top: u32, segment_bytes: u32) -> Advice {
        self.duplicates = self.duplicates.saturating_add(1);
        if self.recover.is_some() {
            if self.fast {
                // Each one says that a segment has left the network.
                self.window_bytes = (self.window_bytes + segment_bytes).min(WINDOW_BYTES_MAX);
            }
            return Advice::Proceed;
        }
        if self.duplicates < DUPLICATES {
            return Advice::Proceed;
        }
        self.threshold_bytes = (flight_bytes / 2).max(2 * segment_bytes);
        self.window_bytes = self.threshold_bytes + u32::from(DUPLICATES) * segment_bytes;
        self.recover = Some(top);
        self.fast = true;
        Advice::Retransmit
    }

    /// Nothing came back in time, while `flight_bytes` were under way, up to `top`.
    pub(super) fn on_timeout(&mut self, flight_bytes: u32, top: u32, segment_bytes: u32) {
        if !core::mem::replace(&mut self.timed_out, true) {
            // Once: what goes out again and is lost again says no more about the path (RFC 5681, 3.1).
            self.threshold_bytes = (flight_bytes / 2).max(2 * segment_bytes);
        }
        self.window_bytes = segment_bytes;
        self.duplicates = 0;
        // RFC 6582, 4: what went out before comes back as duplicates, and is no news.
        self.recover = Some(top);
        self.fast = false;
    }
}

#[cfg(test)]
mod tests {
    use super::{Advice, Congestion};

    const SEGMENT: u32 = 1000;

    #[test]
    fn a_second_time_out_keeps_the_threshold() {
        let mut congestion = Congestion::new(SEGMENT);
        congestion.on_timeout(20_000, 20_000, SEGMENT);
        congestion.on_timeout(SEGMENT, 20_000, SEGMENT);
        assert_eq!((congestion.threshold_bytes, congestion.window_bytes), (10_000, SEGMENT));
        assert_eq!(congestion.on_progress(SEGMENT, 1000, SEGMENT), Advice::Proceed);
        congestion.on_timeout(6000, 20_000, SEGMENT);
        assert_eq!(congestion.threshold_bytes, 3000);
    }

    #[test]
    fn duplicates_after_a_time_out_are_no_news() {
        let mut congestion = Congestion::new(SEGMENT);
        congestion.on_timeout(10_000, 10_000, SEGMENT);
        for _ in 0..5 {
            assert_eq!(congestion.on_duplicate(10_000, 10_000, SEGMENT), Advice::Proceed);
        }
        assert_eq!(congestion.window_bytes, SEGMENT);
        // Slow start goes on, over a partial acknowledgement and beyond.
        assert_eq!(congestion.on_progress(1000, 1000, SEGMENT), Advice::Proceed);
        assert_eq!(congestion.on_progress(9000, 10_000, SEGMENT), Advice::Proceed);
        assert_eq!(congestion.window_bytes, 4 * SEGMENT);
        let advice: Vec<_> = (0..3).map(|_| congestion.on_duplicate(4000, 14_000, SEGMENT)).collect();
        assert_eq!(advice, [Advice::Proceed, Advice::Proceed, Advice::Retransmit]);
        assert_eq!(congestion.on_progress(1000, 11_000, SEGMENT), Advice::Retransmit);
        assert_eq!(congestion.on_progress(3000, 14_000, SEGMENT), Advice::Proceed);
        assert_eq!(congestion.window_bytes, congestion.threshold_bytes);
    }
}
