//! No wake-up is lost on the way to idle: threads sleep, wake each other and time out for as many rounds as fit a second,
//! and all must come home. A lost one hangs the guest.
#![no_std]
#![no_main]

use toro::prelude::*;
use toro::sync::{Arc, Condvar, Mutex, mpsc};
use toro::time::{Duration, Instant};
use toro::{random, thread};

toro::main!(main);

const PAIRS: u64 = 8;
const RUNS_FOR: Duration = Duration::from_secs(1);

fn main() {
    let end = Instant::now() + RUNS_FOR;
    let (sender, receiver) = mpsc::channel();
    for _ in 0..PAIRS {
        let shared = Arc::new((Mutex::new(0_u64), Condvar::new()));
        let other = Arc::clone(&shared);
        let sender = sender.clone();
        thread::spawn(move || {
            while Instant::now() < end {
                thread::sleep(Duration::from_micros(random::below(300)));
                *other.0.lock() += 1;
                other.1.notify_one();
            }
            *other.0.lock() = u64::MAX;
            other.1.notify_one();
        });
        thread::spawn(move || {
            let (mut wakes, mut seen) = (0_u64, 0);
            while seen != u64::MAX {
                let limit = Duration::from_micros(random::below(300));
                let waited = shared.1.wait_timeout_while(shared.0.lock(), limit, |value| *value == seen);
                seen = *waited.0;
                wakes += 1;
            }
            sender.send(wakes)
        });
    }
    drop(sender);
    let wakes: Vec<_> = receiver.iter().collect();
    assert!(wakes.iter().all(|&wakes| wakes > 10), "hardly any rounds: {wakes:?}");
    println!("{} pairs came home", wakes.len());
}
