//! What all cores do together, and what it costs: a barrier, then vectors that are broadcast, reduced to one core, and reduced
//! for all. Printed are cycles an operation, of the core that found it cheapest, on average, and of the one that found it
//! dearest.
#![no_std]
#![no_main]

use toro::prelude::*;
use toro::sync::{Barrier, all_reduce, broadcast, reduce};
use toro::thread::{self, CoreId};
use toro::time::cycles;

toro::main!(main);

const ROUNDS: u64 = 100;
const ROOT: CoreId = CoreId::BOOT;

fn main() -> Result<(), toro::fault::Fault> {
    println!("{} cores, {ROUNDS} rounds; cycles: least, average, most", thread::cores().len());
    let others: Vec<_> = thread::cores().skip(1).map(|core| thread::spawn_on(core, every_operation)).collect();
    every_operation();
    others.into_iter().try_for_each(|other| other.join())
}

/// The program of each core.
fn every_operation() {
    measure("barrier", || _ = Barrier::of_cores().wait());
    vectors::<1>();
    vectors::<4>();
    vectors::<16>();
    vectors::<64>();
}

fn vectors<const LENGTH: usize>() {
    let count = thread::cores().len() as u32;
    let core = thread::current_core();
    let mine = [core.index() as u32; LENGTH];
    let sum = [(0..count).sum(); LENGTH];
    let bytes = size_of_val(&mine);

    measure(&format!("broadcast {bytes} bytes"), || assert_eq!(broadcast(ROOT, mine), [0; LENGTH]));
    measure(&format!("reduce {bytes} bytes"), || assert_eq!(reduce(ROOT, mine, add), (core == ROOT).then_some(sum)));
    measure(&format!("all_reduce {bytes} bytes"), || assert_eq!(all_reduce(mine, add), sum));
}

fn add<const LENGTH: usize>(mut one: [u32; LENGTH], other: [u32; LENGTH]) -> [u32; LENGTH] {
    one.iter_mut().zip(other).for_each(|(one, other)| *one += other);
    one
}

/// Cycles of an operation, over all cores.
#[derive(Clone, Copy)]
struct Cost {
    least: u64,
    sum: u64,
    most: u64,
}

/// Calls `operation` on all cores again and again, which begin together each time.
fn measure(what: &str, operation: impl Fn()) {
    operation();
    let mut all = 0;
    for _ in 0..ROUNDS {
        Barrier::of_cores().wait();
        let start = cycles();
        operation();
        all += cycles() - start;
    }
    let mine = all / ROUNDS;
    let cost = Cost { least: mine, sum: mine, most: mine };
    let cost = reduce(ROOT, cost, |one, other| Cost {
        least: one.least.min(other.least),
        sum: one.sum + other.sum,
        most: one.most.max(other.most),
    });
    if let Some(Cost { least, sum, most }) = cost {
        println!("{what:<22} {least:>8} {:>8} {most:>8}", sum / thread::cores().len() as u64);
    }
}
