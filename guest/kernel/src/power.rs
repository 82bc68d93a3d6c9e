//! How the machine trades processor time for latency, and what it tells of how it slept.

use crate::arch::counters::{self, NAMES};
use crate::arch::{self, cores, interrupt, power, speed};
use crate::console;
use core::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering::Relaxed};
use toro_abi::cmdline;
use toro_abi::power::{Idle, Mode};
use toro_power::Policy;

pub use toro_power::frequency::Interface;

static POLICIES: [Policy; Mode::ALL.len()] = {
    let mut policies = [Policy::of(Mode::Balanced); Mode::ALL.len()];
    let mut at = 0;
    while at < policies.len() {
        policies[at] = Policy::of(Mode::ALL[at]);
        at += 1;
    }
    policies
};

/// The place of the mode in [`Mode::ALL`].
static MODE: AtomicU8 = AtomicU8::new(Mode::Balanced as u8);
/// What was counted is told at the end.
static TELLS_AT_END: AtomicBool = AtomicBool::new(false);

/// Does as a word of the command line says that is about this.
pub(crate) fn hear(key: &str, value: &str) {
    match key {
        cmdline::POWER => set_mode(Mode::parse(value).unwrap_or_default()),
        cmdline::IDLE => power::choose_idle(Idle::parse(value).unwrap_or_default()),
        cmdline::STATS => TELLS_AT_END.store(value == "1", Relaxed),
        _ => {}
    }
}

/// How the machine trades processor time for latency.
#[must_use]
pub fn mode() -> Mode {
    Mode::ALL[usize::from(MODE.load(Relaxed)) % Mode::ALL.len()]
}

/// Changes it, on each core when that is next without work.
pub fn set_mode(mode: Mode) {
    MODE.store(mode as u8, Relaxed);
}

/// What the mode comes to.
#[inline]
pub(crate) fn policy() -> &'static Policy {
    &POLICIES[usize::from(MODE.load(Relaxed)) % POLICIES.len()]
}

/// How the speed of cores is set, as far as one has slept, which is when it looks.
#[must_use]
pub fn interface() -> Interface {
    speed::interface()
}

/// Which instruction this core sleeps by: `hlt`, `mwait`, or none yet.
#[must_use]
pub fn sleeps_by() -> &'static str {
    match power::uses_mwait() {
        None => "none",
        Some(false) => "hlt",
        Some(true) => "mwait",
    }
}

/// When the host was told that the kernel runs, by the processor's counter: the clock is not known by then.
static SPOKE_TICKS: AtomicU64 = AtomicU64::new(0);

/// The host has been told that the kernel runs.
pub(crate) fn kernel_spoke() {
    SPOKE_TICKS.store(arch::cpu::ticks(), Relaxed);
}

/// When the program began, in ns of the clock.
static MAIN_NS: AtomicU64 = AtomicU64::new(0);

/// The program begins.
pub(crate) fn main_begins() {
    MAIN_NS.store(arch::time::now_ns(), Relaxed);
}

/// Tells the host what was counted, if there is a host that reads records.
#[cold]
pub(crate) fn tell() {
    console::stat(None, "", "uptime_ns", &arch::time::now_ns());
    console::stat(None, "", "spoke_ns", &arch::time::at_ticks_ns(SPOKE_TICKS.load(Relaxed)));
    console::stat(None, "", "main_ns", &MAIN_NS.load(Relaxed));
    console::stat(None, "", "mode", &mode().name());
    console::stat(None, "", "sleeps-by", &sleeps_by());
    console::stat(None, "", "frequency", &interface().name());
    for core in cores::all() {
        for (number, name) in NAMES.iter().enumerate() {
            console::stat(Some(core.index()), "", name, &counters::of(core, number));
        }
        for (name, count) in interrupt::counts(core) {
            console::stat(Some(core.index()), "interrupt.", name, &count);
        }
    }
    console::stats_end();
}

/// The same, if the command line asks for it.
pub(crate) fn tell_at_end() {
    if TELLS_AT_END.load(Relaxed) {
        tell();
    }
}
