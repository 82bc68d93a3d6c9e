//! A counter that may jump, as a processor's does when its machine is stopped, restored or moved.

/// A core reads `ticks`, which is less than what it has seen. What to add to its readings from now on, and what this one comes
/// to: where the last of all cores was, in `seen`, so that the cores still agree after each has gone on.
#[must_use]
pub fn go_on(ticks: u64, seen: impl Iterator<Item = u64>) -> (u64, u64) {
    let last = seen.max().unwrap_or(0).max(ticks);
    (last - ticks, last)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Two cores, and what their clocks show.
    struct Cores {
        lost: [u64; 2],
        last: [u64; 2],
    }

    impl Cores {
        fn read(&mut self, core: usize, ticks: u64) -> u64 {
            let mut now = ticks.wrapping_add(self.lost[core]);
            if now < self.last[core] {
                (self.lost[core], now) = go_on(ticks, self.last.into_iter());
            }
            self.last[core] = now;
            now
        }
    }

    #[test]
    fn no_core_sees_time_go_back_and_all_go_on_together() {
        let mut cores = Cores { lost: [0; 2], last: [0; 2] };
        assert_eq!(cores.read(1, 900), 900);
        assert_eq!(cores.read(0, 1000), 1000);
        // The machine was restored with a counter that begins anew; core 1 has looked a while ago.
        assert_eq!(cores.read(0, 5), 1000);
        assert_eq!(cores.read(0, 25), 1020);
        let other = cores.read(1, 30);
        assert!((1020..=1025).contains(&other), "{other}");
        assert_eq!(cores.read(1, 40), other + 10);
        // And once more.
        assert!(cores.read(0, 1) >= other + 10);
    }

    #[test]
    fn a_jump_forward_is_time_that_has_passed() {
        let mut cores = Cores { lost: [0; 2], last: [0; 2] };
        assert_eq!(cores.read(0, 10), 10);
        assert_eq!(cores.read(0, 1_000_000), 1_000_000);
    }

    #[test]
    fn a_counter_near_its_end_does_not_overflow() {
        assert_eq!(go_on(3, [u64::MAX].into_iter()), (u64::MAX - 3, u64::MAX));
        assert_eq!(go_on(3, core::iter::empty()), (0, 3));
    }
}
