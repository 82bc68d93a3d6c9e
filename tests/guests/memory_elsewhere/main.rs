//! A core allocates most of memory in small objects, another frees them, and then wants as much for itself.
#![no_std]
#![no_main]

use toro::prelude::*;
use toro::thread;

toro::main!(main);

const OBJECT_BYTES: usize = 1000;
const OBJECTS: usize = 40_000;
/// Of 64 KiB; 32 MiB in all.
const PIECES: usize = 512;

fn main() {
    let last = thread::cores().last().expect("a machine has a core");
    for round in 0..4_u8 {
        let objects: Vec<Vec<u8>> = (0..OBJECTS).map(|_| vec![round; OBJECT_BYTES]).collect();
        let other = thread::spawn_on(last, move || {
            assert!(objects.iter().flatten().all(|byte| *byte == round));
            drop(objects);
            // They are on their way back to the first core, which sleeps.
            let pieces: Vec<Vec<u8>> = (0..PIECES).map(|_| Vec::with_capacity(64 << 10)).collect();
            pieces.len()
        });
        println!("{}", other.join().expect("there is memory"));
    }
}
