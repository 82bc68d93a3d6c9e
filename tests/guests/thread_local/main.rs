//! Thread-local values: each thread's own, made at first use, dropped at its end, the last made first.
#![no_std]
#![no_main]

use core::cell::{Cell, RefCell};
use toro::prelude::*;
use toro::thread;

toro::main!(main);

struct Loud(&'static str);

impl Drop for Loud {
    fn drop(&mut self) {
        println!("{} drops {}, count {}", thread::current().name().unwrap_or("a thread"), self.0, COUNT.get());
    }
}

toro::thread_local! {
    static COUNT: Cell<u32> = const { Cell::new(0) };
    static WORDS: RefCell<Vec<u32>> = RefCell::new(vec![COUNT.get()]);
    static FIRST: Loud = Loud("first");
    static SECOND: Loud = Loud("second")
}

fn main() {
    COUNT.set(100);
    let threads: Vec<_> = (0..3)
        .map(|number| {
            thread::spawn(move || {
                COUNT.set(number);
                thread::yield_now();
                WORDS.with_borrow_mut(|words| words.push(number * 10));
                (COUNT.get(), WORDS.take())
            })
        })
        .collect();
    for thread in threads {
        println!("{:?}", thread.join().expect("the thread returns"));
    }
    let loud = || {
        FIRST.with(|_| SECOND.with(|_| COUNT.set(COUNT.get() + 1)));
    };
    thread::spawn(loud).join().expect("the thread returns");
    loud();
    println!("main ends");
}
