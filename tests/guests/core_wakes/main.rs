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
    let (mut round, mut woken) = (0, 0);
    while woken < ROUNDS {
        let before = wait_until_asleep(worker);
        sender.send(round).expect("the worker is there");
        assert_eq!(receiver.recv(), Ok(round));
        let interrupts = core_statistics(worker).interrupts - before.interrupts;
        // None, if it woke by itself just before: an interrupt may find that its core has looked already.
        assert!(interrupts <= 1, "{interrupts} interrupts in round {round}");
        woken += interrupts;
        round += 1;
        assert!(round < 2 * ROUNDS, "{woken} interrupts in {round} rounds");
    }
    let worked = core_statistics(worker);
    assert!(worked.interrupts <= worked.sleeps, "{worked:?}");
    let idle_after = core_statistics(idle);
    assert_eq!((idle_after.interrupts, idle_after.letters), (idle_before.interrupts, idle_before.letters));
    assert!(idle_after.sleeps <= idle_before.sleeps + 1, "{idle_after:?}"); // the last interrupt may have come late
    println!("one interrupt for each of {ROUNDS} sleeps");
}
