//! A Linux program that throws hostile arguments at every call: the kernel stays up, and gives back all that it gave.

use std::time::{Duration, Instant};

use toro_tests::{Libc, Program, built};

/// What the program ends with when all calls were made, and nothing was lost.
const ALL_MADE: u8 = 7;

/// As many calls, again and again, in a guest of its own.
fn throw(program: &Program, seed: u64, calls: u64, rounds: u32) {
    let arguments = [seed, calls, rounds.into()].map(|number: u64| number.to_string());
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let cpus = 1 + (seed % 2) as u32;
    program.guest(&arguments).cpus(cpus).command_line("log=error").run().expect_kind("exit").expect_status(ALL_MADE);
}

#[test]
fn hostile_arguments_change_nothing() {
    let Some(program) = built(Program::c("fuzz", Libc::Glibc)) else { return };
    for seed in [46, 47] {
        throw(&program, seed, 20_000, 3);
    }
}

/// An hour of it, or as many minutes as `TORO_SOAK_MINUTES` says: `cargo xtask soak`.
#[test]
#[ignore = "an hour; `cargo xtask soak` runs it"]
fn an_hour_of_hostile_arguments() {
    let Some(program) = built(Program::c("fuzz", Libc::Glibc)) else { return };
    let minutes = std::env::var("TORO_SOAK_MINUTES").ok().and_then(|minutes| minutes.parse().ok()).unwrap_or(60);
    let (start, limit) = (Instant::now(), Duration::from_secs(60 * minutes));
    for seed in 1.. {
        throw(&program, seed, 50_000, 4);
        if start.elapsed() > limit {
            return eprintln!("{seed} seeds, 200,000 calls each");
        }
    }
}
