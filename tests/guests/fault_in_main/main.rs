//! The exception that the first argument names, in `main`; with a second one `any` in a thread that is told to end the machine, with
//! `kernel` where the kernel is at work. `double` is a double fault, and `spin` waits for what comes from outside.
#![no_std]
#![no_main]
#![expect(unsafe_code, reason = "instructions that the processor refuses")]

#[path = "../exceptions/double.rs"]
mod double;
#[path = "../exceptions/mod.rs"]
mod exceptions;

use toro::fault::{Policy, set_policy};
use toro::prelude::*;
use toro::thread;

toro::main!(main);

fn spin() {
    loop {
        core::hint::spin_loop();
    }
}

fn main() {
    let arguments: Vec<String> = toro::env::args().collect();
    let others: [(&str, fn()); 2] = [("double", double::raise), ("spin", spin)];
    let all = exceptions::ALL.into_iter().map(|(name, raise, _)| (name, raise)).chain(others);
    let (name, raise) = all.into_iter().find(|(name, _)| *name == arguments[1]).expect("its name");
    println!("{name}");
    match arguments.get(2).map(String::as_str) {
        Some("any") => {
            set_policy(Policy::ExitAny);
            drop(thread::spawn(raise).join());
        }
        Some(_) => {
            let _kernel = toro_kernel::arch::depth::enter();
            raise();
        }
        None => raise(),
    }
    println!("not caught");
}
