//! Everything that threads of several cores can wait for, at once, by a seed: nothing is lost, doubled or left behind.
#![no_std]
#![no_main]

mod games;

use games::GAMES;
use toro::prelude::*;
use toro::thread::{self, CoreId, JoinHandle};

toro::main!(main);

fn main() {
    let seed = toro::env::args().nth(1).and_then(|seed| seed.parse().ok()).expect("a seed");
    let cores: Vec<CoreId> = thread::cores().collect();
    let mut random = Random(seed);
    // Each game twice, so that they also meet themselves.
    let players: Vec<JoinHandle<u64>> = GAMES
        .iter()
        .chain(GAMES)
        .map(|game| {
            let mut dice = Dice { random: Random(random.next()), cores: cores.clone() };
            let core = dice.core();
            thread::spawn_on(core, move || game(&mut dice))
        })
        .collect();
    let scores: Vec<u64> = players.into_iter().map(|player| player.join().expect("the game ends")).collect();
    println!("scores {scores:?}");
}

/// What a game draws its moves from.
pub(crate) struct Dice {
    random: Random,
    cores: Vec<CoreId>,
}

impl Dice {
    /// A number below `limit`.
    pub(crate) fn below(&mut self, limit: u64) -> u64 {
        self.random.next() % limit
    }

    /// One of the cores.
    pub(crate) fn core(&mut self) -> CoreId {
        let index = self.below(self.cores.len() as u64) as usize;
        self.cores[index]
    }

    /// Dice for another thread.
    pub(crate) fn another(&mut self) -> Dice {
        Dice { random: Random(self.random.next() | 1), cores: self.cores.clone() }
    }

    /// A thread on some core, with dice of its own.
    pub(crate) fn spawn<T: Send + 'static>(
        &mut self,
        play: impl FnOnce(&mut Dice) -> T + Send + 'static,
    ) -> JoinHandle<T> {
        let mut dice = self.another();
        thread::spawn_on(self.core(), move || play(&mut dice))
    }
}

/// xorshift64*.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 16
    }
}
