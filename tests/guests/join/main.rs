//! `join` brings the result, before and after the thread has ended; a dropped handle lets its thread go on.
#![no_std]
#![no_main]

use toro::prelude::*;
use toro::sync::Arc;
use toro::thread;

toro::main!(main);

fn main() {
    let early = thread::spawn(|| vec![1, 2, 3]);
    assert!(!early.is_finished());
    println!("waited for: {:?}", early.join());

    let late = thread::spawn(|| "ready".to_string());
    while !late.is_finished() {
        thread::yield_now();
    }
    println!("was there: {:?}", late.join());

    let shared = Arc::new(());
    let thread = thread::spawn({
        let shared = Arc::clone(&shared);
        move || drop(shared)
    });
    drop(thread);
    while Arc::strong_count(&shared) > 1 {
        thread::yield_now();
    }
    println!("went on alone");

    let nested = thread::spawn(|| thread::spawn(|| 6).join().map(|six| six * 7));
    println!("nested: {:?}", nested.join());
}
