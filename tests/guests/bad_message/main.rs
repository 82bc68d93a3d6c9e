//! A panic whose message panics in its turn.
#![no_std]
#![no_main]

use core::fmt;
use toro::prelude::*;

toro::main!(main);

struct Unprintable;

impl fmt::Display for Unprintable {
    fn fmt(&self, _: &mut fmt::Formatter<'_>) -> fmt::Result {
        panic!("no words for this")
    }
}

fn main() {
    println!("before");
    panic!("{}", Unprintable);
}
