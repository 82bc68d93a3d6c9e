//! The first core ends the machine while the others print and allocate without end.
#![no_std]
#![no_main]

use core::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use toro::prelude::*;
use toro::{process, thread};

toro::main!(main);

static BUSY: AtomicUsize = AtomicUsize::new(0);

fn main() {
    for core in thread::cores().filter(|core| *core != thread::current_core()) {
        drop(thread::spawn_on(core, || {
            for number in 0.. {
                println!("{}", vec![number; 3].len());
                if number == 2 {
                    BUSY.fetch_add(1, SeqCst);
                }
            }
        }));
    }
    while BUSY.load(SeqCst) + 1 < thread::cores().len() {
        thread::yield_now();
    }
    process::exit(7);
}
