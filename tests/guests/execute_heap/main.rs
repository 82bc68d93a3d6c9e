//! Tries to run bytes on the heap.
#![no_std]
#![no_main]
#![expect(unsafe_code, reason = "does what must be caught")]

use core::hint::black_box;
use toro::prelude::*;

toro::main!(main);

fn main() {
    println!("execute the heap");
    let code = black_box(vec![0xc3_u8; 16]); // ret
    // SAFETY: none; the test is that the processor catches it.
    let code: extern "C" fn() = unsafe { core::mem::transmute(black_box(code.as_ptr())) };
    code();
    println!("not caught");
}
