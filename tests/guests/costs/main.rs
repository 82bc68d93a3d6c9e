//! What threads cost: nanoseconds an operation, which are instructions under QEMU's `-icount shift=0` with
//! `tsc_khz=1000000` on the command line. Take the release build.
#![no_std]
#![no_main]

use toro::prelude::*;
use toro::sync::{Mutex, mpsc};
use toro::thread;
use toro::time::{Duration, Instant};

toro::main!(main);

const ROUNDS: u32 = 1000;

fn main() {
    let yielder = thread::spawn(|| (0..=ROUNDS).for_each(|_| thread::yield_now()));
    thread::yield_now();
    measure("switch, with its share of polling", ROUNDS, || {
        for _ in 0..ROUNDS / 2 {
            thread::yield_now();
        }
    });
    yielder.join().expect("the thread returns");

    measure("spawn and join", ROUNDS, || {
        for number in 0..ROUNDS {
            assert_eq!(thread::spawn(move || number).join(), Ok(number));
        }
    });

    let (there, echo) = mpsc::channel();
    let (reply, back) = mpsc::channel();
    thread::spawn(move || echo.iter().try_for_each(|message: u32| reply.send(message)));
    measure("message and answer", ROUNDS, || {
        for number in 0..ROUNDS {
            there.send(number).expect("the thread is there");
            assert_eq!(back.recv(), Ok(number));
        }
    });

    let mutex = Mutex::new(0);
    measure("lock and unlock", ROUNDS, || (0..ROUNDS).for_each(|_| *mutex.lock() += 1));
    measure("reading the clock", ROUNDS, || {
        (0..ROUNDS).for_each(|_| {
            core::hint::black_box(Instant::now());
        })
    });
    measure("sleep of no time", ROUNDS, || (0..ROUNDS).for_each(|_| thread::sleep(Duration::ZERO)));
    measure("box and drop", ROUNDS, || (0..ROUNDS).for_each(|_| drop(core::hint::black_box(Box::new([0_u8; 100])))));
}

fn measure(what: &str, rounds: u32, run: impl FnOnce()) {
    let start = Instant::now();
    run();
    println!("{what}: {}", start.elapsed().as_nanos() / u128::from(rounds));
}
