//! `main` returns an error: a line on stderr, status 1.
#![no_std]
#![no_main]

toro::main!(main);

fn main() -> Result<(), &'static str> {
    Err("no luck")
}
