//! What cores say to each other: letters, and the interrupts that tell a sleeping core of them.
//!
//! A core takes its letters at each look for work and before it sleeps. Letters cannot run out of room: each is a part of
//! what its sender owns (a waiting thread's stack, a boxed closure), linked into the mailbox without allocating.

#![expect(unsafe_code, reason = "letters are linked by pointers until they are delivered")]

use super::CORE;
use crate::arch::cores::{CORES_MAX, CoreId, current};
use crate::arch::interrupt;
use alloc::boxed::Box;
use core::ptr::NonNull;
use core::sync::atomic::Ordering::{Relaxed, SeqCst};
use core::sync::atomic::{AtomicU64, fence};
use toro_mailbox::{Mailbox, Node, Waiter, Wakes};

/// What others may touch of a core, in a cache line of its own.
#[repr(align(64))]
struct Public {
    mailbox: Mailbox,
    /// Interrupts that were sent to end a sleep.
    interrupts: AtomicU64,
    /// How often it slept, and how many letters it took: written by itself.
    sleeps: AtomicU64,
    letters: AtomicU64,
}

static CORES: [Public; CORES_MAX] = [const {
    Public {
        mailbox: Mailbox::new(),
        interrupts: AtomicU64::new(0),
        sleeps: AtomicU64::new(0),
        letters: AtomicU64::new(0),
    }
}; CORES_MAX];

/// What a core has done so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CoreStatistics {
    /// Whether it sleeps now, or is about to.
    pub asleep: bool,
    /// How often it went to sleep because nothing was to be done.
    pub sleeps: u64,
    /// How often another core's interrupt ended its sleep.
    pub interrupts: u64,
    /// How many letters it got: wake-ups, new threads and calls from other cores.
    pub letters: u64,
}

/// What `core` has done so far, as seen from here.
#[must_use]
pub fn statistics(core: CoreId) -> CoreStatistics {
    let public = &CORES[core.index()];
    CoreStatistics {
        asleep: public.mailbox.is_asleep(),
        sleeps: public.sleeps.load(Relaxed),
        interrupts: public.interrupts.load(Relaxed),
        letters: public.letters.load(Relaxed),
    }
}

fn here() -> &'static Public {
    &CORES[current().index()]
}

/// Whether letters wait for this core.
#[inline]
pub(super) fn have_come() -> bool {
    here().mailbox.has_letters()
}

/// Delivers the letters that have come: makes threads ready, takes over new ones, runs calls.
pub(super) fn serve() {
    // Whoever listens counts as asleep, until now.
    let listened = CORE.with(|core| core::mem::take(&mut core.listens_until_ns)) != 0;
    if listened || have_come() {
        take();
    }
}

/// Delivers here what was meant for a core that will never come: threads begin on this core instead.
pub fn take_over(core: CoreId) {
    fence(SeqCst); // who posts after this has seen that the core was given up, and comes here, too
    CORES[core.index()].mailbox.take().deliver();
}

/// Counts that this core sleeps.
pub(super) fn count_sleep() {
    let sleeps = &here().sleeps;
    sleeps.store(sleeps.load(Relaxed) + 1, Relaxed);
}

/// Says that this core wants to be interrupted, as one that sleeps. `false`: there are letters.
pub(super) fn listen() -> bool {
    here().mailbox.try_sleep()
}

/// Posts a letter, and interrupts its core if that sleeps.
///
/// # Safety
/// As for [`Mailbox::post`].
pub(super) unsafe fn post(core: CoreId, letter: NonNull<Node>) {
    // SAFETY: by this function's contract.
    if unsafe { CORES[core.index()].mailbox.post(letter) } {
        interrupt(core);
    }
}

/// Says to `core` that something for it lies where one of its pollers looks.
pub fn ring(core: CoreId) {
    if CORES[core.index()].mailbox.ring() {
        interrupt(core);
    }
}

/// Whether `core` sleeps: what it looks at when it wakes, it will see as it is now.
#[must_use]
pub fn is_asleep(core: CoreId) -> bool {
    CORES[core.index()].mailbox.is_asleep()
}

fn interrupt(core: CoreId) {
    CORES[core.index()].interrupts.fetch_add(1, Relaxed);
    interrupt::wake(core);
}

/// Runs `call` on `core`, at its next look for work: `call` must be short, and must not wait.
///
/// A fault inside is a defect of the kernel, and ends the machine with a report.
pub fn call_on(core: CoreId, call: Box<dyn FnOnce() + Send>) {
    let letter = Box::into_raw(Box::new(Call { letter: Node::new(run_call), call }));
    // SAFETY: the box is `run_call`'s from here on.
    unsafe { post(core, NonNull::new_unchecked(letter).cast()) };
}

#[repr(C)]
struct Call {
    letter: Node,
    call: Box<dyn FnOnce() + Send>,
}

/// # Safety
/// The letter is a [`Call`]'s, whose box this function takes.
unsafe fn run_call(letter: NonNull<Node>) {
    // SAFETY: by this function's contract.
    let call = unsafe { Box::from_raw(letter.cast::<Call>().as_ptr()) };
    (call.call)();
}

/// Wakes threads that were taken off their list, wherever they live.
#[inline]
pub(super) fn wake(mut wakes: Wakes) {
    while let Some(waiter) = wakes.take() {
        // SAFETY: a waiter that was taken off its list stays until its thread has been resumed.
        let (core, thread) = unsafe { (waiter.as_ref().core(), waiter.as_ref().thread()) };
        if core == current().index() as u32 {
            CORE.with(|core| core.threads.resume(thread));
        } else {
            let core = CoreId::new(core as usize).expect("a waiter names a core");
            // SAFETY: as above.
            unsafe { post(core, Waiter::letter(waiter)) };
        }
    }
}

/// A waiter for the running thread.
pub(super) fn waiter() -> Waiter {
    Waiter::new(current().index() as u32, CORE.with(|core| core.threads.here()), arrive)
}

/// # Safety
/// The letter is a [`Waiter`]'s, of a thread of this core.
unsafe fn arrive(letter: NonNull<Node>) {
    // SAFETY: by this function's contract; the waiter stays until its thread runs.
    let thread = unsafe { letter.cast::<Waiter>().as_ref() }.thread();
    CORE.with(|core| core.threads.resume(thread));
}

/// Takes and delivers what has come; from here on this core is awake.
pub(super) fn take() {
    let here = here();
    let count = here.mailbox.take().deliver() as u64;
    here.letters.store(here.letters.load(Relaxed) + count, Relaxed);
}
