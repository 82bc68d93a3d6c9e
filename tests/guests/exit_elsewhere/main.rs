//! The last core ends the program, while the others compute or wait for it.
#![no_std]
#![no_main]

use toro::prelude::*;
use toro::{process, thread};

toro::main!(main);

fn main() {
    let last = thread::cores().last().expect("a machine has a core");
    for core in thread::cores().filter(|core| *core != last && *core != thread::current_core()) {
        thread::spawn_on(core, || {
            loop {
                core::hint::spin_loop();
            }
        });
    }
    let end = thread::spawn_on(last, || {
        println!("bye");
        process::exit(7)
    });
    match end.join() {
        Ok(never) => never,
        Err(fault) => println!("{fault}"),
    }
}
