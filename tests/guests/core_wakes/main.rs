//! A core that sleeps is woken by one interrupt, whoever sends it a message; one that nobody wants sleeps on.
#![no_std]
#![no_main]

use toro::prelude::*;
use toro::sync::mpsc;
use toro::thread::{self, core_statistics};

toro::main!(main);

const ROUNDS: u64 = 50;

fn main() {
    let cores: Vec<_> = thread::cores().collect();
    let [_, worker, idle] = cores[..] else { panic!("three cores are needed") };
    let (sender, messages) = mpsc::channel();
    let (replies, receiver) = mpsc::channel();
    thread::spawn_on(worker, move || messages.iter().try_for_each(|message: u64| replies.send(message)));
    thread::spawn_on(idle, || ()).join().expect("it returns");
    let wait_until_asleep = |core| {
        while !core_statistics(core).asleep {
            thread::yield_now();
        }
        core_statistics(core)
    };
    let idle_before = wait_until_asleep(idle);
    for round in 0..ROUNDS {
        let before = wait_until_asleep(worker);
        sender.send(round).expect("the worker is there");
        assert_eq!(receiver.recv(), Ok(round));
        let after = core_statistics(worker);
        assert_eq!(after.interrupts - before.interrupts, 1, "in round {round}");
    }
    let worked = core_statistics(worker);
    assert!(worked.interrupts <= worked.sleeps, "{worked:?}");
    assert_eq!(core_statistics(idle), idle_before);
    println!("one interrupt for each of {ROUNDS} sleeps");
}
