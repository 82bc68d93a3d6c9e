//! How long an answer takes, and so how long to wait for one (RFC 6298).

const INITIAL_NS: u64 = 1_000_000_000;
/// As Linux: well above a peer's delayed acknowledgement, well below the full second of the RFC.
pub const SHORTEST_NS: u64 = 200_000_000;
pub(super) const LONGEST_NS: u64 = 60_000_000_000;

/// The estimate, and the measurement under way.
#[derive(Clone, Copy, Debug)]
pub(super) struct RoundTrip {
    smoothed_ns: u64,
    deviation_ns: u64,
    timeout_ns: u64,
    /// The number whose acknowledgement ends the measurement, and when it was sent.
    sample: Option<(u32, u64)>,
}

impl RoundTrip {
    pub(super) fn new() -> Self {
        RoundTrip { smoothed_ns: 0, deviation_ns: 0, timeout_ns: INITIAL_NS, sample: None }
    }

    pub(super) fn timeout_ns(&self) -> u64 {
        self.timeout_ns
    }

    /// The smoothed estimate; 0 when nothing was measured.
    pub(super) fn smoothed_ns(&self) -> u64 {
        self.smoothed_ns
    }

    /// How much the measurements vary.
    pub(super) fn deviation_ns(&self) -> u64 {
        self.deviation_ns
    }

    /// A segment that ends at `number` goes out for the first time.
    #[inline]
    pub(super) fn on_send(&mut self, number: u32, now_ns: u64) {
        if self.sample.is_none() {
            self.sample = Some((number, now_ns));
        }
    }

    /// A segment goes out again: its answer would say nothing.
    pub(super) fn on_retransmit(&mut self) {
        self.sample = None;
    }

    pub(super) fn on_timeout(&mut self) {
        self.sample = None;
        self.timeout_ns = (self.timeout_ns * 2).min(LONGEST_NS);
    }

    /// Takes back what time-outs have made of the estimate.
    pub(super) fn on_resume(&mut self) {
        self.timeout_ns = if self.smoothed_ns == 0 { INITIAL_NS } else { self.estimate_ns() };
    }

    fn estimate_ns(&self) -> u64 {
        (self.smoothed_ns + 4 * self.deviation_ns).clamp(SHORTEST_NS, LONGEST_NS)
    }

    /// Everything before `number` is acknowledged. `false`: that measured nothing.
    #[inline]
    pub(super) fn on_acknowledge(&mut self, number: u32, now_ns: u64) -> bool {
        if let Some((wanted, sent_ns)) = self.sample
            && !crate::segment::after(wanted, number)
        {
            self.sample = None;
            self.measure(now_ns.saturating_sub(sent_ns));
            return true;
        }
        self.sample.is_some()
    }

    /// An answer took so long.
    pub(super) fn measure(&mut self, took_ns: u64) {
        if self.smoothed_ns == 0 {
            self.smoothed_ns = took_ns.max(1);
            self.deviation_ns = took_ns / 2;
        } else {
            self.deviation_ns = (self.deviation_ns * 3 + self.smoothed_ns.abs_diff(took_ns)) / 4;
            self.smoothed_ns = (self.smoothed_ns * 7 + took_ns) / 8;
        }
        self.timeout_ns = self.estimate_ns();
    }
}
