//! The rate of the time-stamp counter, measured once per boot of the host: the guest's ticks at the same rate.
#![expect(unsafe_code, reason = "the time-stamp counter is read by an intrinsic")]

use crate::cache;
use std::time::{Duration, Instant};

/// Long enough for an error of a few parts in a million; paid once per boot.
const MEASURE: Duration = Duration::from_millis(25);
const CACHE_KEY: &str = "tsc_khz";

/// The rate in kHz; `None` where the counter's rate changes.
pub(crate) fn khz() -> Option<u64> {
    static KHZ: std::sync::OnceLock<Option<u64>> = std::sync::OnceLock::new();
    *KHZ.get_or_init(|| {
        if let Some(known) = cache::load(CACHE_KEY) {
            return known.parse().ok();
        }
        let measured = is_constant().then(measure);
        cache::store(CACHE_KEY, &measured.map_or_else(|| "unknown".into(), |khz| khz.to_string()));
        measured
    })
}

fn is_constant() -> bool {
    let cpuinfo = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let flags = cpuinfo.lines().find(|line| line.starts_with("flags")).unwrap_or_default();
    ["constant_tsc", "nonstop_tsc"].iter().all(|wanted| flags.split(' ').any(|flag| flag == *wanted))
}

fn measure() -> u64 {
    let (start, start_ticks) = sample();
    while start.elapsed() < MEASURE {
        std::hint::spin_loop();
    }
    let (end, end_ticks) = sample();
    let ns = (end - start).as_nanos().max(1);
    (u128::from(end_ticks.saturating_sub(start_ticks)) * 1_000_000 / ns) as u64
}

/// Clock and counter at the same moment: of several tries, the one that took the fewest ticks.
fn sample() -> (Instant, u64) {
    let tries = (0..16).map(|_| {
        let before = ticks();
        let now = Instant::now();
        let after = ticks();
        (after.saturating_sub(before), now, before + after.saturating_sub(before) / 2)
    });
    let best = tries.min_by_key(|(took, ..)| *took).map(|(_, now, ticks)| (now, ticks));
    best.unwrap_or_else(|| (Instant::now(), ticks()))
}

fn ticks() -> u64 {
    // SAFETY: every x86-64 processor has the instruction, and Linux lets programs use it.
    unsafe { core::arch::x86_64::_rdtsc() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_measurements_agree() {
        let (a, b) = (measure(), measure());
        assert!(a.abs_diff(b) < a / 100, "{a} kHz and {b} kHz");
    }
}
