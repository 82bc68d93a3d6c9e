//! CPU time of a process, told apart by thread.

use std::fs;
use std::path::Path;

/// CPU seconds used by a QEMU process.
#[derive(Clone, Copy, Debug, Default)]
pub struct CpuSeconds {
    /// All threads.
    pub all: f64,
    /// The virtual processors: guest code, its translation, its device accesses. The rest is QEMU's main
    /// loop (user-mode network, timers), which no guest can lower much.
    pub vcpu: f64,
}

/// CPU seconds used so far by the living threads of `pid`. QEMU must run with `-name ..,debug-threads=on`.
pub fn cpu_seconds(pid: u32) -> CpuSeconds {
    let mut cpu = CpuSeconds::default();
    let Ok(threads) = fs::read_dir(format!("/proc/{pid}/task")) else {
        return cpu;
    };
    for thread in threads.flatten().map(|entry| entry.path()) {
        let seconds = thread_seconds(&thread).unwrap_or(0.0);
        cpu.all += seconds;
        if fs::read_to_string(thread.join("comm")).is_ok_and(|name| name.starts_with("CPU ")) {
            cpu.vcpu += seconds;
        }
    }
    cpu
}

/// The first field of schedstat is time on a processor, in nanoseconds.
fn thread_seconds(thread: &Path) -> Option<f64> {
    let text = fs::read_to_string(thread.join("schedstat")).ok()?;
    text.split_whitespace().next()?.parse::<u64>().ok().map(|ns| ns as f64 / 1e9)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_has_used_some() {
        let cpu = cpu_seconds(std::process::id());
        assert!(cpu.all > 0.0 && cpu.vcpu == 0.0, "{cpu:?}");
    }
}
