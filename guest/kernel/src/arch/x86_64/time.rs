//! The clock and its one timer: the time-stamp counter, and the local APIC's one-shot count.
//!
//! The counter's rate, best source first: the VMM's hint on the command line, CPUID 0x4000_0010, KVM's
//! clock, CPUID 0x15 and 0x16, and last the APIC timer, which counts nanoseconds under QEMU and KVM: it is
//! started at boot, compared with the counter when the clock is first read, and once more, over a longer
//! time, when the timer is first armed. No loop waits for time to pass. The boot core measures for all.

#![expect(unsafe_code, reason = "a pointer to one of two statics; the timer's register")]

use super::interrupt::{
    self, APIC_TIMER_CURRENT, APIC_TIMER_DIVIDE, APIC_TIMER_INITIAL, TimerMode, apic_read, apic_write,
};
use super::local::{self, CoreId};
use super::{cpu, kvm, port};
use crate::arch::SpinLock;
use core::sync::atomic::Ordering::{Acquire, Relaxed, Release, SeqCst};
use core::sync::atomic::{AtomicBool, AtomicPtr, AtomicU64, fence};
use toro_abi::cmdline::CommandLine;

/// What ticks mean. Another takes its place when more is known, so that other cores never see half of it.
struct Clock {
    /// A moment in ticks, and the same in ns of the clock: what [`now_ns`] counts from.
    base_ticks: AtomicU64,
    base_ns: AtomicU64,
    /// Nanoseconds a tick, as a fraction of 2^32; 0 until known.
    ns_per_tick: AtomicU64,
}

static FIRST: Clock = Clock::new();
static REFINED: Clock = Clock::new();
static CLOCK: AtomicPtr<Clock> = AtomicPtr::new((&raw const FIRST).cast_mut());
/// Wall clock at entry, in ns since 1970; 0: unknown.
static WALL_AT_ENTRY_NS: AtomicU64 = AtomicU64::new(0);
/// The timer can wait for a value of the counter: one write sets it, and two clocks need not agree.
static HAS_DEADLINE: AtomicBool = AtomicBool::new(false);
const DEADLINE_MSR: u32 = 0x6e0;
/// Ticks when the APIC timer began to count down from its maximum.
static PAIR_TICKS: AtomicU64 = AtomicU64::new(0);

impl Clock {
    const fn new() -> Self {
        Clock { base_ticks: AtomicU64::new(0), base_ns: AtomicU64::new(0), ns_per_tick: AtomicU64::new(0) }
    }
}

#[inline]
fn clock() -> &'static Clock {
    // SAFETY: points to one of two statics.
    unsafe { &*CLOCK.load(Acquire) }
}

/// Stores when the image was entered: the clock's zero.
pub(super) fn start_calibration(entry_ticks: u64) {
    FIRST.base_ticks.store(entry_ticks, Relaxed);
}

/// Settles the counter's rate, or starts what will tell it.
#[cold]
pub fn init(command_line: CommandLine<'_>) {
    HAS_DEADLINE.store(cpu::cpuid(1)[2] & 1 << 24 != 0, Relaxed);
    if let Some(epoch_ns) = command_line.epoch_ns() {
        WALL_AT_ENTRY_NS.store(epoch_ns, Relaxed);
    }
    if let Some(khz) = command_line.tsc_khz().filter(|khz| *khz > 0).or_else(rate_by_hypervisor) {
        FIRST.ns_per_tick.store(rate(1_000_000, khz), Relaxed);
    } else if let Some(clock) = kvm::clock() {
        FIRST.ns_per_tick.store(clock.ns_per_tick, Relaxed);
        if clock.wall_ns != 0 && WALL_AT_ENTRY_NS.load(Relaxed) == 0 {
            let since_entry = clock.ticks.saturating_sub(FIRST.base_ticks.load(Relaxed));
            WALL_AT_ENTRY_NS.store(clock.wall_ns.saturating_sub(to_ns(since_entry, clock.ns_per_tick)), Relaxed);
        }
    } else if let Some(khz) = rate_by_processor() {
        FIRST.ns_per_tick.store(rate(1_000_000, khz), Relaxed);
    } else {
        apic_write(APIC_TIMER_DIVIDE, 0b1011);
        PAIR_TICKS.store(cpu::ticks(), Relaxed);
        apic_write(APIC_TIMER_INITIAL, u32::MAX);
    }
}

