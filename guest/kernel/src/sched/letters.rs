//! What cores say to each other: letters, and the interrupts that tell a sleeping core of them.
//!
//! A core takes its letters at each look for work and before it sleeps. Letters cannot run out of room: each is a part of
//! what its sender owns (a waiting thread's stack, a boxed closure), linked into the mailbox without allocating.

#![expect(unsafe_code, reason = "letters are linked by pointers until they are delivered")]

use super::CORE;
use crate::arch::cores::{CORES_MAX, CoreId, current};
use crate::arch::counters::{self, Counter};
use crate::arch::{depth, interrupt};
use alloc::boxed::Box;
use core::ptr::NonNull;
use core::sync::atomic::Ordering::SeqCst;
use core::sync::atomic::{AtomicUsize, fence};
use toro_mailbox::{Mailbox, Node, Waiter, Wakes};

/// A core's, in a cache line of its own: others write to it, and a core may watch it while it sleeps.
#[repr(align(64))]
struct Place(Mailbox);

static PLACES: [Place; CORES_MAX] = [const { Place(Mailbox::new()) }; CORES_MAX];

fn mailbox(core: CoreId) -> &'static Mailbox {
    &PLACES[core.index()].0
}

fn here() -> &'static Mailbox {
    mailbox(current())
}

/// Whether letters wait for this core.
#[inline]
pub(super) fn have_come() -> bool {
    here().has_letters()
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
    mailbox(core).take().deliver();
}

/// What a core watches that sleeps until it has letters.
pub(super) fn watched() -> &'static AtomicUsize {
    here().word()
}

/// Says that this core wants to be interrupted, as one that sleeps. `false`: there are letters.
pub(super) fn listen() -> bool {
    here().try_sleep()
}

/// Posts a letter, and interrupts its core if that sleeps.
///
/// # Safety
/// As for [`Mailbox::post`].
pub(super) unsafe fn post(core: CoreId, letter: NonNull<Node>) {
    // SAFETY: by this function's contract.
    if unsafe { mailbox(core).post(letter) } {
        interrupt(core);
    }
}

/// Says to `core` that something for it lies where one of its pollers looks.
pub fn ring(core: CoreId) {
    if mailbox(core).ring() {
        interrupt(core);
    }
}

/// Whether `core` sleeps: what it looks at when it wakes, it will see as it is now.
#[must_use]
pub fn is_asleep(core: CoreId) -> bool {
    mailbox(core).is_asleep()
}

fn interrupt(core: CoreId) {
    counters::add_for(core, Counter::WokenByCores);
    interrupt::wake(core);
}

/// Runs `call` on `core`, at its next look for work: `call` must be short, and must not wait.
///
/// A fault inside is a defect of the kernel, and ends the machine with a report.
pub fn call_on(core: CoreId, call: Box<dyn FnOnce() + Send>) {
    let _kernel = depth::enter();
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
    let count = here().take().deliver() as u64;
    counters::add(Counter::Letters, count);
}
