//! The kernel's side reads, or runs, a page of a program as if it were its own: the processor refuses.
#![no_std]
#![no_main]
#![expect(unsafe_code, reason = "does what must not work")]

#[path = "../programs/mod.rs"]
mod programs;

use programs::{CODE, DATA, go, load, pages, program};
use toro::env;
use toro::prelude::*;
use toro::user::Event;

toro::main!(main);

program!(call: "syscall" "ret");

fn main() {
    let pages = pages();
    assert_eq!(go(&mut load(&pages, call())), Event::Syscall);
    println!("as a program it is all right");
    if env::args().nth(1).as_deref() == Some("run") {
        // SAFETY: none, this is the test: there is a function, but it is not the kernel's to run.
        let run: extern "C" fn() = unsafe { core::mem::transmute(CODE + 2) };
        run();
    } else {
        // SAFETY: as above.
        let value = unsafe { core::ptr::with_exposed_provenance::<u8>(DATA).read_volatile() };
        println!("{value}");
    }
    println!("nothing stopped it");
}
