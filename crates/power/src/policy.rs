//! What a mode comes to.

use toro_abi::power::Mode;

/// The figures that a mode stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Policy {
    /// The longest that a core stays awake for a letter of another core, ns.
    pub letters_max_ns: u32,
    /// The longest that it stays awake for a device or a deadline, ns.
    pub events_max_ns: u32,
    /// A deadline may be missed by its distance shifted right by this ..
    pub slack_shift: u32,
    /// .. and by no more than this, ns; 0: by nothing.
    pub slack_max_ns: u64,
    /// A core whose last sleep was at least so long sleeps deep, ns.
    pub deep_from_ns: u64,
    /// What the processor is to prefer, from speed (0) to saving (255).
    pub preference: u8,
    /// Cores never sleep.
    pub spins: bool,
}

impl Policy {
    /// What `mode` comes to.
    ///
    /// A letter is worth a longer wait than a device's interrupt, for two cores that talk answer each other within
    /// microseconds, while whoever waits for the other end of a wire waits longer than a sleep costs.
    #[must_use]
    pub const fn of(mode: Mode) -> Policy {
        let balanced = Policy {
            letters_max_ns: 50_000,
            events_max_ns: 5_000,
            slack_shift: 10,
            slack_max_ns: 50_000_000,
            deep_from_ns: 1_000_000,
            preference: 128,
            spins: false,
        };
        match mode {
            Mode::Latency => Policy {
                letters_max_ns: 200_000,
                events_max_ns: 200_000,
                slack_max_ns: 0,
                deep_from_ns: u64::MAX,
                preference: 0,
                ..balanced
            },
            Mode::Balanced => balanced,
            Mode::Saving => Policy {
                letters_max_ns: 0,
                events_max_ns: 0,
                slack_shift: 5,
                slack_max_ns: 500_000_000,
                deep_from_ns: 0,
                preference: 255,
                ..balanced
            },
            Mode::Spin => Policy { slack_max_ns: 0, preference: 0, spins: true, ..balanced },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modes_are_what_their_names_say() {
        let saving = Policy::of(Mode::Saving);
        assert_eq!((saving.letters_max_ns, saving.events_max_ns), (0, 0));
        assert_eq!(Policy::of(Mode::Latency).slack_max_ns, 0);
        for mode in Mode::ALL {
            assert_eq!(Policy::of(mode).spins, mode == Mode::Spin);
        }
    }
}
