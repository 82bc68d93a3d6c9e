//! The time of day: what the host said, else KVM's clock, else the CMOS clock, else unknown.
//!
//! It is kept as what the time was at entry, to which the clock is added. A machine that stood still has lost time without
//! knowing; so the host says what time it is when the machine goes on, and where there is no such host, KVM's clock and the
//! CMOS clock are asked again, once in a while when somebody wants to know.

use super::kvm;
use super::{port, time, user};
use crate::arch::SpinLock;
use core::sync::atomic::Ordering::{Acquire, Relaxed, Release};
use core::sync::atomic::{AtomicU8, AtomicU64};

/// Who knows.
#[derive(Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Source {
    /// Nobody was asked.
    Unasked,
    /// The host, on the command line or later.
    Told,
    /// KVM.
    Kvm,
    /// The CMOS clock.
    Cmos,
}

/// ns since 1970 at entry.
static AT_ENTRY_NS: AtomicU64 = AtomicU64::new(0);
/// A [`Source`], stored after what it said.
static SOURCE: AtomicU8 = AtomicU8::new(Source::Unasked as u8);
/// When the source was last asked, in ns of the clock.
static ASKED_NS: AtomicU64 = AtomicU64::new(0);
/// A register of the CMOS clock is read in two steps; and what is found is stored in two.
static ASKING: SpinLock<()> = SpinLock::new(());

/// So long a source is believed.
const BELIEVED_NS: u64 = 1_000_000_000;
/// The CMOS clock counts seconds: a difference that is smaller is none.
const CMOS_PRECISION_NS: u64 = 2_000_000_000;

/// The time at entry is known.
pub(super) fn begin(source: Source, at_entry_ns: u64) {
    AT_ENTRY_NS.store(at_entry_ns, Relaxed);
    SOURCE.store(source as u8, Release);
}

/// Takes what KVM knows, if it does.
pub(super) fn take(clock: &kvm::Clock) {
    if clock.wall_ns != 0 {
        begin(Source::Kvm, clock.wall_ns.saturating_sub(time::at_ticks_ns(clock.ticks)));
    }
}

/// Takes what the host says: ns since 1970 UTC, now.
pub fn set(ns: u64) {
    begin(Source::Told, ns.saturating_sub(time::now_ns()));
    user::vdso::publish();
}

/// Nanoseconds since 1970 UTC; `None` when nobody knows.
pub fn now_ns() -> Option<u64> {
    at_entry_ns().map(|at_entry_ns| at_entry_ns.saturating_add(time::now_ns()))
}

/// What the time was at entry.
pub(super) fn at_entry_ns() -> Option<u64> {
    let source = SOURCE.load(Acquire);
    let is_old = time::now_ns().saturating_sub(ASKED_NS.load(Relaxed)) > BELIEVED_NS;
    if source == Source::Unasked as u8 || source != Source::Told as u8 && is_old {
        ask();
    }
    (SOURCE.load(Acquire) != Source::Unasked as u8).then(|| AT_ENTRY_NS.load(Relaxed))
}

/// Asks the source that there is.
#[cold]
#[inline(never)]
fn ask() {
    ASKING.with(|()| {
        let now_ns = time::now_ns();
        ASKED_NS.store(now_ns, Relaxed);
        if SOURCE.load(Relaxed) == Source::Kvm as u8 {
            return kvm::clock().iter().for_each(take);
        }
        let Some(seconds) = cmos_seconds() else { return };
        let at_entry_ns = (seconds * 1_000_000_000).saturating_sub(now_ns);
        let is_news = SOURCE.load(Relaxed) == Source::Unasked as u8
            || at_entry_ns.abs_diff(AT_ENTRY_NS.load(Relaxed)) > CMOS_PRECISION_NS;
        if is_news {
            begin(Source::Cmos, at_entry_ns);
        }
    });
}

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
