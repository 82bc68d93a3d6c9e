//! Tries to change a constant.
#![no_std]
#![no_main]
#![expect(unsafe_code, reason = "does what must be caught")]

use core::hint::black_box;
use toro::prelude::*;

toro::main!(main);

static CONSTANT: [u64; 4] = [1, 2, 3, 4];

fn main() {
    println!("write to a constant");
    let constant = black_box(CONSTANT.as_ptr().cast_mut());
    // SAFETY: none; the test is that the processor catches it.
    unsafe { constant.write_volatile(5) };
    println!("not caught: {}", black_box(&CONSTANT)[0]);
}
