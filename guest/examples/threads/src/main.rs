//! Threads that share a counter, send messages, and sleep.
#![no_std]
#![no_main]

use toro::prelude::*;
use toro::sync::{Mutex, mpsc};
use toro::thread;
use toro::time::{Duration, Instant};

toro::main!(main);

static SLEPT: Mutex<Duration> = Mutex::new(Duration::ZERO);

fn main() -> Result<(), toro::fault::Fault> {
    let start = Instant::now();
    let (sender, receiver) = mpsc::channel();
    let workers: Vec<_> = (1..=3_u32)
        .map(|number| {
            let sender = sender.clone();
            thread::spawn(move || {
                let nap = Duration::from_millis(10) * (4 - number); // the last wakes first
                thread::sleep(nap);
                *SLEPT.lock() += nap;
                sender.send(format!("worker {number} slept {nap:?}")).is_ok()
            })
        })
        .collect();

    drop(sender); // the loop below ends when the last worker's sender is gone
    for message in receiver {
        println!("{message}");
    }
    for worker in workers {
        worker.join()?;
    }
    let slept = *SLEPT.lock();
    println!("{slept:?} of sleep took {:?}", start.elapsed());
    Ok(())
}
