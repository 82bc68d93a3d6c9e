//! Recursion without end is caught at the guard page.
#![no_std]
#![no_main]

use core::hint::black_box;
use toro::prelude::*;
use toro::thread::Builder;

toro::main!(main);

fn main() {
    println!("recurse for ever");
    let deep = Builder::new().name("deep".to_string()).spawn(|| recurse(0));
    println!("not caught: {:?}", deep.map(|thread| thread.join()));
}

fn recurse(depth: u64) -> u64 {
    let frame = black_box([depth; 16]);
    if frame[0] == u64::MAX {
        return 0; // never, but the compiler cannot know
    }
    recurse(depth + 1) + frame[(depth % 16) as usize]
}
