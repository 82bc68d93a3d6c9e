//! 1,000 threads at once, each on a small stack of its own, all waiting for all.
#![no_std]
#![no_main]

use toro::prelude::*;
use toro::sync::{Arc, Barrier, Mutex};
use toro::thread::Builder;

toro::main!(main);

const THREADS: usize = 1000;

fn main() {
    let barrier = Arc::new(Barrier::new(THREADS));
    let arrived = Arc::new(Mutex::new(0));
    let threads: Vec<_> = (0..THREADS)
        .map(|number| {
            let (barrier, arrived) = (Arc::clone(&barrier), Arc::clone(&arrived));
            let body = move || {
                let mark = number; // lives on this thread's stack while all the others write theirs
                *arrived.lock() += 1;
                let leader = barrier.wait().is_leader();
                assert_eq!(*arrived.lock(), THREADS, "passed before all had come");
                (core::hint::black_box(&mark) == &number, leader)
            };
            Builder::new().stack_size(8 << 10).spawn(body).expect("there is memory for a thread")
        })
        .collect();
    let ends: Vec<_> = threads.into_iter().map(|thread| thread.join().expect("the thread returns")).collect();
    assert!(ends.iter().all(|end| end.0));
    println!("{} threads, {} leader", ends.len(), ends.iter().filter(|end| end.1).count());
}
