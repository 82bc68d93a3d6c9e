//! A thread on the last core reads address 8, while the others are busy.
#![no_std]
#![no_main]
#![expect(unsafe_code, reason = "does what must be caught")]

use core::hint::black_box;
use toro::prelude::*;
use toro::thread;

toro::main!(main);

fn main() {
    let last = thread::cores().last().expect("a machine has a core");
    for core in thread::cores().filter(|core| *core != last && *core != thread::current_core()) {
        // Never gives way: only an interrupt that cannot be masked stops it.
        thread::spawn_on(core, || {
            loop {
                core::hint::spin_loop();
            }
        });
    }
    let bad = thread::Builder::new().name("bad".to_string()).core(last).spawn(|| {
        let null: *const u64 = core::ptr::without_provenance(black_box(8));
        // SAFETY: none; the test is that the processor catches it.
        println!("not caught: {}", unsafe { null.read_volatile() });
    });
    println!("ended: {:?}", bad.expect("a thread").join());
}
