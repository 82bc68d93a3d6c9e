//! Small stacks suffice for small work, large ones hold what was asked for, and what no machine has is refused.
#![no_std]
#![no_main]

use core::hint::black_box;
use toro::net::{Ipv4Addr, UdpSocket};
use toro::prelude::*;
use toro::thread::{self, Builder};

toro::main!(main);

fn main() {
    for kib in [0, 8, 16, 64, 1024] {
        let bytes: usize = kib << 10;
        let used = bytes.saturating_sub(4 << 10); // the rest is the thread's beginning
        let body = move || {
            thread::yield_now();
            format!("{:?} {}", fill(used), 1.5_f64)
        };
        let thread = Builder::new().stack_size(bytes).spawn(body).expect("there is memory for a thread");
        println!("{kib} KiB: {:?}", thread.join());
    }
    for bytes in [usize::MAX, usize::MAX & !0xfff, usize::MAX - (4 << 30), 1 << 45] {
        let refused = Builder::new().stack_size(bytes).spawn(|| ()).map_err(|error| error.kind());
        println!("{bytes:#x}: {:?}", refused.map(|_| ()));
    }
    // The network of a core begins when that is first used there, by whatever thread.
    for core in thread::cores() {
        let body = || UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).is_ok();
        let thread = Builder::new().stack_size(12 << 10).core(core).spawn(body).expect("there is memory for a thread");
        println!("core {core}: {:?}", thread.join());
    }
}

/// Writes about `bytes` of stack, a frame at a time.
fn fill(bytes: usize) -> usize {
    const FRAME: usize = 512;
    let frame = black_box([1_u8; FRAME]);
    if bytes < 2 * FRAME {
        return usize::from(frame[bytes % FRAME]);
    }
    fill(bytes - FRAME - 128) * usize::from(frame[0])
}
