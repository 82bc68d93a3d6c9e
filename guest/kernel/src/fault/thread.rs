//! A fault that is its thread's: who that is, and how the thread ends while the others go on.
//!
//! Nothing unwinds. What the thread has on its stack is given up as it stands, and the thread goes on at the top of that stack
//! with its own end: it is told, once, if nobody catches it; what the kernel owns is given back; whoever joins gets the fault.

use super::value::Fault;
use super::{Kind, is_out_of_memory, report};
use crate::arch::{Frame, SpinLock, backtrace, depth, running};
use crate::sched::{self, FaultyEnd, Role};
use crate::{mm, start, sync};
use alloc::boxed::Box;
use alloc::string::String;
use core::any::Any;
use core::fmt::{self, Write};
use core::panic::PanicInfo;
use core::sync::atomic::Ordering::Relaxed;
use core::sync::atomic::{AtomicU8, AtomicU64};
use toro_abi::policy::Policy;

/// Beyond all policies: the command line's, which is looked for when it is first asked for.
static POLICY: AtomicU8 = AtomicU8::new(u8::MAX);
static FAULTS: AtomicU64 = AtomicU64::new(0);
static CAUGHT: AtomicU64 = AtomicU64::new(0);
static LOST_BYTES: AtomicU64 = AtomicU64::new(0);

/// What has come of faults so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Threads that ended by one.
    pub faults: u64,
    /// Those of them that were caught: nothing was reported.
    pub caught: u64,
    /// Bytes of the heap that these threads had allocated themselves and not freed.
    pub lost_bytes: u64,
}

/// What has come of faults so far, on all cores.
#[must_use]
pub fn stats() -> Stats {
    Stats { faults: FAULTS.load(Relaxed), caught: CAUGHT.load(Relaxed), lost_bytes: LOST_BYTES.load(Relaxed) }
}

/// Says what a fault comes to from now on that nobody catches.
pub fn set_policy(policy: Policy) {
    POLICY.store(policy as u8, Relaxed);
}

/// What a fault comes to that nobody catches.
#[must_use]
pub fn policy() -> Policy {
    let policy = POLICY.load(Relaxed);
    Policy::ALL.into_iter().find(|known| *known as u8 == policy).unwrap_or_else(|| {
        let policy = start::boot_info().map(|boot| boot.command_line().policy()).unwrap_or_default();
        set_policy(policy);
        policy
    })
}

/// Whether what goes wrong now is the running thread's doing: it runs, and the kernel is not at work for it.
pub(super) fn is_to_blame() -> bool {
    depth::get() == 0 && !sched::is_at_work() && !mm::is_at_work() && sched::is_running()
}

/// Whether the fault of the running thread, which is to blame, ends that thread and not the machine.
fn ends_thread_only() -> bool {
    if sync::is_inside_collective() {
        return false; // what all cores do together is done by all or by none
    }
    let role = sched::role();
    role == Role::Catch
        || match policy() {
            Policy::Exit => role == Role::Thread,
            Policy::Restart => true,
            Policy::ExitAny => false,
        }
}

/// Ends the running thread by an exception, if it is to blame and that is all that ends.
pub(super) fn exception(kind: Kind, frame: &Frame) {
    if kind.is_of_a_thread() && is_to_blame() && ends_thread_only() {
        depth::set(1);
        sched::abandon(Fault::of_exception(kind, frame), end_here)
    }
}

/// Ends the running thread by a panic, if it is to blame and that is all that ends.
pub(super) fn panic(info: &PanicInfo<'_>) {
    if !is_to_blame() || !ends_thread_only() {
        return;
    }
    let heap_bytes = running::heap_bytes();
    let mut message = Message(String::new());
    // What is printed is the program's, and may panic in its turn; or there is no memory for it.
    let panics = sched::count_panic();
    if panics < 2 && is_out_of_memory(info) {
        return;
    }
    if panics == 0 {
        if let Some(place) = info.location() {
            let _infallible = write!(message, "{place}: ");
        }
        let _infallible = write!(message, "{}", info.message());
    }
    depth::set(1);
    let fault = Fault::of_call(Kind::Panic, backtrace::frame_pointer(), heap_bytes).with_message(message.0);
    sched::abandon(fault, end_here)
}

struct Message(String);

impl Write for Message {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.0.push_str(text);
        Ok(())
    }
}

/// Ends the running thread by a value, which whoever catches it gets back by its type.
#[cold]
#[inline(never)]
pub fn raise<T: Any + Send>(value: T) -> ! {
    let heap_bytes = running::heap_bytes();
    let frame_pointer = backtrace::frame_pointer();
    depth::set(depth::get() + 1);
    let value = Box::new(value);
    end(Fault::of_call(Kind::Raised, frame_pointer, heap_bytes).with_value(value))
}

pub(super) fn raise_again(mut fault: Fault) -> ! {
    fault.set_heap_bytes(running::heap_bytes());
    depth::set(depth::get() + 1);
    end(fault)
}

/// Ends the running thread, or the machine, by a fault for which the kernel was entered.
fn end(fault: Fault) -> ! {
    if ends_thread_only() { sched::abandon(fault, end_here) } else { super::end_machine(&fault) }
}

/// What is done when a thread has ended by a fault, with its ticket.
static HOOK: SpinLock<fn(u64)> = SpinLock::new(|_| {});

/// From here on, when a thread has ended by a fault, `hook` is called with its ticket.
pub fn at_end_of_thread(hook: fn(u64)) {
    HOOK.with(|place| *place = hook);
}

/// The end of a thread, at the top of its stack.
extern "C" fn end_here() -> ! {
    let FaultyEnd { ticket, fault, role, is_told, lost_bytes } = FaultyEnd::begin();
    let is_caught = role == Role::Catch && !is_told;
    if !is_caught {
        report::of_thread(&fault);
    }
    if role == Role::Main && !is_told {
        start::restart_main();
    }
    HOOK.with(|hook| *hook)(ticket);
    FAULTS.fetch_add(1, Relaxed);
    CAUGHT.fetch_add(u64::from(is_caught), Relaxed);
    LOST_BYTES.fetch_add(u64::try_from(lost_bytes).unwrap_or(0), Relaxed);
    sched::exit_by(fault, is_told)
}
