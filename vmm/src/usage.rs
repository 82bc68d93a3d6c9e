//! What a VMM's process has used: processor time, told apart by thread, and memory.

use std::fs;
use std::path::Path;
use std::time::Duration;

/// What a process has used so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Processor time of all threads that live.
    pub cpu: Duration,
    /// That of the virtual processors: guest code, its translation, its device accesses. The rest is the VMM's main loop
    /// (private network, timers), which no guest can lower much. Zero unless QEMU names its threads (`-name
    /// ..,debug-threads=on`).
    pub vcpu: Duration,
    /// Resident memory, bytes: the guest's pages that were touched, and the VMM's own.
    pub resident_bytes: u64,
}

impl Usage {
    /// Of the process `pid`; all zero when there is none.
    ///
    /// By schedstat, in nanoseconds, not by ticks: a thread that runs for microseconds at a time is in the middle of none.
    pub fn of(pid: u32) -> Usage {
        let mut usage = Usage { resident_bytes: resident_bytes(pid).unwrap_or_default(), ..Usage::default() };
        let Ok(threads) = fs::read_dir(format!("/proc/{pid}/task")) else { return usage };
        for thread in threads.flatten().map(|entry| entry.path()) {
            let time = on_processor(&thread).unwrap_or_default();
            usage.cpu += time;
            if fs::read_to_string(thread.join("comm")).is_ok_and(|name| name.starts_with("CPU ")) {
                usage.vcpu += time;
            }
        }
        usage
    }
}

/// The first field of schedstat is time on a processor, in nanoseconds.
fn on_processor(thread: &Path) -> Option<Duration> {
    let text = fs::read_to_string(thread.join("schedstat")).ok()?;
    text.split_whitespace().next()?.parse().ok().map(Duration::from_nanos)
}

fn resident_bytes(pid: u32) -> Option<u64> {
    let text = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    line.split_whitespace().next()?.parse::<u64>().ok().map(|kib| kib << 10)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_has_used_some() {
        let usage = Usage::of(std::process::id());
        assert!(usage.cpu > Duration::ZERO && usage.vcpu == Duration::ZERO, "{usage:?}");
        assert!(usage.resident_bytes > 1 << 20, "{usage:?}");
        assert_eq!(Usage::of(u32::MAX), Usage::default());
    }
}
