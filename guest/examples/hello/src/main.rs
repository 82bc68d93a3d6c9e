//! The smallest application: one line of output, one exit status.
#![no_std]
#![no_main]

toro::main!(main);

fn main() {}
