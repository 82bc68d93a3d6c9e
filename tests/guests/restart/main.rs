//! `main` faults twice and is called again; a thread of the first time is still there at the end.
#![no_std]
#![no_main]

use core::hint::black_box;
use toro::fault::{Policy, set_policy};
use toro::net::{TcpListener, UdpSocket};
use toro::prelude::*;
use toro::sync::atomic::{AtomicU32, Ordering::Relaxed};
use toro::thread;
use toro::time::{Duration, Instant};

toro::main!(main);

static TIMES: AtomicU32 = AtomicU32::new(0);

fn main() {
    let time = TIMES.fetch_add(1, Relaxed) + 1;
    println!("main, {time}");
    if toro::env::args().nth(1).as_deref() == Some("api") {
        set_policy(Policy::Restart);
    }
    // What the one before had was given back.
    let _listener = TcpListener::bind("0.0.0.0:80").expect("a free port");
    let _socket = UdpSocket::bind("0.0.0.0:53").expect("a free port");
    match time {
        1 => {
            let began = Instant::now();
            thread::Builder::new().name("old".to_string()).spawn(move || stay(began)).expect("a thread");
            thread::yield_now();
            println!("{}", 1 / black_box(0));
        }
        2 => panic!("once more"),
        _ => thread::park(),
    }
}

/// The second time comes after a tenth of a second, the third after two more.
fn stay(began: Instant) {
    println!("a thread stays");
    while TIMES.load(Relaxed) < 3 {
        thread::sleep(Duration::from_millis(10));
    }
    assert!(began.elapsed() >= Duration::from_millis(300));
    println!("the thread is still there");
    toro::process::exit(0);
}
