//! A thread on each core of the machine tells where it runs, and then all of them at once.
#![no_std]
#![no_main]

use toro::prelude::*;
use toro::sync::{Arc, Barrier};
use toro::thread;

toro::main!(main);

fn main() {
    for (core, thread) in thread::cores().map(|core| (core, thread::spawn_on(core, thread::current_core))) {
        assert_eq!(thread.join(), Ok(core));
    }
    let all = Arc::new(Barrier::new(thread::cores().len()));
    let threads: Vec<_> = thread::cores()
        .map(|core| {
            let all = Arc::clone(&all);
            thread::spawn_on(core, move || all.wait().is_leader())
        })
        .collect();
    let leaders = threads.into_iter().map(|thread| thread.join()).filter(|leads| *leads == Ok(true)).count();
    for core in thread::cores() {
        // Which of them end a sleep depends on who comes first; that they are counted, and by whom, does not.
        assert!(thread::core_interrupts(core).any(|(name, _)| name == "wake"), "core {core}");
    }
    println!("{} cores, {leaders} leader", thread::cores().len());
}
