//! What a fault comes to that nobody catches.

/// What a fault comes to that nobody catches.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Policy {
    /// It ends its thread, with a report; that of `main` ends the machine.
    #[default]
    Exit,
    /// It ends its thread, with a report; then `main` is called again, in the same machine, if it was that one's.
    Restart,
    /// It ends the machine, whichever thread's it is.
    ExitAny,
}

impl Policy {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Exit, Self::Restart, Self::ExitAny];

    /// The name on a command line.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Exit => "exit",
            Self::Restart => "restart",
            Self::ExitAny => "exit-any",
        }
    }

    /// The policy of that name.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|policy| policy.name() == name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_policy_is_read_as_it_was_written() {
        for policy in Policy::ALL {
            assert_eq!(Policy::parse(policy.name()), Some(policy));
        }
        assert_eq!(Policy::parse("ignore"), None);
    }
}
