//! Tries to write just below a thread's stack.
#![no_std]
#![no_main]
#![expect(unsafe_code, reason = "does what must be caught")]

use core::hint::black_box;
use toro::prelude::*;
use toro::thread::Builder;

toro::main!(main);

const STACK_BYTES: usize = 16 << 10;

fn main() {
    println!("write below the stack");
    let reach = Builder::new().stack_size(STACK_BYTES).spawn(|| {
        let here = 0_u8;
        // `here` is in the stack's highest page, so this is in the page below its lowest.
        let below = black_box(&raw const here).cast_mut().wrapping_sub(STACK_BYTES);
        // SAFETY: none; the test is that the processor catches it.
        unsafe { below.write_volatile(1) };
    });
    println!("not caught: {:?}", reach.map(|thread| thread.join()));
}
