//! How much may be under way for the network's sake: slow start, and CUBIC beyond it (RFC 5681, RFC 9438).
//!
//! When to send again, and what, is decided in `recovery.rs`; this is the number that it goes by.

/// Segments that may go out before the first acknowledgement (RFC 6928).
const INITIAL_SEGMENTS: u32 = 10;
const WINDOW_BYTES_MAX: u32 = 8 << 20;
/// Of ten parts of what was under way, so many may be after a loss (RFC 9438, 4.6).
const KEPT_TENTHS: u32 = 7;
/// Longer times since a loss make no difference: the window is at its largest long before.
const TIME_MS_MAX: i64 = 300_000;

/// The congestion window and what moves it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Congestion {
    pub(super) window_bytes: u32,
    pub(super) threshold_bytes: u32,
    /// The window before the last loss, to which growth leads back, then beyond.
    before_bytes: u32,
    /// What Reno would have by now (RFC 9438, 4.3).
    reno_bytes: u32,
    /// When growth began after the last loss, and how long it is to take to where it was; `None`: it has not begun.
    growth: Option<(u64, u32)>,
}

impl Congestion {
    pub(super) fn new(segment_bytes: u32) -> Self {
        Congestion {
            window_bytes: INITIAL_SEGMENTS * segment_bytes,
            threshold_bytes: u32::MAX,
            before_bytes: 0,
            reno_bytes: 0,
            growth: None,
        }
    }

    /// `acknowledged` bytes are through, of at least half a window that was under way: the window is made use of.
    #[inline]
    pub(super) fn on_progress(&mut self, acknowledged: u32, segment_bytes: u32, now_ns: u64, round_trip_ns: u64) {
        if self.window_bytes < self.threshold_bytes {
            self.window_bytes = (self.window_bytes + acknowledged).min(WINDOW_BYTES_MAX);
        } else {
            self.avoid(acknowledged, segment_bytes, now_ns, round_trip_ns);
        }
    }

    /// Congestion avoidance (RFC 9438, 4.2 to 4.5).
    #[cold]
    fn avoid(&mut self, acknowledged: u32, segment_bytes: u32, now_ns: u64, round_trip_ns: u64) {
        let (begun_ns, back_ms) = *self.growth.get_or_insert_with(|| {
            self.reno_bytes = self.window_bytes;
            self.before_bytes = self.before_bytes.max(self.window_bytes);
            let missing = u64::from(self.before_bytes - self.window_bytes);
            // The cube root of what is missing, in segments, over 0.4 a cubic second.
            (now_ns, cube_root(missing * 2_500_000_000 / u64::from(segment_bytes)) as u32)
        });
        // As Reno gains a segment a round trip, this does 3 * 0.3 / 1.7 of one until it is where it was.
        let reno_parts = if self.reno_bytes < self.before_bytes { 529 } else { 1000 };
        let gained =
            u64::from(acknowledged) * u64::from(segment_bytes) * reno_parts / (1000 * u64::from(self.window_bytes));
        self.reno_bytes = self.reno_bytes.saturating_add(gained as u32);
        let time_ms = ((now_ns + round_trip_ns).saturating_sub(begun_ns) / 1_000_000) as i64;
        let target = self.cubic(time_ms.min(TIME_MS_MAX) - i64::from(back_ms), segment_bytes);
        let window = self.window_bytes;
        let wanted = if target < self.reno_bytes {
            self.reno_bytes.max(window)
        } else {
            let target = target.clamp(window, window + window / 2);
            window + (u64::from(target - window) * u64::from(acknowledged) / u64::from(window)) as u32
        };
        self.window_bytes = wanted.min(WINDOW_BYTES_MAX);
    }

    /// The window at this time from where it was before the loss (RFC 9438, 4.2, with C = 0.4).
    fn cubic(&self, from_before_ms: i64, segment_bytes: u32) -> u32 {
        let cubed = from_before_ms.pow(3) / 1_000_000; // thousandths of cubic seconds
        let bytes = i64::from(self.before_bytes) + cubed * 2 * i64::from(segment_bytes) / 5000;
        bytes.clamp(0, WINDOW_BYTES_MAX.into()) as u32
    }

    /// So many bytes have left the network, as duplicate acknowledgements tell; a peer may send as many of those as it likes.
    pub(super) fn inflate(&mut self, bytes: u32) {
        self.window_bytes = (self.window_bytes + bytes).min(WINDOW_BYTES_MAX);
    }

    /// Something was lost while `flight_bytes` were under way. Less of a window that was made use of says only that the
    /// acknowledgements before the loss were heard of together with it.
    pub(super) fn on_loss(&mut self, flight_bytes: u32, segment_bytes: u32) {
        let is_used = flight_bytes >= self.window_bytes / 2;
        let carried_bytes = if is_used { flight_bytes.max(self.window_bytes) } else { flight_bytes };
        self.remember();
        self.threshold_bytes = (carried_bytes / 10 * KEPT_TENTHS).max(2 * segment_bytes);
        self.window_bytes = self.threshold_bytes;
    }

