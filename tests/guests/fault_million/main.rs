//! So many faults as the first argument says leave nothing behind, and what closures hold is lost to the byte.
#![no_std]
#![no_main]
#![expect(unsafe_code, reason = "instructions that the processor refuses")]

#[path = "../exceptions/mod.rs"]
mod exceptions;

use core::hint::black_box;
use toro::fault::{catch, raise, stats};
use toro::prelude::*;

toro::main!(main);

/// Pages that can be had now: all of them are taken, and given back.
fn free_pages() -> usize {
    let mut pages: Vec<Vec<u8>> = Vec::new();
    loop {
        let mut page = Vec::new();
        if pages.try_reserve(1).is_err() || page.try_reserve_exact(4096).is_err() {
            return pages.len();
        }
        pages.push(page);
    }
}

fn main() {
    let count: u64 = toro::env::args().nth(1).and_then(|count| count.parse().ok()).expect("a number");
    let ways: [fn(); 4] = [exceptions::ALL[0].1, exceptions::ALL[10].1, || raise(7), || panic!("a panic")];
    let fault = |number: u64| assert!(catch(ways[number as usize % ways.len()]).is_err());
    (0..1000).for_each(fault);
    free_pages();
    let before = free_pages();
    (0..count).for_each(fault);
    let after = free_pages();
    let all = stats();
    assert_eq!((all.faults, all.caught, all.lost_bytes), (count + 1000, count + 1000, 0));
    assert_eq!(before, after);

    for number in 0..1000_u64 {
        let holds = move || {
            let held = black_box(vec![1_u8; number as usize]);
            let list: Vec<Box<u64>> = (0..number % 7).map(Box::new).collect();
            raise(black_box(held.len() + list.len()))
        };
        assert!(catch(move || -> () { holds() }).is_err());
    }
    let lost: u64 = (0..1000).map(|number| number + number % 7 * 16).sum();
    assert_eq!(stats().lost_bytes, lost);
    println!("{count} faults, {before} pages before and after, {lost} bytes lost");
}
