//! Recursion without end whose deepest frame is always inside the console.
#![no_std]
#![no_main]

use core::hint::black_box;
use toro::prelude::*;

toro::main!(main);

#[expect(unconditional_recursion, reason = "the stack is to be filled")]
fn deeper(level: u64) -> u64 {
    println!("{level}");
    black_box(deeper(black_box(level + 1))) + 1
}

fn main() {
    println!("{}", deeper(0));
}
