//! How much later than its deadline a wait may end.

/// A share of the wait's length, up to a limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Slack {
    /// The length is shifted right by this.
    pub shift: u32,
    /// The limit, ns; 0: the wait ends at its deadline.
    pub max_ns: u64,
}

impl Slack {
    /// None.
    pub const NONE: Slack = Slack { shift: 0, max_ns: 0 };

    /// The latest end of a wait that begins at `now_ns`, or began a little later.
    #[must_use]
    pub(crate) fn latest_ns(self, now_ns: u64, deadline_ns: u64) -> u64 {
        let length_ns = deadline_ns.saturating_sub(now_ns);
        deadline_ns.saturating_add((length_ns >> self.shift).min(self.max_ns))
    }
}
