//! Tries to change a constant that holds an address, so that boot had to write it once.
#![no_std]
#![no_main]
#![expect(unsafe_code, reason = "does what must be caught")]

use core::hint::black_box;
use toro::prelude::*;

toro::main!(main);

static TABLE: [fn(); 2] = [main, main];

fn main() {
    println!("write to a table of functions");
    let table = black_box(TABLE.as_ptr().cast_mut().cast::<usize>());
    // SAFETY: none; the test is that the processor catches it.
    unsafe { table.write_volatile(0) };
    println!("not caught: {}", black_box(&TABLE).len());
}
