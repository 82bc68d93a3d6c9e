//! How fast a core runs, by whichever interface the processor has: Intel's hardware-controlled states (HWP, SDM volume 3,
//! 15.4), AMD's collaborative control (CPPC, APM volume 2, 17.6), or `PERF_CTL`, where software decides.
//!
//! The first two are told once what to prefer, and decide by themselves. With the third a [`Governor`] decides, by how busy
//! the core was, each time it becomes idle: nothing ticks for it.

/// What CPUID says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Offer {
    /// Leaf 6, EAX bit 7.
    pub hwp: bool,
    /// Leaf 6, EAX bit 10: HWP has a preference.
    pub hwp_preference: bool,
    /// Leaf 0x8000_0008, EBX bit 27.
    pub cppc: bool,
    /// Leaf 1, ECX bit 7 (EIST): there is `PERF_CTL`.
    pub perf_ctl: bool,
}

/// How the speed of cores is set.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Interface {
    /// There is none: the hypervisor keeps it to itself.
    #[default]
    NotExposed,
    /// The hypervisor says that there is one, but not its registers.
    Refused,
    /// Intel's hardware-controlled states.
    Hwp,
    /// AMD's collaborative control.
    Cppc,
    /// A ratio, chosen here.
    PerfCtl,
}

impl Interface {
    /// Its name, for people.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Interface::NotExposed => "not-exposed",
            Interface::Refused => "refused",
            Interface::Hwp => "hwp",
            Interface::Cppc => "cppc",
            Interface::PerfCtl => "perf-ctl",
        }
    }
}

impl Offer {
    /// The interface to try: the one in which the processor decides most.
    #[must_use]
    pub const fn best(self) -> Interface {
        match self {
            Offer { hwp: true, .. } => Interface::Hwp,
            Offer { cppc: true, .. } => Interface::Cppc,
            Offer { perf_ctl: true, .. } => Interface::PerfCtl,
            _ => Interface::NotExposed,
        }
    }
}

/// Levels of performance, in units of the interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Levels {
    /// The least.
    pub lowest: u8,
    /// What is there all the time.
    pub nominal: u8,
    /// The most.
    pub highest: u8,
}

impl Levels {
    /// Of `IA32_HWP_CAPABILITIES` (0x771).
    #[must_use]
    pub const fn of_hwp(capabilities: u64) -> Levels {
        Levels { highest: capabilities as u8, nominal: (capabilities >> 8) as u8, lowest: (capabilities >> 24) as u8 }
    }

    /// Of AMD's `CPPC_CAPABILITY_1` (0xc001_02b0).
    #[must_use]
    pub const fn of_cppc(capabilities: u64) -> Levels {
        Levels { lowest: capabilities as u8, nominal: (capabilities >> 16) as u8, highest: (capabilities >> 24) as u8 }
    }

    /// Of `MSR_PLATFORM_INFO` (0xce): ratios without turbo.
    #[must_use]
    pub const fn of_platform(info: u64) -> Levels {
        let highest = (info >> 8) as u8;
        Levels { lowest: (info >> 40) as u8, nominal: highest, highest }
    }

    /// Whether these can be levels; a hypervisor that knows none answers zero.
    #[must_use]
    pub const fn are_sane(self) -> bool {
        self.lowest <= self.nominal && self.nominal <= self.highest && self.highest > 0
    }

    /// The least that is asked for by who prefers speed this much.
    const fn least(self, preference: u8) -> u8 {
        if preference == 0 { self.nominal } else { self.lowest }
    }

    /// `IA32_HWP_REQUEST` (0x774): the processor decides between a least and the most.
    #[must_use]
    pub const fn hwp_request(self, preference: u8, has_preference: bool) -> u64 {
        let told = if has_preference { preference as u64 } else { 0 };
        self.least(preference) as u64 | (self.highest as u64) << 8 | told << 24
    }

    /// AMD's `CPPC_REQUEST` (0xc001_02b3).
    #[must_use]
    pub const fn cppc_request(self, preference: u8) -> u64 {
        self.highest as u64 | (self.least(preference) as u64) << 8 | (preference as u64) << 24
    }
}

/// `IA32_PERF_CTL` (0x199) for a ratio.
#[must_use]
pub const fn perf_ctl(ratio: u8) -> u64 {
    (ratio as u64) << 8
}

/// Chooses a ratio by how busy a core was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Governor {
    levels: Levels,
    ratio: u8,
    busy_ns: u64,
    idle_ns: u64,
}

