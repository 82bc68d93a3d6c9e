//! The processor's counter goes back, on one core after the other: no thread sees the clock go back, cores agree, and sleeps
//! are as long as they are to be.
#![no_std]
#![no_main]

use toro::prelude::*;
use toro::sync::{Arc, Barrier, mpsc};
use toro::thread;
use toro::time::{Duration, Instant};
use toro_kernel::arch::time::pretend_jump;

toro::main!(main);

/// A second or more, on any processor.
const TICKS: u64 = 1 << 33;
const NAP: Duration = Duration::from_millis(20);

fn main() {
    let (sender, receiver) = mpsc::channel();
    let turn_ends = Arc::new(Barrier::new(thread::cores().count()));
    for core in thread::cores() {
        let sender = sender.clone();
        let turn_ends = Arc::clone(&turn_ends);
        thread::spawn_on(core, move || {
            for ticks in [1_000, TICKS, 1_000_000] {
                let before = Instant::now();
                let mut last = before;
                thread::sleep(NAP); // the timer was set by the counter that there was
                // One core after the other, this program's `main` last: a jump costs the time until it is noticed, which is
                // longest for the first, and only then are the clocks not as far apart as the jump.
                for jumps in thread::cores().collect::<Vec<_>>().into_iter().rev() {
                    if jumps == core {
                        pretend_jump(ticks);
                        for _ in 0..1000 {
                            let now = Instant::now();
                            assert!(now >= last, "the clock went back on core {core}");
                            last = now;
                        }
                    }
                    turn_ends.wait();
                }
                thread::sleep(NAP);
                let took = before.elapsed();
                assert!(took >= NAP, "two naps took {took:?}");
                assert!(took < Duration::from_secs(60), "two naps took {took:?}");
                // Whoever hears of a moment from another core is never before it.
                sender.send(Instant::now()).expect("somebody listens");
            }
        });
    }
    drop(sender);
    let mut count = 0;
    for moment in receiver {
        let now = Instant::now();
        assert!(now >= moment, "a message came {:?} before it was sent", moment.duration_since(now));
        count += 1;
    }
    println!("{count} jumps");
}
