//! Random bytes look random: no bit always the same, no run repeated on any core, all values reached.
#![no_std]
#![no_main]

use toro::collections::{HashMap, HashSet};
use toro::prelude::*;
use toro::{random, thread};

toro::main!(main);

fn main() {
    let draw = || (0..1000).map(|_| random::u64()).collect::<Vec<u64>>();
    let others: Vec<_> = thread::cores().map(|core| thread::spawn_on(core, draw)).collect();
    let mut numbers = draw();
    others.into_iter().for_each(|thread| numbers.extend(thread.join().expect("it ends")));
    let (all, any) = numbers.iter().fold((u64::MAX, 0), |(all, any), number| (all & number, any | number));
    assert_eq!((all, any), (0, u64::MAX), "a bit never changes");
    assert_eq!(numbers.iter().collect::<HashSet<_>>().len(), numbers.len(), "a number came twice");

    let mut bytes = [0; 37];
    random::fill(&mut bytes);
    assert!(bytes.iter().any(|&byte| byte != 0));
    let mut die = HashMap::new();
    for _ in 0..600 {
        *die.entry(random::below(6)).or_insert(0) += 1;
    }
    assert!((0..6).all(|side| die[&side] > 40), "a die that is not fair: {die:?}");
    println!("{:016x}", numbers[0]);
}
