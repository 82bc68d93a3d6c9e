//! Says what it finds of its machine.
#![no_std]
#![no_main]

use toro::prelude::*;
use toro::time::Instant;

toro::main!(main);

fn main() {
    let start = Instant::now();
    toro::thread::sleep(core::time::Duration::from_millis(1));
    assert!(start.elapsed().as_micros() >= 1000, "the timer rings early: {:?}", start.elapsed());
    println!("runs");
}
