//! The clock never goes back and passes at its own rate, awake and idle; the time of day is the host's or unknown.
#![no_std]
#![no_main]

use toro::prelude::*;
use toro::thread;
use toro::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

toro::main!(main);

fn main() {
    let start = Instant::now();
    let mut last = start;
    for _ in 0..100_000 {
        let now = Instant::now();
        assert!(now >= last, "the clock went back");
        last = now;
    }
    assert!(last > start, "the clock stands still");
    for millis in [1, 10, 50] {
        let nap = Duration::from_millis(millis);
        let before = Instant::now();
        thread::sleep(nap);
        assert!(before.elapsed() >= nap, "a sleep of {nap:?} took {:?}", before.elapsed());
    }
    println!("monotonic");
    match SystemTime::now().map(|now| now.duration_since(UNIX_EPOCH)) {
        Ok(Ok(since)) => println!("epoch {}", since.as_secs()),
        Ok(Err(error)) => println!("{error}"),
        Err(unknown) => println!("{unknown}"),
    }
}
