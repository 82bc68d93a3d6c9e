//! Idle, and off.
//!
//! *Why no wake-up is lost.* Whoever wakes a core sends it an interrupt, whichever instruction it sleeps by, and the core
//! has looked at everything after it said that it sleeps, with interrupts off. `sti` takes effect after the next
//! instruction only, so an interrupt that came since that look ends the sleep, by `hlt` or by `mwait`, and none can fall
//! between. What `mwait` watches is the core's mailbox: a letter may end the sleep before its interrupt arrives, which then
//! ends the next sleep at once; that is a wake-up more, never one less (`a_sleep_may_end_before_its_interrupt_comes` in
//! `crates/mailbox`). No sender leaves the interrupt out for a core that watches: a hypervisor that makes a halt of `mwait`
//! would never tell it.

#![expect(unsafe_code, reason = "halting the processor")]

use super::attempt::{self, Mwait};
use super::{cpu, port, shootdown, speed, time};
use crate::arch::core_local;
use crate::boot::BootInfo;
use core::arch::{asm, naked_asm};
use core::sync::atomic::{AtomicBool, AtomicU8, AtomicUsize, Ordering::Relaxed};
use toro_abi::power::Idle;
use toro_power::Policy;
use toro_power::frequency::Governor;
use toro_power::mwait::{Offer, Trial};

/// How this core sleeps.
struct Sleep {
    is_ready: bool,
    offer: Offer,
    /// `mwait` is used, and this has been seen of it.
    trial: Option<Trial>,
    /// The core's speed is chosen here.
    governor: Option<Governor>,
    /// Then, when the last sleep ended.
    awake_since_ticks: u64,
    /// How long the last sleep was, ns.
    last_ns: u64,
}

core_local! {
    static SLEEP: Sleep = Sleep {
        is_ready: false,
        offer: Offer { exists: false, states: 0 },
        trial: None,
        governor: None,
        awake_since_ticks: 0,
        last_ns: 0,
    };
}

/// An [`Idle`], as a number: which instruction cores are told to sleep by.
static IDLE: AtomicU8 = AtomicU8::new(Idle::Auto as u8);

/// A sleep that is over.
#[derive(Clone, Copy, Debug)]
pub struct Rest {
    /// How long it was, ns.
    pub ns: u64,
    /// By `mwait`, not `hlt`.
    pub by_mwait: bool,
    /// The timer's interrupt came.
    pub by_timer: bool,
}

/// Says which instruction cores sleep by, before the first sleep.
pub fn choose_idle(idle: Idle) {
    IDLE.store(idle as u8, Relaxed);
}

/// Has this core look again, when it next sleeps, how it is to: the machine's mode has changed.
pub fn forget() {
    SLEEP.with(|sleep| sleep.is_ready = false);
}

/// Whether this core sleeps by `mwait`, if it has slept.
pub fn uses_mwait() -> Option<bool> {
    SLEEP.with(|sleep| sleep.is_ready.then_some(sleep.trial.is_some()))
}

/// Sleeps until an interrupt: a device's, or the timer's at `deadline_ns` (of [`time::now_ns`]). Where `mwait` is used, a
/// write to `watched`, a word that lives for good, ends the sleep, too. `None`: the deadline has passed.
///
/// May return early; the caller looks again.
pub fn idle_until(deadline_ns: Option<u64>, watched: &'static AtomicUsize, policy: &Policy) -> Option<Rest> {
    if let Some(deadline_ns) = deadline_ns
        && !time::arm(deadline_ns)
    {
        return None;
    }
    let hint = SLEEP.with(|sleep| {
        if !sleep.is_ready {
            sleep.prepare(policy);
        }
        sleep.trial.map(|_| sleep.offer.hint(sleep.last_ns >= policy.deep_from_ns))
    });
    let was_armed = time::is_armed();
    shootdown::asleep();
    let start_ticks = cpu::ticks();
    match hint {
        // SAFETY: interrupt stubs change only what a call may change, and return with interrupts off.
        None => unsafe { window() },
        Some(hint) => by_mwait(watched, hint),
    }
    let end_ticks = cpu::ticks();
    shootdown::awake();
    let ns = time::duration_ns(end_ticks.saturating_sub(start_ticks));
    SLEEP.with(|sleep| {
        if let Some(governor) = &mut sleep.governor {
            let busy_ticks = start_ticks.saturating_sub(sleep.awake_since_ticks);
            speed::slept(governor, time::duration_ns(busy_ticks), ns, policy.preference);
            sleep.awake_since_ticks = end_ticks;
        }
        sleep.last_ns = ns;
    });
    Some(Rest { ns, by_mwait: hint.is_some(), by_timer: was_armed && !time::is_armed() })
}

