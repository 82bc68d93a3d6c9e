//! Condition variables: one or all are woken, a notification meets whoever waits, a time-out is told from it.
#![no_std]
#![no_main]

use toro::prelude::*;
use toro::sync::{Condvar, Mutex};
use toro::thread;
use toro::time::{Duration, Instant};

toro::main!(main);

static STEP: Mutex<u32> = Mutex::new(0);
static CHANGED: Condvar = Condvar::new();

fn main() {
    ping_pong();
    notify_all();
    time_outs();
}

/// Two threads in lockstep: one lost wake-up would stop both.
fn ping_pong() {
    let odd = thread::spawn(|| {
        for _ in 0..1000 {
            let mut step = CHANGED.wait_while(STEP.lock(), |step| *step % 2 == 0);
            *step += 1;
            CHANGED.notify_one();
        }
    });
    for _ in 0..1000 {
        let mut step = CHANGED.wait_while(STEP.lock(), |step| *step % 2 == 1);
        *step += 1;
        CHANGED.notify_one();
    }
    odd.join().expect("the thread returns");
    println!("{} steps", *STEP.lock());
}

fn notify_all() {
    *STEP.lock() = 0;
    let waiters: Vec<_> =
        (0..5).map(|_| thread::spawn(|| *CHANGED.wait_while(STEP.lock(), |step| *step == 0))).collect();
    thread::yield_now();
    *STEP.lock() = 7;
    CHANGED.notify_all();
    let seen: Vec<_> = waiters.into_iter().map(|thread| thread.join()).collect();
    println!("{seen:?}");
}

fn time_outs() {
    let start = Instant::now();
    let limit = Duration::from_millis(20);
    let (guard, result) = CHANGED.wait_timeout(STEP.lock(), limit);
    assert!(result.timed_out() && start.elapsed() >= limit);
    drop(guard);

    let notifier = thread::spawn(|| CHANGED.notify_one());
    let (guard, result) = CHANGED.wait_timeout(STEP.lock(), Duration::from_secs(600));
    assert!(!result.timed_out());
    drop(guard);
    notifier.join().expect("the thread returns");

    let (guard, result) = CHANGED.wait_timeout_while(STEP.lock(), limit, |step| *step == 7);
    assert!(result.timed_out() && *guard == 7);
    println!("time-outs are told from notifications");
}
