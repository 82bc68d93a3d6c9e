//! Programs in ring 3: one for the machine, of as many threads as wanted.
//!
//! ```no_run
//! # use toro::prelude::*;
//! # fn example() -> Result<(), Box<dyn core::error::Error>> {
//! use toro::user::{Context, Event, Pages, Rights, run};
//!
//! let pages = Pages::take()?.ok_or("somebody has the lower half")?;
//! let program = [0x0f, 0x05]; // syscall
//! pages.map_filled(0x40_0000, 0, &program, Rights::ReadExecute)?;
//! let mut context = Context::new(&pages, 0x40_0000, 0)?;
//! context.registers_mut().rax = 1;
//! assert_eq!(run(&mut context), Event::Syscall);
//! assert_eq!((context.registers().rax, context.registers().rip), (1, 0x40_0002));
//! # Ok(())
//! # }
//! ```
//!
//! [`Pages`] is the lower half of the address space, where a program has its memory; [`Context`] is what one of its threads
//! has in registers. [`run`] lets it go on until it calls, faults or is interrupted, and is the only way in and out. The thread
//! that called may do anything in between, wait for the network among others.
//!
//! Nothing of a program is trusted: its registers may have any value, its memory is reached by [`Pages::read`] and
//! [`Pages::write`] alone, and whatever it does is an [`Event`].

pub use toro_kernel::fault::{Access, Crash, ThreadState, report};
pub use toro_kernel::user::{
    CLOCK_CODE_OFFSET, ClockCode, Context, END, Event, Fault, Leaf, MapError, NotAnAddress, Pages, Processor,
    Registers, Rights, START, SharedFrame, Snapshot, clock_code, clock_page, others_are_ready, processor, run,
    run_unless, state_bytes, state_components,
};

use core::time::Duration;

/// Lets the clock interrupt the program that this core runs next, when this time has passed, or before. Called when another
/// thread waits for the core: see [`others_are_ready`].
pub fn interrupt_after(time: Duration) {
    toro_kernel::user::interrupt_program_after(u64::try_from(time.as_nanos()).unwrap_or(u64::MAX));
}
