//! A thread that asks for the lock it holds panics instead of waiting for ever.
#![no_std]
#![no_main]

use toro::sync::Mutex;

toro::main!(main);

fn main() {
    let mutex = Mutex::new(());
    let _held = mutex.lock();
    let _never = mutex.lock();
}
