//! A large part of memory, taken and given back many times, is there each time.
#![no_std]
#![no_main]

use core::hint::black_box;
use toro::prelude::*;

toro::main!(main);

fn main() {
    for round in 0..50_u8 {
        let mut bytes: Vec<u8> = Vec::with_capacity(300 << 20);
        bytes.resize(3 << 20, round);
        assert!(black_box(&bytes).iter().all(|byte| *byte == round));
    }
    println!("50 times");
}
