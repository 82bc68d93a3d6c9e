//! How cores sleep, as the program sees it: `power WHAT` does one thing and says what was counted.
#![no_std]
#![no_main]

use toro::power::{self, Mode};
use toro::prelude::*;
use toro::sync::mpsc;
use toro::thread;
use toro::time::{Duration, Instant};

toro::main!(main);

const NAP: Duration = Duration::from_millis(2);

fn main() {
    let what = toro::env::args().nth(1);
    match what.as_deref() {
        Some("sleeps") => sleeps(),
        Some("mode") => mode(),
        Some("slack") => slack(),
        Some("idle") => idle(),
        other => panic!("what is {other:?}?"),
    }
}

/// Sleeps on every core, until each has made up its mind, and says by what.
fn sleeps() {
    let (sender, receiver) = mpsc::channel();
    for core in thread::cores() {
        let sender = sender.clone();
        thread::spawn_on(core, move || {
            (0..20).for_each(|_| thread::sleep(NAP));
            let stats = power::stats(core);
            let slept = (stats.halted > Duration::ZERO, stats.mwaited > Duration::ZERO);
            sender.send((power::sleeps_by(), slept, stats.timers.threads > 0))
        });
    }
    drop(sender);
    let mut all: Vec<_> = receiver.iter().collect();
    all.sort_unstable();
    all.dedup();
    for (instruction, (halted, mwaited), by_timer) in all {
        println!("{instruction}: halted {halted}, mwaited {mwaited}, woken by the timer {by_timer}");
    }
    println!("frequency: {}", power::interface().name());
}

/// Changes the mode, and sees that its core follows.
fn mode() {
    let core = thread::current_core();
    println!("mode {}", power::mode().name());
    for mode in [Mode::Spin, Mode::Saving, Mode::Latency, Mode::Balanced] {
        power::set_mode(mode);
        thread::sleep(NAP); // the core looks at the mode when it has nothing to do
        let before = power::stats(core);
        thread::sleep(NAP);
        let after = power::stats(core);
        let (slept, polled) = (after.sleeps > before.sleeps, after.polled - before.polled >= NAP / 2);
        println!("{}: slept {slept}, polled most of the time {polled}", power::mode().name());
    }
}

/// Three threads whose deadlines are close to each other.
fn slack() {
    let core = thread::current_core();
    power::set_mode(Mode::Saving);
    thread::sleep(NAP);
    println!("slack {:?}", power::slack());
    let start = Instant::now();
    let before = power::stats(core).timers.threads;
    let at = |ms: u64| {
        thread::spawn(move || {
            thread::sleep_until(start + Duration::from_millis(ms));
            start.elapsed()
        })
    };
    // The first's slack, a 32nd of its length, has room for the others' deadlines.
    let sleepers = [640, 645, 650].map(at);
    let lengths = sleepers.map(|sleeper| sleeper.join().expect("it returns"));
    println!("{} wake-ups", power::stats(core).timers.threads - before);
    println!("none early: {}", lengths.iter().zip([640, 645, 650]).all(|(length, ms)| length.as_millis() >= ms));
    power::set_slack(Some(Duration::ZERO));
    println!("own slack {:?}", power::slack());
    power::set_slack(None);
    println!("slack {:?}", power::slack());
}

/// Has nothing to do, until the host wants it to end.
fn idle() {
    println!("idle");
    thread::park();
}
