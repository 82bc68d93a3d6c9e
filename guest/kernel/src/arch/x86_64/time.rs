//! The clock and its one timer: the time-stamp counter, and the local APIC's one-shot count.
//!
//! The counter's rate, best source first: the VMM's hint on the command line, CPUID 0x4000_0010, KVM's
//! clock, CPUID 0x15 and 0x16, and last the APIC timer, which counts nanoseconds under QEMU and KVM: it is
//! started at boot, compared with the counter when the clock is first read, and once more, over a longer
//! time, when the timer is first armed. No loop waits for time to pass. The boot core measures for all.
//!
//! The counter may jump: a hypervisor that stops a machine, restores or moves it may give it another. Forward, the time that was
//! missed has passed. Backward is seen by whoever reads it next: each core adds what it has lost from then on, and programs are
//! told to ask the kernel.

#![expect(unsafe_code, reason = "a pointer to one of two statics; the timer's register")]

use super::interrupt::{
    self, APIC_TIMER_CURRENT, APIC_TIMER_DIVIDE, APIC_TIMER_INITIAL, TimerMode, apic_read, apic_write,
};
use super::local::{self, CoreId};
use super::{cores, cpu, kvm, smp, wall};
use core::sync::atomic::Ordering::{Acquire, Relaxed, Release, SeqCst};
use core::sync::atomic::{AtomicBool, AtomicPtr, AtomicU64, fence};
use toro_abi::cmdline::CommandLine;
use toro_timers::counter;

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
    let told_ns = command_line.epoch_ns();
    if let Some(epoch_ns) = told_ns {
        wall::begin(wall::Source::Told, epoch_ns);
    }
    if let Some(khz) = command_line.tsc_khz().filter(|khz| *khz > 0).or_else(rate_by_hypervisor) {
        FIRST.ns_per_tick.store(rate(1_000_000, khz), Relaxed);
    } else if let Some(clock) = kvm::clock() {
        FIRST.ns_per_tick.store(clock.ns_per_tick, Relaxed);
        if told_ns.is_none() {
            wall::take(&clock);
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
    REFINED.base_ticks.store(steady_ticks(), Relaxed);
    REFINED.ns_per_tick.store(clock().ns_per_tick.load(Relaxed), Relaxed);
    rate_by_apic(&REFINED);
    PAIR_TICKS.store(0, Relaxed);
    CLOCK.store((&raw const REFINED).cast_mut(), Release);
    super::user::vdso::publish();
}

/// What ticks mean, for programs that read the counter themselves.
pub(super) struct Parameters {
    pub(super) base_ticks: u64,
    pub(super) base_ns: u64,
    /// A fraction of 2^32; 0 while it may still change.
    pub(super) ns_per_tick: u64,
    /// 0: unknown.
    pub(super) wall_at_entry_ns: u64,
}

/// What they mean now.
pub(super) fn parameters() -> Parameters {
    let clock = clock();
    let is_final = PAIR_TICKS.load(Relaxed) == 0;
    Parameters {
        base_ticks: clock.base_ticks.load(Relaxed),
        base_ns: clock.base_ns.load(Relaxed),
        ns_per_tick: if is_final && !JUMPED.load(Relaxed) { clock.ns_per_tick.load(Relaxed) } else { 0 },
        wall_at_entry_ns: wall::at_entry_ns().unwrap_or(0),
    }
}

/// Ticks in a millisecond, as far as that is known.
#[must_use]
pub fn ticks_khz() -> Option<u64> {
    let rate = clock().ns_per_tick.load(Relaxed);
    (rate != 0).then(|| ((1_000_000_u128 << 32) / u128::from(rate)) as u64)
}

/// Makes sure that there is a rate, before other cores ask.
pub(super) fn settle() {
    let _known = now_ns();
}

/// Nanoseconds since the image was entered; never goes back.
#[inline(never)] // asked from many places
pub fn now_ns() -> u64 {
    now_ns_here()
}

/// The same, without a call, for the few places that each request passes.
#[inline]
pub fn now_ns_here() -> u64 {
    let clock = clock();
    let ticks = steady_ticks().saturating_sub(clock.base_ticks.load(Relaxed));
    let rate = match clock.ns_per_tick.load(Relaxed) {
        0 => rate_by_apic(clock),
        rate => rate,
    };
    clock.base_ns.load(Relaxed) + to_ns(ticks, rate)
}

/// The counter, and what it has lost by jumps: no core sees it go back.
#[inline]
fn steady_ticks() -> u64 {
    let counter = &local::header().counter;
    let ticks = cpu::ticks().wrapping_add(counter.lost.load(Relaxed));
    if ticks < counter.last.load(Relaxed) {
        return after_jump();
    }
    counter.last.store(ticks, Relaxed);
    ticks
}

/// This core's counter has gone back: it goes on from where the last core was that looked. Its timer may have been set by the
/// counter, and is set again when the core next sleeps.
#[cold]
#[inline(never)]
fn after_jump() -> u64 {
    let header = local::header();
    let seen = cores::all().filter_map(smp::header_of).map(|header| header.counter.last.load(Relaxed));
    let (lost, ticks) = counter::go_on(cpu::ticks(), seen);
    header.counter.lost.store(lost, Relaxed);
    header.counter.last.store(ticks, Relaxed);
    header.armed_ns.store(u64::MAX, Relaxed);
    if !JUMPED.swap(true, Relaxed) {
        log::warn!("the processor's time-stamp counter has gone back");
        super::user::vdso::publish();
    }
    ticks
}

/// Some core's counter has jumped: the counter alone no longer tells the time.
static JUMPED: AtomicBool = AtomicBool::new(false);

/// Has this core believe that its counter was so much further a moment ago, for tests: it goes back at its next reading.
pub fn pretend_jump(ticks: u64) {
    let further = steady_ticks() + ticks;
    local::header().counter.last.store(further, Relaxed);
}

/// What the clock shows when the counter is at `ticks`.
pub fn at_ticks_ns(ticks: u64) -> u64 {
    let clock = clock();
    let lost = local::header().counter.lost.load(Relaxed);
    let since = ticks.wrapping_add(lost).saturating_sub(clock.base_ticks.load(Relaxed));
    clock.base_ns.load(Relaxed) + to_ns(since, clock.ns_per_tick.load(Relaxed))
}

/// How long so many ticks are, ns.
#[inline]
pub(super) fn duration_ns(ticks: u64) -> u64 {
    to_ns(ticks, clock().ns_per_tick.load(Relaxed))
}

#[inline]
fn to_ns(ticks: u64, ns_per_tick: u64) -> u64 {
    ((u128::from(ticks) * u128::from(ns_per_tick)) >> 32) as u64
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
    let ns = u128::from(deadline_ns.saturating_sub(clock.base_ns.load(Relaxed)));
    let ticks = ((ns << 32) / u128::from(clock.ns_per_tick.load(Relaxed)) + 1).min(u64::MAX.into()) as u64;
    interrupt::enable_timer(TimerMode::Deadline);
    fence(SeqCst); // the mode first: it may be stored in memory, and the deadline is not
    let lost = local::header().counter.lost.load(Relaxed);
    let at = clock.base_ticks.load(Relaxed).saturating_add(ticks).wrapping_sub(lost);
    // SAFETY: the register exists, as CPUID says, and raises the timer's vector.
    unsafe { cpu::write_msr(DEADLINE_MSR, at) };
}

/// Whether this core's timer will interrupt.
pub(super) fn is_armed() -> bool {
    local::header().armed_ns.load(Relaxed) != u64::MAX
}

/// The timer's interrupt was taken.
pub(super) fn timer_fired() {
    local::header().armed_ns.store(u64::MAX, Relaxed);
}
