//! The last core calls only when the first one waits for it, and gives its other threads their turns.
#![no_std]
#![no_main]

use toro::prelude::*;
use toro::sync::{all_reduce, mpsc};
use toro::thread;

toro::main!(main);

fn sum() -> usize {
    all_reduce(thread::current_core().index(), |one, other| one + other)
}

fn main() {
    let (go, gone) = mpsc::channel();
    let last = thread::cores().last().expect("a machine has a core");
    let others: Vec<_> = thread::cores().skip(1).filter(|core| *core != last).collect();
    let mut threads: Vec<_> = others.into_iter().map(|core| thread::spawn_on(core, sum)).collect();
    threads.push(thread::spawn_on(last, move || {
        assert_eq!(gone.recv(), Ok("go"));
        sum()
    }));
    thread::spawn(move || {
        println!("the first core waits");
        go.send("go").expect("the last core waits too");
    });
    let all = sum();
    for thread in threads {
        assert_eq!(thread.join(), Ok(all));
    }
    println!("{all}");
}
