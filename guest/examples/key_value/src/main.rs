//! A hash table behind HTTP: GET, PUT and DELETE of /key.
#![no_std]
#![no_main]

toro::main!(main);

fn main() {}
