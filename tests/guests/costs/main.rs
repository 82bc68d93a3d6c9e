//! What threads cost: nanoseconds an operation, which are instructions under QEMU's `-icount shift=0` with
//! `tsc_khz=1000000` on the command line, of all cores together. Take the release build; `cargo xtask bench quick` does.
#![no_std]
#![no_main]
#![expect(unsafe_code, reason = "instructions that the processor refuses")]

#[path = "../exceptions/mod.rs"]
mod exceptions;

use toro::fault::catch;
use toro::prelude::*;
use toro::sync::atomic::{AtomicU64, Ordering::Relaxed};
use toro::sync::{Mutex, all_reduce, mpsc};
use toro::thread;
use toro::time::{Duration, Instant};
use toro_timers::TimerQueue;

toro::main!(main);

const ROUNDS: u32 = 1000;
/// Timers that are pending at the same time.
const TIMERS: u32 = 100_000;

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

    measure_faults();
    measure_messages("message and answer", thread::current_core());
    if let Some(other) = thread::cores().nth(1) {
        measure_messages("message and answer, other core", other);
    }
    measure_together();

    let mutex = Mutex::new(0);
    measure("lock and unlock", ROUNDS, || (0..ROUNDS).for_each(|_| *mutex.lock() += 1));
    measure("reading the clock", ROUNDS, || {
        (0..ROUNDS).for_each(|_| {
            core::hint::black_box(Instant::now());
        })
    });
    measure("sleep of no time", ROUNDS, || (0..ROUNDS).for_each(|_| thread::sleep(Duration::ZERO)));
    measure("box and drop", ROUNDS, || (0..ROUNDS).for_each(|_| drop(core::hint::black_box(Box::new([0_u8; 100])))));
    measure_timers();
}

/// From the instruction that faults, and from the call that raises, to what follows the closure that was caught.
fn measure_faults() {
    static BEGAN: AtomicU64 = AtomicU64::new(0);
    measure("catch of what returns", ROUNDS, || {
        (0..ROUNDS).for_each(|number| assert_eq!(catch(move || number), Ok(number)))
    });
    let ways: [(&str, fn()); 4] = [
        ("divide error caught", || fault_now(exceptions::ALL[0].1)),
        ("null read caught", || fault_now(exceptions::ALL[10].1)),
        ("panic caught", || fault_now(|| panic!("number {}", 3))),
        ("raised value caught", || fault_now(|| toro::fault::raise(3_u64))),
    ];
    fn fault_now(fault: fn()) {
        BEGAN.store(Instant::now().as_nanos(), Relaxed);
        fault();
    }
    for (what, way) in ways {
        let mut spent = 0;
        for _ in 0..ROUNDS {
            assert!(catch(way).is_err());
            spent += Instant::now().as_nanos() - BEGAN.load(Relaxed);
        }
        println!("{what}: {}", spent / u64::from(ROUNDS));
    }
}

fn measure_together() {
    let rounds = || (0..ROUNDS).map(|_| all_reduce(1, |one, other| one + other)).sum::<u32>();
    thread::cores().skip(1).for_each(|core| drop(thread::spawn_on(core, rounds)));
    measure("all_reduce", ROUNDS, || assert_eq!(rounds(), ROUNDS * thread::cores().len() as u32));
}

fn measure_messages(what: &str, core: thread::CoreId) {
    let (there, echo) = mpsc::channel();
    let (reply, back) = mpsc::channel();
    thread::spawn_on(core, move || echo.iter().try_for_each(|message: u32| reply.send(message)));
    let exchange = || {
        for number in 0..ROUNDS {
            there.send(number).expect("the thread is there");
            assert_eq!(back.recv(), Ok(number));
        }
    };
    exchange(); // whoever slept is awake, and knows that it pays
    measure(what, ROUNDS, exchange);
}

fn measure_timers() {
    let mut timers = TimerQueue::new();
    timers.reserve(TIMERS as usize).expect("memory for timers");
    let mut random = 7_u64;
    let mut deadline = || {
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        random >> 20
    };
    measure("timer set, of 100,000", TIMERS, || {
        (0..TIMERS).for_each(|number| {
            timers.insert(deadline(), number);
        })
    });
    measure("timer expired, of 100,000", TIMERS, || while timers.pop_due(u64::MAX).is_some() {});
}

fn measure(what: &str, rounds: u32, run: impl FnOnce()) {
    let start = Instant::now();
    run();
    println!("{what}: {}", start.elapsed().as_nanos() / u128::from(rounds));
}
