//! Ping-pong: a number goes to a thread on another core and comes back, and how long that takes is printed.
#![no_std]
#![no_main]

use toro::prelude::*;
use toro::sync::mpsc::{self, RecvError};
use toro::thread;
use toro::time::cycles;

toro::main!(main);

const ROUNDS: usize = 10_000;

fn main() -> Result<(), RecvError> {
    let Some(other) = thread::cores().nth(1) else {
        println!("this machine has one core; `toro run --cpus 2` gives it two");
        return Ok(());
    };
    let (serve, ball) = mpsc::channel();
    let (strike, back) = mpsc::channel();
    thread::spawn_on(other, move || ball.iter().try_for_each(|number: usize| strike.send(number + 1)));

    let mut rounds = Vec::with_capacity(ROUNDS);
    for number in 0..ROUNDS {
        let start = cycles();
        serve.send(number).expect("the other thread plays as long as we do");
        assert_eq!(back.recv()?, number + 1);
        rounds.push(cycles() - start);
    }
    rounds.sort_unstable();
    println!("core {} and core {other}: {ROUNDS} rounds", thread::current_core());
    println!("cycles a round: fastest {}, median {}, slowest {}", rounds[0], rounds[ROUNDS / 2], rounds[ROUNDS - 1]);
    Ok(())
}
