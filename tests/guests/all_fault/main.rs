//! All cores fault at once. One report is told, whole.
#![no_std]
#![no_main]
#![expect(unsafe_code, reason = "does what must be caught")]

use core::hint::black_box;
use core::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use toro::prelude::*;
use toro::thread;

toro::main!(main);

static THERE: AtomicUsize = AtomicUsize::new(0);

fn fault() {
    THERE.fetch_add(1, SeqCst);
    while THERE.load(SeqCst) < thread::cores().len() {
        core::hint::spin_loop();
    }
    let null: *const u64 = core::ptr::without_provenance(black_box(8));
    // SAFETY: none; the test is that the processor catches it.
    println!("not caught: {}", unsafe { null.read_volatile() });
}

fn main() {
    for core in thread::cores().filter(|core| *core != thread::current_core()) {
        drop(thread::spawn_on(core, fault));
    }
    fault();
}
