//! Of three cores the second never comes: the third runs threads meanwhile, and in the end the second is given up, and the
//! first runs what was meant for it.
#![no_std]
#![no_main]

use toro::prelude::*;
use toro::thread;
use toro::time::Duration;

toro::main!(main);

fn main() {
    let mut cores = thread::cores().skip(1);
    let (absent, third) = (cores.next().expect("a second core"), cores.next().expect("a third core"));
    thread::spawn_on(third, || println!("core {} runs", thread::current_core())).join().expect("a result");
    let early = thread::spawn_on(absent, thread::current_core);
    while thread::Builder::new().core(absent).spawn(|| ()).is_ok() {
        thread::sleep(Duration::from_millis(100));
    }
    println!("core {absent} was given up");
    let early = early.join().expect("a thread that was started runs");
    println!("its thread ran on core {early}");
}
