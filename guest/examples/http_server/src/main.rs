//! A static site and a JSON endpoint over HTTP/1.1.
#![no_std]
#![no_main]

toro::main!(main);

fn main() {}
