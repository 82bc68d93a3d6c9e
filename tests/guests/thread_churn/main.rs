//! 20,000 threads, one after another and a hundred at a time: a machine that lost their stacks would run out of memory.
#![no_std]
#![no_main]

use toro::prelude::*;
use toro::thread::{self, Builder};

toro::main!(main);

fn main() {
    let mut sum = 0_u64;
    for number in 0..10_000 {
        sum += thread::spawn(move || number).join().expect("the thread returns");
    }
    for _ in 0..100 {
        let heap: Vec<_> = (0..100_u64)
            .map(|number| {
                let builder = Builder::new().stack_size(8 << 10 << (number % 3));
                builder.spawn(move || number).expect("there is memory for a thread")
            })
            .collect();
        sum += heap.into_iter().map(|thread| thread.join().expect("the thread returns")).sum::<u64>();
    }
    println!("{sum}");
}
