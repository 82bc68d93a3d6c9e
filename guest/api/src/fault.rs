//! Faults: what the processor refuses, panics, and values that the program raises. A fault is an event in a thread, not the
//! end of the machine.
//!
//! ```no_run
//! # use toro::prelude::*;
//! # fn example() {
//! use toro::fault::{self, Kind, catch};
//!
//! match catch(|| 1000 / toro::random::below(10)) {
//!     Ok(quotient) => println!("{quotient}"),
//!     Err(fault) if fault.kind() == Kind::Panic => println!("{}", fault.message()), // attempt to divide by zero
//!     Err(fault) => fault.raise(),                                                 // not ours: whoever called may know
//! }
//!
//! struct Busy(u32);
//! let tried = catch(|| fault::raise(Busy(7)));
//! assert_eq!(tried.unwrap_err().value::<Busy>().map(|busy| busy.0), Some(7));
//! # }
//! ```
//!
//! # What is honest about it
//!
//! [`catch`] runs its closure as a thread, and what ends by a fault is that thread. **Nothing unwinds, and no destructor runs**:
//! the closure's frames are given up as they stand. That is why it takes and returns only what may go to another thread, and
//! why nothing of the caller's can be left half changed but what is shared on purpose.
//!
//! The kernel gives back what it owns:
//! * the stack;
//! * the thread's place in every queue: it can have none, for a thread that waits is in the kernel, where a fault is a defect;
//! * thread-local values, as far as their types have no destructor.
//!
//! What the frames owned on the heap is lost, and so are values of thread-local statics with a destructor. [`stats`] counts the
//! bytes: what the thread had allocated itself and not freed. Two things it cannot see: what the closure brought along, which
//! was allocated by somebody else, and what the thread had handed to others before.
//!
//! Other threads may wait for what the thread would have done: the message of a channel, the last one at a barrier. They wait on;
//! those who join it do not.
//!
//! # What is no event in a thread
//!
//! A fault inside the kernel's functions, the allocator among them, is a defect of the kernel, though the program's wild pointer
//! may have led there: nobody can say what state was left behind. It ends the machine with a report and status 103. So do a
//! double fault and, with status 102, broken hardware (a machine check), a non-maskable interrupt, and a stack that overflows
//! inside the kernel. Memory that has run out ends it with status 104.
//!
//! # When nobody catches it
//!
//! A fault in a thread of [`thread::spawn`](crate::thread::spawn) prints a report, ends that thread, and is what
//! [`join`](crate::thread::JoinHandle::join) returns. The others go on. In `main` it ends the machine with status 102, or 101
//! for a panic or a raised value, unless the [`Policy`] says otherwise.

use crate::thread::{Builder, Result};
use core::any::Any;

pub use toro_kernel::arch::cores::CoreId;
pub use toro_kernel::fault::{Access, Fault, Kind, Policy, Registers, Stats, image_base, policy, set_policy, stats};

/// Calls `f` and returns what it returns, or the fault by which it ended; nothing is printed then. See the
/// [module](self) for what a fault leaves behind.
///
/// `f` runs as a thread of its own on this core, named as the caller, on a stack of 64 KiB: thread-local values and
/// [`thread::current`](crate::thread::current) are that thread's. Others may run meanwhile. Calls may be nested, and a fault may be
/// [raised](Fault::raise) again for an outer one. [`Builder::catch`] chooses the stack, the core and the name.
///
/// # Errors
/// The fault.
///
/// # Panics
/// When there is no memory for a thread.
pub fn catch<F, T>(f: F) -> Result<T>
where
    F: FnOnce() -> T + Send + 'static,
    T: Send + 'static,
{
    Builder::new().catch(f).expect("no thread could be made")
}

/// Ends the running thread by `value`: whoever catches the fault, or joins the thread, gets it back by [`Fault::value`] or
/// [`Fault::downcast`]. What `value` has on the heap counts as lost, though it is not.
pub fn raise<T: Any + Send>(value: T) -> ! {
    toro_kernel::fault::raise(value)
}
