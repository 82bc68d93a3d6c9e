//! Takes so many GiB at once as its argument says, and finds in each what it wrote there.
#![no_std]
#![no_main]
#![expect(unsafe_code, reason = "memory is read that was written without a length")]

use core::hint::black_box;
use toro::env;
use toro::prelude::*;

toro::main!(main);

const BYTES: usize = 1 << 30;

fn main() {
    let count: u8 = env::args().nth(1).and_then(|count| count.parse().ok()).expect("how many GiB");
    let mut taken: Vec<Vec<u8>> = (0..count).map(|_| Vec::with_capacity(BYTES)).collect();
    // The host gives pages when they are touched, so one page in each place says that it is there, and nobody else's.
    let ends = [0, BYTES / 2 - 1, BYTES - 1];
    for (number, bytes) in taken.iter_mut().enumerate() {
        let room = bytes.spare_capacity_mut();
        for at in ends {
            room[at].write(number as u8);
        }
    }
    for (number, bytes) in taken.iter_mut().enumerate() {
        let room = black_box(bytes.spare_capacity_mut());
        // SAFETY: written above.
        assert!(ends.iter().all(|at| unsafe { room[*at].assume_init() } == number as u8), "GiB {number}");
    }
    println!("{count} GiB");
}
