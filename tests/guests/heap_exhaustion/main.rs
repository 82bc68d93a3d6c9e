//! Allocates until there is no memory: status 104.
#![no_std]
#![no_main]

use toro::prelude::*;

toro::main!(main);

fn main() {
    let mut hoard = Vec::new();
    loop {
        hoard.push(vec![1_u8; 64 << 10]);
    }
}
