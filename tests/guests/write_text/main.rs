//! Tries to change its own code.
#![no_std]
#![no_main]
#![expect(unsafe_code, reason = "does what must be caught")]

use core::hint::black_box;
use toro::prelude::*;

toro::main!(main);

fn main() {
    println!("write to code");
    let code = black_box(main as fn() as *mut u8);
    // SAFETY: none; the test is that the processor catches it.
    unsafe { code.write_volatile(0xcc) };
    println!("not caught");
}
