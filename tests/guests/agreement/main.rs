//! All cores call every operation with every root and several types, and then 10,000 chosen by a seed; each knows what must
//! come of it.
#![no_std]
#![no_main]

use core::fmt::Debug;
use toro::prelude::*;
use toro::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use toro::sync::{Barrier, all_reduce, broadcast, gather, reduce, scatter};
use toro::thread::{self, CoreId};

toro::main!(main);

const MIXED: u64 = 10_000;
const OPERATIONS: u64 = 6;
const TYPES: u64 = 4;

fn main() {
    let seed = toro::env::args().nth(1).and_then(|seed| seed.parse().ok()).unwrap_or(1);
    for core in thread::cores().skip(1) {
        // What was meant for a core that never starts runs here in the end.
        drop(thread::spawn_on(core, move || if thread::current_core() == core { take_part(seed) } else { 0 }));
    }
    println!("{} cores agree", take_part(seed));
}

/// How many have taken part.
fn take_part(seed: u64) -> usize {
    Barrier::of_cores().wait(); // from here on it is known who runs
    let runs = |core: &CoreId| thread::Builder::new().core(*core).spawn(|| ()).is_ok();
    let mut world = World { cores: thread::cores().filter(runs).collect(), calls: 0, barriers: 0 };
    for root in world.cores.clone() {
        for what in 0..OPERATIONS * TYPES {
            world.call(what, root, 2);
        }
    }
    let mut state = seed;
    let mut random = |below: u64| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) % below
    };
    for _ in 0..MIXED {
        let root = world.cores[random(world.cores.len() as u64) as usize];
        world.call(random(OPERATIONS * TYPES), root, random(4) as usize);
    }
    all_reduce(1, |one, other| one + other)
}

/// A value whose combining is associative and tells the order where the type can.
trait Sample: Copy + Send + PartialEq + Debug + 'static {
    fn of(number: u64) -> Self;
    fn combine(self, other: Self) -> Self;
}

impl Sample for u8 {
    fn of(number: u64) -> u8 {
        number as u8
    }
    fn combine(self, other: u8) -> u8 {
        self.wrapping_add(other)
    }
}

impl Sample for u64 {
    fn of(number: u64) -> u64 {
        number
    }
    fn combine(self, _: u64) -> u64 {
        self
    }
}

impl Sample for [f64; 16] {
    fn of(number: u64) -> Self {
        core::array::from_fn(|index| number as f64 + index as f64)
    }
    fn combine(self, other: Self) -> Self {
        core::array::from_fn(|index| self[index] + other[index])
    }
}

/// `x * factor + summand`; combined, one after the other.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Affine {
    factor: u32,
    summand: u64,
}

impl Sample for Affine {
    fn of(number: u64) -> Self {
        Affine { factor: number as u32 | 1, summand: number }
    }
    fn combine(self, other: Self) -> Self {
        let summand = self.summand.wrapping_mul(other.factor.into()).wrapping_add(other.summand);
        Affine { factor: self.factor.wrapping_mul(other.factor), summand: summand & 0xffff_ffff }
    }
}

struct World {
    cores: Vec<CoreId>,
    calls: u64,
    barriers: usize,
}

impl World {
    fn call(&mut self, what: u64, root: CoreId, length: usize) {
        self.calls += 1;
        match what / OPERATIONS {
            0 => self.call_with::<u8>(what % OPERATIONS, root, length),
            1 => self.call_with::<u64>(what % OPERATIONS, root, length),
            2 => self.call_with::<[f64; 16]>(what % OPERATIONS, root, length),
            _ => self.call_with::<Affine>(what % OPERATIONS, root, length),
        }
    }

    fn call_with<T: Sample>(&mut self, operation: u64, root: CoreId, length: usize) {
        let (calls, core) = (self.calls, thread::current_core());
        let value_of = |core: CoreId| T::of(calls << 6 | core.index() as u64);
        let element = |index: usize| T::of(calls << 12 | index as u64);
        let all = self.cores.iter().map(|core| value_of(*core)).reduce(T::combine);
        let mine = core.index() * length..(core.index() + 1) * length;
        match operation {
            0 => self.pass_barrier(),
            1 => assert_eq!(broadcast(root, value_of(core)), value_of(root)),
            2 => assert_eq!(reduce(root, value_of(core), T::combine), all.filter(|_| core == root)),
            3 => assert_eq!(Some(all_reduce(value_of(core), T::combine)), all),
            4 => {
                let all: Vec<T> = (0..thread::cores().len() * length).map(element).collect();
                let mut part = vec![T::of(0); length];
                scatter(root, (core == root).then_some(&all), &mut part);
                assert_eq!(part, all[mine]);
            }
            _ => {
                let mut all = vec![T::of(0); thread::cores().len() * length];
                let part: Vec<T> = mine.map(element).collect();
                gather(root, &part, (core == root).then_some(&mut all));
                for from in self.cores.iter().filter(|_| core == root) {
                    let part = from.index() * length..(from.index() + 1) * length;
                    assert!(part.clone().map(element).eq(all[part].iter().copied()));
                }
            }
        }
    }

    fn pass_barrier(&mut self) {
        static CAME: AtomicUsize = AtomicUsize::new(0);
        self.barriers += 1;
        CAME.fetch_add(1, SeqCst);
        let leads = Barrier::of_cores().wait().is_leader();
        assert_eq!(leads, thread::current_core().index() == 0);
        assert!(CAME.load(SeqCst) >= self.barriers * self.cores.len(), "a core has gone on before all had come");
    }
}
