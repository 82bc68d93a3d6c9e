//! What the kernel has another core do goes wrong there.
#![no_std]
#![no_main]

use toro::prelude::*;
use toro::thread;
use toro_kernel::sched::call_on;

toro::main!(main);

fn main() {
    let other = thread::cores().nth(1).expect("two cores");
    call_on(other, Box::new(|| panic!("a call went wrong")));
    loop {
        thread::park();
    }
}
