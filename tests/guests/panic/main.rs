//! Panics in a named thread while `main` waits for it: status 101, and the report names both.
#![no_std]
#![no_main]

use toro::prelude::*;
use toro::thread::Builder;

toro::main!(main);

fn main() {
    let unlucky = Builder::new().name("unlucky".to_string()).spawn(|| panic!("number {}", 13));
    println!("{:?}", unlucky.map(|thread| thread.join()));
}
