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
    /// In recovery until everything before this number is acknowledged.
    recover: Option<u32>,
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
        }
    }

    /// `acknowledged` bytes are through, up to `number`.
    pub(super) fn on_progress(&mut self, acknowledged: u32, number: u32, segment_bytes: u32) -> Advice {
        self.duplicates = 0;
        if let Some(recover) = self.recover {
            if super::super::segment::after(recover, number) {
                // A partial one: the next segment was lost as well.
                self.window_bytes = self.window_bytes.saturating_sub(acknowledged).max(segment_bytes) + segment_bytes;
                return Advice::Retransmit;
            }
            self.recover = None;
            self.window_bytes = self.threshold_bytes;
            return Advice::Proceed;
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
            // Each one says that a segment has left the network.
            self.window_bytes = (self.window_bytes + segment_bytes).min(WINDOW_BYTES_MAX);
            return Advice::Proceed;
        }
        if self.duplicates < DUPLICATES {
            return Advice::Proceed;
        }
        self.threshold_bytes = (flight_bytes / 2).max(2 * segment_bytes);
        self.window_bytes = self.threshold_bytes + u32::from(DUPLICATES) * segment_bytes;
        self.recover = Some(top);
        Advice::Retransmit
    }

    /// Nothing came back in time.
    pub(super) fn on_timeout(&mut self, flight_bytes: u32, segment_bytes: u32) {
        self.threshold_bytes = (flight_bytes / 2).max(2 * segment_bytes);
        self.window_bytes = segment_bytes;
        self.duplicates = 0;
        self.recover = None;
    }
}
