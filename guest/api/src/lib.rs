//! The library a Toro application is written with, shaped after `std`.
//!
//! An application is a `no_std` crate that is linked with the kernel into one image, which a VM runs. It has threads,
//! TCP and UDP, time, randomness, arguments, standard input and output, and the collections of `alloc`:
//!
//! ```no_run
//! #![no_std]
//! #![no_main]
//!
//! use toro::prelude::*;
//!
//! toro::main!(main);
//!
//! fn main() -> Result<(), String> {
//!     let answer = toro::thread::spawn(|| 6 * 7).join().map_err(|fault| fault.to_string())?;
//!     println!("Hello from Toro: {answer}");
//!     Ok(())
//! }
//! ```
//!
//! What differs from `std`:
//! * Threads are **cooperative**: a thread runs until it waits for something, sleeps, yields or ends. A loop that computes
//!   for long should call [`thread::yield_now`] now and then, or nobody else runs.
//! * There are no processes, no files and no users.
//! * A panic or a fault ends its thread, and nothing unwinds: no destructor runs. See [`fault`](mod@fault), which can catch it.
//! * [`time::SystemTime::now`] can fail: not every machine knows what time it is.
//!
//! The examples in this documentation are type-checked by `cargo test --doc` (they need a VM to run); what runs is in
//! `guest/examples` and `tests/guests`.
#![no_std]
#![doc(test(attr(no_std, no_main, expect(unused, reason = "examples show what exists"))))]

extern crate alloc;

mod app;
pub mod boot;
pub mod collections;
pub mod env;
pub mod fault;
pub mod io;
pub mod memory;
pub mod net;
pub mod power;
pub mod prelude;
pub mod process;
pub mod random;
pub mod sync;
pub mod thread;
pub mod time;
pub mod user;

/// What this library's macros need wherever they are used.
#[doc(hidden)]
pub mod __private {
    pub use crate::app::run;
    pub use core::format_args;
}
