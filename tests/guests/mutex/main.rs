//! A mutex keeps others out over scheduling points, and hands itself to whoever waited longest.
#![no_std]
#![no_main]

use toro::prelude::*;
use toro::sync::{Mutex, WouldBlock};
use toro::thread;
use toro::time::Duration;

toro::main!(main);

static COUNTER: Mutex<u32> = Mutex::new(0);
static ORDER: Mutex<String> = Mutex::new(String::new());

fn main() {
    let threads: Vec<_> = (0..10)
        .map(|_| {
            thread::spawn(|| {
                for _ in 0..100 {
                    let mut counter = COUNTER.lock();
                    let seen = *counter;
                    thread::yield_now();
                    *counter = seen + 1;
                }
            })
        })
        .collect();
    for thread in threads {
        thread.join().expect("the thread returns");
    }
    println!("{}", *COUNTER.lock());

    let guard = ORDER.lock();
    let threads: Vec<_> = ['a', 'b', 'c'].map(|name| thread::spawn(move || ORDER.lock().push(name))).into();
    thread::sleep(Duration::from_millis(1));
    assert_eq!(thread::spawn(|| ORDER.try_lock().err()).join(), Ok(Some(WouldBlock)));
    drop(guard);
    // The lock is a's already, so this comes after c, though nobody else has run yet.
    ORDER.lock().push('d');
    for thread in threads {
        thread.join().expect("the thread returns");
    }
    println!("{}", *ORDER.lock());
}
