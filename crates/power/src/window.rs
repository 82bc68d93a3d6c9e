//! How long a core without work stays awake, by how that has paid lately.

/// The time for which a core stays awake for one kind of event before it sleeps: nothing at first.
///
/// Staying awake has paid when the event came meanwhile, or would have, when it ended a sleep that was short. It was wasted
/// when nothing came. So the window opens where events follow each other closely, is shut after a few that do not, and an
/// idle machine has none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    ns: u32,
}

impl Window {
    /// A shut window.
    pub const SHUT: Window = Window { ns: 0 };
    const MIN_NS: u32 = 1_000;

    /// How long to stay awake; 0: not at all.
    #[inline]
    #[must_use]
    pub const fn ns(self) -> u32 {
        self.ns
    }

    /// An event came after this time, awake or asleep. The window is twice as wide from now on, but for a mode's limit.
    #[must_use]
    pub fn paid(self, waited_ns: u64, max_ns: u32) -> Window {
        match u32::try_from(waited_ns) {
            Ok(waited_ns) if waited_ns <= max_ns => {
                let wanted_ns = waited_ns.saturating_mul(2).max(Self::MIN_NS).min(max_ns);
                Window { ns: wanted_ns.max(self.ns) }
            }
            _ => self,
        }
    }

    /// The core was awake all the time, and nothing came.
    #[must_use]
    pub fn wasted(self) -> Window {
        Window { ns: if self.ns > Self::MIN_NS { self.ns / 2 } else { 0 } }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MAX_NS: u32 = 50_000;

    #[test]
    fn it_opens_for_events_that_come_soon_and_not_beyond_its_limit() {
        let window = Window::SHUT.paid(400, MAX_NS);
        assert_eq!(window.ns(), 1_000);
        let window = window.paid(20_000, MAX_NS);
        assert_eq!(window.ns(), 40_000);
        assert_eq!(window.paid(49_000, MAX_NS).ns(), MAX_NS);
        assert_eq!(window.paid(3_000, MAX_NS).ns(), 40_000, "what came sooner does not narrow it");
    }

    #[test]
    fn what_comes_late_says_nothing() {
        for waited_ns in [50_001, 1_000_000, u64::MAX] {
            assert_eq!(Window::SHUT.paid(waited_ns, MAX_NS), Window::SHUT);
        }
        assert_eq!(Window::SHUT.paid(1, 0), Window::SHUT, "a mode without a window");
    }

    #[test]
    fn a_few_wasted_waits_shut_it() {
        let mut window = Window::SHUT.paid(40_000, MAX_NS);
        let mut waits = 0;
        while window.ns() > 0 {
            window = window.wasted();
            waits += 1;
        }
        assert_eq!(waits, 7);
    }

    /// Events at distances of a geometric kind: what is spent awake is at most twice what a core that knew would spend.
    #[test]
    fn waiting_in_vain_is_bounded_by_what_it_pays() {
        let mut random = 0x9e37_79b9_7f4a_7c15_u64;
        for mean_ns in [200_u64, 5_000, 40_000, 200_000, 10_000_000] {
            let (mut window, mut wasted_ns, mut events) = (Window::SHUT, 0_u64, 0_u64);
            for _ in 0..100_000 {
                random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                let uniform = ((random >> 33) as f64 + 1.0) / (1_u64 << 31) as f64;
                let gap_ns = (-uniform.ln() * mean_ns as f64) as u64;
                events += 1;
                if gap_ns <= u64::from(window.ns()) {
                    window = window.paid(gap_ns, MAX_NS);
                } else {
                    wasted_ns += u64::from(window.ns());
                    window = window.wasted().paid(gap_ns, MAX_NS);
                }
            }
            let each_ns = wasted_ns / events;
            // Long gaps cost next to nothing, and no gap more than the limit.
            let most_ns = if mean_ns >= 10_000_000 { 500 } else { u64::from(MAX_NS) / 2 };
            assert!(each_ns <= most_ns, "{each_ns} ns awake in vain for each event at a mean of {mean_ns} ns");
        }
    }
}
