//! Tries to read the first page, which is never mapped.
#![no_std]
#![no_main]
#![expect(unsafe_code, reason = "does what must be caught")]

use core::hint::black_box;
use toro::prelude::*;

toro::main!(main);

fn main() {
    println!("read address 8");
    let null: *const u64 = core::ptr::without_provenance(black_box(8));
    // SAFETY: none; the test is that the processor catches it.
    println!("not caught: {}", unsafe { null.read_volatile() });
}
