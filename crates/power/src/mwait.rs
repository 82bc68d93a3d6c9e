//! Which state a core is to sleep in by `mwait`, and whether it really sleeps there.
//!
//! A processor under a hypervisor may have the instruction and yet not sleep: QEMU's translator with several cores takes it
//! for a pause, KVM without `cpu-pm=on` for nothing. Which of these it is no CPUID says, so a core tries, and goes by what
//! it sees.

/// What CPUID says of `monitor` and `mwait` (Intel SDM volume 2, leaf 5).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Offer {
    /// Leaf 1, ECX bit 3: the instructions are there.
    pub exists: bool,
    /// Leaf 5, EDX: how many sub-states each of C0 to C7 has, four bits each.
    pub states: u32,
}

impl Offer {
    /// The hint for a state, as `mwait` takes it in EAX: the deepest state that there is and its deepest sub-state, or C1.
    #[must_use]
    pub fn hint(self, deep: bool) -> u32 {
        let sub_states = |state: u32| self.states >> (4 * state) & 15;
        match (1..8).rev().find(|state| sub_states(*state) > 0) {
            Some(deepest) if deep => (deepest - 1) << 4 | (sub_states(deepest) - 1),
            _ => 0,
        }
    }

    /// Whether a state below C0 is named. Where none is, `mwait` is no better than `hlt`.
    #[must_use]
    pub fn names_states(self) -> bool {
        self.exists && self.states >> 4 != 0
    }
}

/// Sleeps by `mwait`, judged one by one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Trial {
    strikes: u8,
}

impl Default for Trial {
    fn default() -> Self {
        Self::new()
    }
}

impl Trial {
    /// So many sleeps in a row that nothing ended are no sleep.
    pub const STRIKES_MAX: u8 = 4;

    /// Nothing has been seen yet.
    #[must_use]
    pub const fn new() -> Trial {
        Trial { strikes: 0 }
    }

    /// A sleep is over. `event`: an interrupt was taken, or what was watched has been written. Single ones without are
    /// allowed to a processor, and are what an interrupt that is not counted looks like.
    #[must_use]
    pub fn saw(self, event: bool) -> Trial {
        Trial { strikes: if event { 0 } else { self.strikes.saturating_add(1) } }
    }

    /// Whether the processor does not sleep, and `hlt` is to be used instead, for good.
    #[must_use]
    pub fn has_failed(self) -> bool {
        self.strikes >= Self::STRIKES_MAX
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_deepest_state_is_asked_for() {
        // C1 with two sub-states, C6 (here the third) with three: as on a Skylake server.
        let offer = Offer { exists: true, states: 0x0000_2020 };
        assert_eq!(offer.hint(true), 0x21);
        assert_eq!(offer.hint(false), 0);
        assert_eq!(Offer { exists: true, states: 0x1000_0010 }.hint(true), 0x60);
        assert_eq!(Offer { exists: true, states: 0x10 }.hint(true), 0);
    }

    #[test]
    fn without_named_states_it_is_c1_and_not_worth_it() {
        for states in [0, 3] {
            let offer = Offer { exists: true, states };
            assert_eq!((offer.hint(true), offer.names_states()), (0, false));
        }
        assert!(!Offer { exists: false, states: 0x20 }.names_states());
    }

    #[test]
    fn one_that_returns_at_once_fails_soon() {
        let mut trial = Trial::new();
        for _ in 0..Trial::STRIKES_MAX {
            assert!(!trial.has_failed());
            trial = trial.saw(false);
        }
        assert!(trial.has_failed());
    }

    #[test]
    fn one_that_sleeps_may_wake_for_nothing_now_and_then() {
        let mut trial = Trial::new();
        for sleep in 0..1000 {
            trial = trial.saw(sleep % 3 == 0);
            assert!(!trial.has_failed());
        }
    }
}
