//! How a machine trades processor time for latency.

/// What a core does when it has nothing to do, in one word. What each comes to is `toro-power`'s.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Mode {
    /// Stays awake longer for what may come, sleeps lightly, and asks for speed.
    Latency,
    /// Stays awake only as long as that has paid lately.
    #[default]
    Balanced,
    /// Sleeps at once and as deep as it can, and lets deadlines wait for each other.
    Saving,
    /// Never sleeps: what the original Toro did before its cores learned to halt. It is there to be measured against.
    Spin,
}

impl Mode {
    /// All of them, for tests and for help texts.
    pub const ALL: [Mode; 4] = [Mode::Latency, Mode::Balanced, Mode::Saving, Mode::Spin];

    /// The name on a command line.
    pub const fn name(self) -> &'static str {
        match self {
            Mode::Latency => "latency",
            Mode::Balanced => "balanced",
            Mode::Saving => "saving",
            Mode::Spin => "spin",
        }
    }

    /// The mode of that name.
    pub fn parse(name: &str) -> Option<Mode> {
        Mode::ALL.into_iter().find(|mode| mode.name() == name)
    }
}

/// Which instruction a core sleeps by.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Idle {
    /// `mwait` where the processor names states for it and it was seen to sleep, else `hlt`.
    #[default]
    Auto,
    /// `hlt`.
    Halt,
    /// `mwait`, whatever the processor says of it, as long as it is seen to sleep.
    Mwait,
}

impl Idle {
    /// All of them.
    pub const ALL: [Idle; 3] = [Idle::Auto, Idle::Halt, Idle::Mwait];

    /// The name on a command line.
    pub const fn name(self) -> &'static str {
        match self {
            Idle::Auto => "auto",
            Idle::Halt => "halt",
            Idle::Mwait => "mwait",
        }
    }

    /// The one of that name.
    pub fn parse(name: &str) -> Option<Idle> {
        Idle::ALL.into_iter().find(|idle| idle.name() == name)
    }
}
