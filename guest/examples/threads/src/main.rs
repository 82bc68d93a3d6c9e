//! Threads, a channel, a mutex and a sleep.
#![no_std]
#![no_main]

toro::main!(main);

fn main() {}
