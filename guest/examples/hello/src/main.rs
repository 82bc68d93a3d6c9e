//! The smallest application: one line of output, one exit status.
#![no_std]
#![no_main]

use toro::prelude::*;

toro::main!(main);

fn main() {
    let name = toro::env::var("NAME").unwrap_or_else(|_| "world".to_string());
    println!("Hello, {name}, from Toro");
}
