//! How much later than its deadline a wait may end, so that several end by one wake-up.

use super::CORE;
use core::time::Duration;
use toro_threads::Slack;

/// The most by which waits of the running thread end late.
#[must_use]
pub fn slack() -> Duration {
    Duration::from_nanos(CORE.with(|core| core.threads.current_slack().max_ns))
}

/// Gives the running thread's waits this slack, however short they are; `None`: that of the machine's mode.
pub fn set_slack(slack: Option<Duration>) {
    let own = slack.map(|slack| Slack { shift: 0, max_ns: u64::try_from(slack.as_nanos()).unwrap_or(u64::MAX) });
    CORE.with(|core| core.threads.set_current_slack(own));
}
