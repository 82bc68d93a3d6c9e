//! Sleepers wake in order of their deadlines, not before them, and equal ones in the order they came.
#![no_std]
#![no_main]

use toro::prelude::*;
use toro::sync::mpsc;
use toro::thread;
use toro::time::{Duration, Instant};

toro::main!(main);

fn main() {
    let (sender, receiver) = mpsc::channel();
    let start = Instant::now();
    for number in [5_u32, 1, 4, 2, 3, 0] {
        let sender = sender.clone();
        thread::spawn(move || {
            let deadline = start + Duration::from_millis(30) + Duration::from_millis(5) * number;
            thread::sleep_until(deadline);
            assert!(Instant::now() >= deadline, "woken too early");
            sender.send(number)
        });
    }
    drop(sender);
    println!("{:?}", receiver.iter().collect::<Vec<_>>());

    let (sender, receiver) = mpsc::channel();
    let deadline = Instant::now() + Duration::from_millis(20);
    for name in ['a', 'b', 'c', 'd'] {
        let sender = sender.clone();
        thread::spawn(move || {
            thread::sleep_until(deadline);
            sender.send(name)
        });
    }
    drop(sender);
    println!("{}", receiver.iter().collect::<String>());

    thread::sleep(Duration::ZERO);
    thread::sleep_until(start); // long ago
    println!("{} s", start.elapsed().as_secs());
}
