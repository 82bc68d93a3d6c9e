//! Cores that do not call the same, as the argument says.
#![no_std]
#![no_main]

use toro::prelude::*;
use toro::sync::{Barrier, all_reduce, broadcast, gather, reduce, scatter};
use toro::thread::{self, CoreId};

toro::main!(main);

fn main() {
    let how = toro::env::args().nth(1).unwrap_or_default();
    for core in thread::cores().skip(1) {
        let how = how.clone();
        thread::spawn_on(core, move || call(&how));
    }
    call(&how);
    thread::park();
}

fn call(how: &str) {
    let first = CoreId::BOOT;
    let core = thread::current_core();
    let other = thread::cores().find(|other| *other != core).expect("two cores");
    Barrier::of_cores().wait();
    match how {
        "operation" if core == first => _ = reduce(first, 1_u64, |one, _| one),
        "operation" => _ = broadcast(first, 1_u64),
        "type" if core == first => _ = all_reduce(1_u64, |one, _| one),
        "type" => _ = all_reduce(1_u32, |one, _| one),
        "each itself" => _ = broadcast(core, 1),
        "each another" => _ = broadcast(other, 1),
        "no such core" => _ = broadcast(CoreId::new(63).expect("a number of a core"), 1),
        "length" => scatter(first, Some(&[1_u8, 2, 3, 4]), &mut [0, 0, 0]),
        "nothing" => gather(first, &[1_u8], None),
        "twice" if core == first => {
            thread::spawn(|| broadcast(CoreId::BOOT, 1));
            broadcast(first, 1); // the other core does not come
        }
        "twice" => thread::park(),
        _ => println!("what is {how}?"),
    }
}
