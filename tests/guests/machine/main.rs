//! Runs a thread on each core of its machine, which sleeps there, and says how many there are.
#![no_std]
#![no_main]

use core::time::Duration;
use toro::prelude::*;
use toro::thread;
use toro::time::Instant;

toro::main!(main);

fn main() {
    let sleep = || {
        let start = Instant::now();
        thread::sleep(Duration::from_millis(1));
        assert!(start.elapsed() >= Duration::from_millis(1), "the timer rings early: {:?}", start.elapsed());
        thread::current_core()
    };
    let threads: Vec<_> = thread::cores().map(|core| thread::spawn_on(core, sleep)).collect();
    for (core, thread) in thread::cores().zip(threads) {
        assert_eq!(thread.join(), Ok(core));
    }
    println!("{} cores run", thread::cores().len());
}
