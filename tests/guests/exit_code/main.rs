//! Ends with the status it is told, by returning or by `exit` from a thread; without an argument, 42.
#![no_std]
#![no_main]

use toro::prelude::*;
use toro::process::{self, ExitCode};
use toro::{env, thread};

toro::main!(main);

fn main() -> ExitCode {
    println!("hello from ring 0");
    let mut arguments = env::args().skip(1);
    let status = arguments.next().and_then(|text| text.parse().ok()).unwrap_or(42_u8);
    if arguments.next().is_some() {
        thread::spawn(move || process::exit(status.into()));
        thread::park();
    }
    ExitCode::from(status)
}
