//! A core reads another's stacks, all at one address, each on other memory: what it reads must never be an earlier one's.
//! Between two reads it sleeps, or never does: `awake`.
#![no_std]
#![no_main]
#![expect(unsafe_code, reason = "one core reads what lies on another's stack")]

use toro::env;
use toro::prelude::*;
use toro::sync::mpsc;
use toro::thread::{self, Builder, core_statistics};

toro::main!(main);

const ROUNDS: u64 = 40;
/// More than is kept: such a stack is unmapped when its thread has ended.
const STACK_BYTES: usize = 8 << 20;

fn main() {
    let (ask, asked) = mpsc::channel::<usize>();
    let (answer, mut answered) = mpsc::channel::<u64>();
    let last = thread::cores().last().expect("a machine has a core");
    let awake = env::args().nth(1).as_deref() == Some("awake");
    let reader = thread::spawn_on(last, move || {
        let next = || loop {
            match asked.try_recv() {
                Err(mpsc::TryRecvError::Empty) if awake => thread::yield_now(),
                Err(mpsc::TryRecvError::Empty) => return asked.recv().ok(),
                received => return received.ok(),
            }
        };
        while let Some(address) = next() {
            // SAFETY: the thread that named the address waits for the answer.
            let value = unsafe { core::ptr::with_exposed_provenance::<u64>(address).read_volatile() };
            answer.send(value).expect("somebody waits");
        }
    });
    let mut places = Vec::new();
    let mut taken = Vec::new();
    for round in 0..ROUNDS {
        let ask = ask.clone();
        let thread = Builder::new().stack_size(STACK_BYTES).spawn(move || {
            let value = round;
            let place = (&raw const value).expose_provenance();
            ask.send(place).expect("somebody reads");
            assert_eq!(answered.recv().expect("it answers"), round, "an earlier stack was read");
            (place, answered)
        });
        let place;
        (place, answered) = thread.expect("a thread").join().expect("it ends");
        places.push(place);
        taken.push(Vec::<u8>::with_capacity(4096)); // the next stack gets other memory
        while !awake && round % 2 == 0 && !core_statistics(last).asleep {
            thread::yield_now();
        }
    }
    drop(ask);
    reader.join().expect("it ends");
    places.dedup();
    println!("{ROUNDS} stacks at {} place", places.len());
}