fn rate_by_hypervisor() -> Option<u64> {
    let under_hypervisor = cpu::cpuid(1)[2] & 1 << 31 != 0;
    let khz = if under_hypervisor { cpu::cpuid(0x4000_0010)[0] } else { 0 };
    (khz != 0).then_some(u64::from(khz))
}

fn rate_by_processor() -> Option<u64> {
    let [denominator, numerator, crystal_hz, _] = cpu::cpuid(0x15).map(u64::from);
    if denominator != 0 && numerator != 0 && crystal_hz != 0 {
        return Some(crystal_hz * numerator / denominator / 1000);
    }
    let base_mhz = cpu::cpuid(0x16)[0] & 0xffff;
    (base_mhz != 0).then_some(u64::from(base_mhz) * 1000)
}

/// `ns` nanoseconds pass in `ticks` ticks, as a fraction of 2^32.
fn rate(ns: u64, ticks: u64) -> u64 {
    (u128::from(ns) << 32).div_ceil(u128::from(ticks.max(1))) as u64
}

/// Compares the counter with the boot core's APIC timer, which has been counting nanoseconds since `init`.
#[cold]
fn rate_by_apic(clock: &Clock) -> u64 {
    let left = apic_read(APIC_TIMER_CURRENT);
    let known = if left == 0 {
        // It ran out, 4.3 s after boot, and no longer tells how much time has passed; it is started anew.
        PAIR_TICKS.store(cpu::ticks(), Relaxed);
        apic_write(APIC_TIMER_INITIAL, u32::MAX);
        match clock.ns_per_tick.load(Relaxed) {
            0 => rate(1, 1),
            known => known,
        }
    } else {
        rate(u64::from(u32::MAX - left).max(1), cpu::ticks() - PAIR_TICKS.load(Relaxed))
    };
    clock.ns_per_tick.store(known, Relaxed);
    known
}

/// The boot core's APIC timer is about to be needed: compares once more, over a longer time, and goes on from where
/// the clock stands, so that it never goes back.
#[cold]
fn refine_rate() {
    REFINED.base_ns.store(now_ns(), Relaxed);
    REFINED.base_ticks.store(cpu::ticks(), Relaxed);
    REFINED.ns_per_tick.store(clock().ns_per_tick.load(Relaxed), Relaxed);
    rate_by_apic(&REFINED);
    PAIR_TICKS.store(0, Relaxed);
    CLOCK.store((&raw const REFINED).cast_mut(), Release);
}

/// Makes sure that there is a rate, before other cores ask.
pub(super) fn settle() {
    let _known = now_ns();
}

/// Nanoseconds since the image was entered; never goes back.
#[inline]
pub fn now_ns() -> u64 {
    let clock = clock();
    let ticks = cpu::ticks().wrapping_sub(clock.base_ticks.load(Relaxed));
    let rate = match clock.ns_per_tick.load(Relaxed) {
        0 => rate_by_apic(clock),
        rate => rate,
    };
    clock.base_ns.load(Relaxed) + to_ns(ticks, rate)
}

#[inline]
fn to_ns(ticks: u64, ns_per_tick: u64) -> u64 {
    ((u128::from(ticks) * u128::from(ns_per_tick)) >> 32) as u64
}

/// Nanoseconds since 1970 UTC: the VMM's hint, else KVM's clock, else the CMOS clock; `None` when nobody knows.
pub fn wall_ns() -> Option<u64> {
    if WALL_AT_ENTRY_NS.load(Relaxed) == 0 {
        let at_entry_ns = (CMOS.with(|()| cmos_seconds())? * 1_000_000_000).saturating_sub(now_ns());
        // Of two cores that asked at once, the first is right.
        let _first = WALL_AT_ENTRY_NS.compare_exchange(0, at_entry_ns, Relaxed, Relaxed);
    }
    Some(WALL_AT_ENTRY_NS.load(Relaxed) + now_ns())
}

