//! Cores make and give back more stacks than are kept, at each other, while the last one computes and never gives way.
#![no_std]
#![no_main]

use core::hint::black_box;
use core::sync::atomic::{AtomicBool, Ordering::Relaxed};
use toro::prelude::*;
use toro::thread::{self, Builder};

toro::main!(main);

static DONE: AtomicBool = AtomicBool::new(false);

const ROUNDS: usize = 4;
const THREADS: usize = 100;
const STACK_BYTES: usize = 64 << 10;

fn main() {
    let count = thread::cores().len();
    let last = thread::cores().last().expect("a machine has a core");
    let busy = (count > 2).then(|| thread::spawn_on(last, compute));
    let churning = if busy.is_some() { count - 1 } else { count };
    let churns: Vec<_> = thread::cores().take(churning).map(|core| thread::spawn_on(core, churn)).collect();
    let stacks: usize = churns.into_iter().map(|churn| churn.join().expect("it ends")).sum();
    DONE.store(true, Relaxed);
    if let Some(busy) = busy {
        busy.join().expect("it ends");
    }
    println!("{stacks} stacks on {churning} of {count} cores");
}

fn compute() {
    while !DONE.load(Relaxed) {
        core::hint::spin_loop();
    }
}

fn churn() -> usize {
    for round in 0..ROUNDS {
        let threads: Vec<_> = (0..THREADS)
            .map(|number| {
                let mark = (round * THREADS + number) as u8;
                Builder::new().stack_size(STACK_BYTES).spawn(move || {
                    let bytes = black_box([mark; STACK_BYTES / 2]);
                    thread::yield_now();
                    assert!(black_box(&bytes).iter().all(|byte| *byte == mark), "somebody wrote on this stack");
                })
            })
            .collect();
        for thread in threads {
            thread.expect("a thread").join().expect("it ends");
        }
    }
    ROUNDS * THREADS
}
