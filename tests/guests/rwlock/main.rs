//! Readers together, a writer alone, neither starved.
#![no_std]
#![no_main]

use toro::prelude::*;
use toro::sync::{RwLock, WouldBlock};
use toro::thread;

toro::main!(main);

static PAIR: RwLock<(u32, u32)> = RwLock::new((0, 0));

fn main() {
    let readers = || {
        thread::spawn(|| {
            for _ in 0..50 {
                let pair = PAIR.read();
                let before = *pair;
                thread::yield_now();
                assert_eq!((before.0, before), (before.1, *pair), "changed while it was read");
            }
        })
    };
    let writers = || {
        thread::spawn(|| {
            for _ in 0..50 {
                let mut pair = PAIR.write();
                pair.0 += 1;
                thread::yield_now();
                pair.1 += 1;
            }
        })
    };
    let threads = [readers(), writers(), readers(), writers(), readers()];
    for thread in threads {
        thread.join().expect("the thread returns");
    }
    println!("{:?}", *PAIR.read());

    let (first, second) = (PAIR.read(), PAIR.try_read());
    assert!(second.is_ok() && matches!(PAIR.try_write(), Err(WouldBlock)));
    drop((first, second));
    assert!(PAIR.try_write().is_ok());
    println!("readers together, a writer alone");
}