/// A register of it is read in two steps.
static CMOS: SpinLock<()> = SpinLock::new(());

/// Seconds since 1970 by the CMOS clock, read until two readings agree.
fn cmos_seconds() -> Option<u64> {
    let read = |register| {
        port::outb(0x70, register);
        port::inb(0x71)
    };
    let status_b = read(0x0b);
    if status_b == 0xff || status_b == 0 {
        return None; // no such clock: absent ports read as all ones, under Firecracker as zero
    }
    let binary = |value: u8| if status_b & 4 != 0 { value } else { (value >> 4) * 10 + (value & 15) };
    let reading = || [0, 2, 4, 7, 8, 9].map(read).map(binary).map(u64::from);
    let mut before = reading();
    for _ in 0..8 {
        let now = reading();
        if now == before {
            let [second, minute, hour, day, month, year] = now;
            return Some(days_since_1970(2000 + year, month, day) * 86_400 + hour * 3600 + minute * 60 + second);
        }
        before = now;
    }
    None
}

/// Days from 1970-01-01 to a date of the Gregorian calendar (months counted from March).
const fn days_since_1970(year: u64, month: u64, day: u64) -> u64 {
    let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    365 * year + year / 4 - year / 100 + year / 400 + (153 * month + 2) / 5 + day - 719_469
}

/// Sets the timer to wake the core at `deadline_ns`, unless it will wake earlier anyway; false when the
/// deadline has passed.
pub(super) fn arm(deadline_ns: u64) -> bool {
    if PAIR_TICKS.load(Relaxed) != 0 && local::current() == CoreId::BOOT {
        refine_rate();
    }
    let now_ns = now_ns();
    if deadline_ns <= now_ns {
        return false;
    }
    if local::header().armed_ns.load(Relaxed) <= deadline_ns {
        return true;
    }
    if HAS_DEADLINE.load(Relaxed) {
        local::header().armed_ns.store(deadline_ns, Relaxed);
        arm_deadline(deadline_ns);
        return true;
    }
    // 1 ns a count, divided by 1 or 128: up to 4.3 s or 550 s; the core goes back to sleep after that.
    // Two clocks never agree: a little late is one wake-up, a little early would be two.
    let ns = deadline_ns - now_ns;
    let ns = ns.saturating_add((ns >> 12) + 64);
    let (divide, shift) = if ns <= u64::from(u32::MAX) { (0b1011, 0) } else { (0b1010, 7) };
    let count = ((ns >> shift) + 1).min(u64::from(u32::MAX));
    // What was asked for, not when it fires: the same deadline, asked for again, must find the timer armed.
    local::header().armed_ns.store(deadline_ns.min(now_ns + (count << shift)), Relaxed);
    interrupt::enable_timer(TimerMode::Count);
    apic_write(APIC_TIMER_DIVIDE, divide);
    apic_write(APIC_TIMER_INITIAL, count as u32);
    true
}

/// Sets the timer by the counter that the clock reads: never early, and not late by more than a tick.
fn arm_deadline(deadline_ns: u64) {
    let clock = clock();
    let ns = u128::from(deadline_ns - clock.base_ns.load(Relaxed));
    let ticks = ((ns << 32) / u128::from(clock.ns_per_tick.load(Relaxed)) + 1).min(u64::MAX.into()) as u64;
    interrupt::enable_timer(TimerMode::Deadline);
    fence(SeqCst); // the mode first: it may be stored in memory, and the deadline is not
    // SAFETY: the register exists, as CPUID says, and raises the timer's vector.
    unsafe { cpu::write_msr(DEADLINE_MSR, clock.base_ticks.load(Relaxed).saturating_add(ticks)) };
}

/// The timer's interrupt was taken.
pub(super) fn timer_fired() {
    local::header().armed_ns.store(u64::MAX, Relaxed);
}
