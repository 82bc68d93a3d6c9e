//! Says what time it is, by both clocks, whenever a line of input asks; and sleeps meanwhile, in steps of a second.
#![no_std]
#![no_main]

use toro::io::BufRead;
use toro::prelude::*;
use toro::thread;
use toro::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

toro::main!(main);

fn main() {
    let start = Instant::now();
    let of_day = || match SystemTime::now().map(|now| now.duration_since(UNIX_EPOCH)) {
        Ok(Ok(since)) => format!("{}", since.as_millis()),
        _ => "unknown".to_owned(),
    };
    println!("clock {} {}", start.elapsed().as_millis(), of_day());
    thread::spawn(move || {
        for step in 1_u32.. {
            thread::sleep_until(start + Duration::from_secs(step.into()));
            println!("step {step} {} {}", start.elapsed().as_millis(), of_day());
        }
    });
    for line in toro::io::stdin().lock().lines() {
        let line = line.expect("the console works");
        println!("clock {} {} {}", start.elapsed().as_millis(), of_day(), line.trim());
    }
    thread::park(); // nobody can ask, and the steps go on
}