/// The only place where ring 0 has interrupts on, but for the same by `mwait` (`attempt`). `sti` takes effect after the next
/// instruction, so an interrupt that is already pending ends the `hlt`, and none can fall between the caller's last look and
/// the halt. An NMI can, and lets interrupts in before the halt; so its handler steps over [`HALT`].
#[unsafe(naked)]
pub(super) unsafe extern "C" fn window() {
    naked_asm!("sti", "hlt", "cli", "ret")
}

/// Where the halt is, from the beginning of [`window`]: `sti` is one byte long, and so is `hlt`.
pub(super) const HALT: usize = 1;

#[inline(never)]
fn by_mwait(watched: &'static AtomicUsize, hint: u32) {
    let before = watched.load(Relaxed);
    // SAFETY: as for `window`; without the instruction there is no trial.
    let end = unsafe { attempt::mwait(core::ptr::from_ref(watched).cast(), hint) };
    let event = end == Mwait::Interrupted || watched.load(Relaxed) != before;
    SLEEP.with(|sleep| {
        let trial = sleep.trial.unwrap_or_default().saw(event);
        sleep.trial = (end != Mwait::Refused && !trial.has_failed()).then_some(trial);
    });
}

impl Sleep {
    /// What a core does before it first sleeps. So a machine that never sleeps is asked nothing.
    #[cold]
    #[inline(never)]
    fn prepare(&mut self, policy: &Policy) {
        stop_pit();
        self.is_ready = true;
        let idle = IDLE.load(Relaxed);
        self.offer = Offer { exists: cpu::cpuid(1)[2] & 1 << 3 != 0, states: cpu::cpuid(5)[3] };
        let is_wanted = if idle == Idle::Auto as u8 { self.offer.names_states() } else { idle == Idle::Mwait as u8 };
        self.trial = is_wanted.then(Trial::new);
        self.governor = speed::begin(policy.preference);
    }
}

/// Silences the PIT where there is one, before the first sleep. Nobody here listens to it, but firmware leaves it
/// ticking, and each tick wakes the VMM: mode 0 ends with one event that no count follows.
fn stop_pit() {
    static STOPPED: AtomicBool = AtomicBool::new(false);
    if !STOPPED.swap(true, Relaxed) {
        for (port, value) in [(0x43, 0x30), (0x40, 1), (0x40, 0)] {
            port::outb(port, value);
        }
    }
}

/// Switches the machine off: by ACPI where it says how, else by the keyboard controller's reset line
/// (Firecracker's way to end), else by an exception nobody can handle, which ends QEMU under `-no-reboot`.
#[cold]
pub fn off(boot: Option<&BootInfo>) -> ! {
    if boot.is_some_and(crate::acpi::power_off) {
        halt() // until the VMM has done it: whatever came after would be another wish
    }
    reset()
}

/// This core does nothing any more.
pub(super) fn halt() -> ! {
    loop {
        // SAFETY: touches nothing.
        unsafe { asm!("cli", "hlt", options(nomem, nostack)) };
    }
}

/// Ends the machine without asking anybody: by the keyboard controller's reset line, else by an exception that
/// nobody can handle.
pub fn reset() -> ! {
    port::outb(0x64, 0xfe);
    let no_table = [0u16; 5];
    // SAFETY: nothing runs after this; the next exception resets the machine.
    unsafe { asm!("lidt [{}]", "ud2", in(reg) &raw const no_table, options(noreturn)) };
}