    /// Nothing came back in time. A time-out after another says no more about the path (RFC 5681, 3.1): then only the first
    /// moves the threshold.
    pub(super) fn on_timeout(&mut self, flight_bytes: u32, segment_bytes: u32, first: bool) {
        if first {
            self.on_loss(flight_bytes, segment_bytes);
        }
        self.window_bytes = segment_bytes;
    }

    /// Where growth leads back to: less, if the last time was not reached (RFC 9438, 4.7).
    fn remember(&mut self) {
        let window = self.window_bytes;
        self.before_bytes = if window < self.before_bytes { window / 20 * (10 + KEPT_TENTHS) } else { window };
        self.growth = None;
    }
}

/// The largest number whose cube is not larger.
fn cube_root(of: u64) -> u64 {
    let mut root = 0u64;
    for bit in (0..22).rev() {
        let tried = root | 1 << bit;
        if tried * tried * tried <= of {
            root = tried;
        }
    }
    root
}

#[cfg(test)]
mod tests {
    use super::{Congestion, WINDOW_BYTES_MAX, cube_root};

    const SEGMENT: u32 = 1000;
    const MS: u64 = 1_000_000;

    #[test]
    fn roots_are_exact() {
        for number in [0, 1, 7, 8, 9, 26, 27, 999, 1000, 1 << 60] {
            let root = cube_root(number);
            assert!(root.pow(3) <= number && (root + 1).pow(3) > number, "{number}");
        }
    }

    #[test]
    fn slow_start_doubles_and_ends_at_the_threshold() {
        let mut congestion = Congestion::new(SEGMENT);
        congestion.on_progress(10 * SEGMENT, SEGMENT, 0, MS);
        assert_eq!(congestion.window_bytes, 20 * SEGMENT);
        congestion.on_loss(20 * SEGMENT, SEGMENT);
        assert_eq!((congestion.window_bytes, congestion.threshold_bytes), (14 * SEGMENT, 14 * SEGMENT));
        congestion.on_progress(14 * SEGMENT, SEGMENT, 0, 50 * MS);
        assert!((14 * SEGMENT..15 * SEGMENT).contains(&congestion.window_bytes), "{congestion:?}");
    }

    #[test]
    fn a_loss_is_of_the_window_unless_hardly_any_of_it_was_used() {
        for (flight, threshold) in [(20, 14_000), (11, 14_000), (9, 6300)] {
            let mut congestion = Congestion::new(SEGMENT);
            congestion.window_bytes = 20 * SEGMENT;
            congestion.on_loss(flight * SEGMENT, SEGMENT);
            assert_eq!(congestion.threshold_bytes, threshold, "{flight} segments under way");
        }
    }

    #[test]
    fn a_second_time_out_keeps_the_threshold() {
        let mut congestion = Congestion::new(SEGMENT);
        congestion.on_timeout(20_000, SEGMENT, true);
        congestion.on_timeout(SEGMENT, SEGMENT, false);
        assert_eq!((congestion.threshold_bytes, congestion.window_bytes), (14_000, SEGMENT));
    }

    /// The window of a sender that fills it, once a round trip, after a loss at a million bytes.
    fn grow(round_trip_ms: u64, time_ms: u64) -> Congestion {
        let mut congestion = Congestion::new(SEGMENT);
        congestion.window_bytes = 1_000_000;
        congestion.on_loss(1_000_000, SEGMENT);
        for now_ms in (0..time_ms).step_by(round_trip_ms as usize) {
            congestion.on_progress(congestion.window_bytes, SEGMENT, now_ms * MS, round_trip_ms * MS);
        }
        congestion
    }

    #[test]
    fn growth_leads_back_in_the_time_of_the_cube_root_and_then_beyond() {
        // The cube root of 300 segments over 0.4: 9.1 s.
        assert!((950_000..975_000).contains(&grow(100, 4_500).window_bytes), "{:?}", grow(100, 4_500));
        assert!((980_000..1_020_000).contains(&grow(100, 9_100).window_bytes), "{:?}", grow(100, 9_100));
        assert!((1_250_000..1_350_000).contains(&grow(100, 18_200).window_bytes), "{:?}", grow(100, 18_200));
        assert_eq!(grow(100, 200_000).window_bytes, WINDOW_BYTES_MAX);
    }

    #[test]
    fn a_short_way_is_shared_with_reno() {
        // In a millisecond's round trip Reno is back long before the cube: 300 segments, each 1 / 0.529 round trips.
        assert!((980_000..1_050_000).contains(&grow(1, 570).window_bytes), "{:?}", grow(1, 570));
    }

    #[test]
    fn who_did_not_get_back_aims_lower() {
        let mut congestion = grow(100, 1000);
        let window = congestion.window_bytes;
        congestion.on_loss(window, SEGMENT);
        assert_eq!(congestion.before_bytes, window / 20 * 17);
    }
}
