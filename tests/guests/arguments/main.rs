//! Prints its arguments and its environment.
#![no_std]
#![no_main]

use toro::env;
use toro::prelude::*;

toro::main!(main);

fn main() {
    for (number, argument) in env::args().enumerate() {
        println!("argument {number}: {argument:?}");
    }
    for (name, value) in env::vars() {
        println!("{name} is {value:?}");
    }
    println!("NOT_SET: {:?}", env::var("NOT_SET"));
}
