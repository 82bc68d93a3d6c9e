//! Park and unpark: a permit given before counts, once; a time-out ends a park; a dead thread is left in peace.
#![no_std]
#![no_main]

use toro::prelude::*;
use toro::thread;
use toro::time::{Duration, Instant};

toro::main!(main);

fn main() {
    let me = thread::current();
    me.unpark();
    me.unpark();
    thread::park();
    let (start, limit) = (Instant::now(), Duration::from_millis(10));
    thread::park_timeout(limit);
    assert!(start.elapsed() >= limit, "the second permit should not be there");

    let waker = thread::spawn(move || {
        thread::yield_now();
        me.unpark();
    });
    thread::park();
    let ended = waker.thread().clone();
    waker.join().expect("the thread returns");
    ended.unpark();
    let next = thread::spawn(move || {
        let start = Instant::now();
        thread::park_timeout(limit);
        start.elapsed() >= limit
    });
    assert_eq!(next.join(), Ok(true), "the permit of a thread that has ended reached another");
    println!("parked and unparked");
}