impl Governor {
    /// It decides no more often than this.
    pub const PERIOD_NS: u64 = 10_000_000;

    /// A core that runs at its highest ratio.
    #[must_use]
    pub const fn new(levels: Levels) -> Governor {
        Governor { levels, ratio: levels.highest, busy_ns: 0, idle_ns: 0 }
    }

    /// A core has been busy for so long, and then slept for so long. The ratio to run at from now on, if that is another.
    ///
    /// A core that is to save power gets what it needs; another a quarter more, so that it is not late while it catches up;
    /// one that prefers speed its nominal ratio at least.
    pub fn slept(&mut self, busy_ns: u64, idle_ns: u64, preference: u8) -> Option<u8> {
        self.busy_ns = self.busy_ns.saturating_add(busy_ns);
        self.idle_ns = self.idle_ns.saturating_add(idle_ns);
        let all_ns = self.busy_ns.saturating_add(self.idle_ns);
        if all_ns < Self::PERIOD_NS {
            return None;
        }
        // What was done in that time at the ratio it ran at, and what ratio that fills.
        let quarters = if preference == u8::MAX { 4 } else { 5 };
        let wanted = (self.busy_ns >> 10).saturating_mul(u64::from(self.ratio) * quarters) / (4 * (all_ns >> 10));
        let is_full = self.idle_ns < all_ns / 16; // how much more it would have done nobody knows
        let wanted = if is_full { u8::MAX } else { u8::try_from(wanted).unwrap_or(u8::MAX).saturating_add(1) };
        let least = self.levels.least(preference);
        let ratio = wanted.max(least).min(self.levels.highest);
        (self.busy_ns, self.idle_ns) = (0, 0);
        let is_news = ratio != self.ratio;
        self.ratio = ratio;
        is_news.then_some(ratio)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LEVELS: Levels = Levels { lowest: 8, nominal: 26, highest: 26 };

    #[test]
    fn the_processor_decides_where_it_can() {
        let all = Offer { hwp: true, hwp_preference: true, cppc: true, perf_ctl: true };
        assert_eq!(all.best(), Interface::Hwp);
        assert_eq!(Offer { hwp: false, ..all }.best(), Interface::Cppc);
        assert_eq!(Offer { perf_ctl: true, ..Offer::default() }.best(), Interface::PerfCtl);
        assert_eq!(Offer::default().best(), Interface::NotExposed);
    }

    #[test]
    fn levels_are_read_from_their_registers() {
        assert_eq!(Levels::of_hwp(0x0108_1a2c), Levels { lowest: 1, nominal: 0x1a, highest: 0x2c });
        assert_eq!(Levels::of_cppc(0xff80_2a10), Levels { lowest: 0x10, nominal: 0x80, highest: 0xff });
        assert_eq!(Levels::of_platform(0x0000_0800_0000_1a00), LEVELS);
        assert!(LEVELS.are_sane());
        assert!(!Levels::of_hwp(0).are_sane() && !Levels::of_platform(0x0000_2000_0000_1a00).are_sane());
    }

    #[test]
    fn a_request_names_least_most_and_preference() {
        let levels = Levels { lowest: 1, nominal: 26, highest: 44 };
        assert_eq!(levels.hwp_request(0, true), 0x0000_2c1a);
        assert_eq!(levels.hwp_request(128, true), 0x8000_2c01);
        assert_eq!(levels.hwp_request(128, false), 0x0000_2c01);
        assert_eq!(levels.cppc_request(255), 0xff00_012c);
    }

    #[test]
    fn a_core_slows_down_to_what_it_needs_and_comes_back() {
        let mut governor = Governor::new(LEVELS);
        // A tenth busy.
        assert_eq!(governor.slept(2_000_000, 18_000_000, 255), Some(8));
        assert_eq!(governor.slept(2_000_000, 18_000_000, 255), None, "no news");
        assert_eq!(governor.slept(18_000_000, 2_000_000, 128), Some(10), "nine tenths of eight, and a quarter more");
        assert_eq!(governor.slept(20_000_000, 1_000, 128), Some(26), "busy all the time");
    }

    #[test]
    fn it_decides_once_in_a_while_and_speed_has_its_floor() {
        let mut governor = Governor::new(LEVELS);
        for _ in 0..9 {
            assert_eq!(governor.slept(0, 1_000_000, 255), None);
        }
        assert_eq!(governor.slept(0, 1_000_000, 255), Some(8));
        let mut governor = Governor::new(Levels { highest: 40, ..LEVELS });
        assert_eq!(governor.slept(0, 20_000_000, 0), Some(26));
    }
}
