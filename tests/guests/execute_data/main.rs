//! Tries to run bytes of a variable.
#![no_std]
#![no_main]
#![expect(unsafe_code, reason = "does what must be caught")]

use core::hint::black_box;
use core::sync::atomic::{AtomicU8, Ordering};
use toro::prelude::*;

toro::main!(main);

/// `ret`.
static CODE: AtomicU8 = AtomicU8::new(0);

fn main() {
    println!("execute data");
    CODE.store(0xc3, Ordering::Relaxed);
    // SAFETY: none; the test is that the processor catches it.
    let code: extern "C" fn() = unsafe { core::mem::transmute(black_box(CODE.as_ptr())) };
    code();
    println!("not caught");
}
