//! Clocks and sleep.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use serde_json::json;
use toro_tests::{LIMIT, MACHINES, MachineType, Running, guest};
use toro_vmm::{Machine, Transcript};

fn now_s() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_secs()
}

#[test]
fn the_clock_is_monotonic_and_knows_the_day() {
    for machine in MACHINES {
        let before = now_s();
        let run = guest("clock").machine(machine).run().expect_status(0).expect_lines(["monotonic"]);
        let output = run.exit.stdout_text();
        let epoch = output.lines().find_map(|line| line.strip_prefix("epoch ")?.parse::<u64>().ok());
        let epoch = epoch.unwrap_or_else(|| panic!("no time of day: {output}"));
        assert!((before..=now_s() + 1).contains(&epoch), "{epoch} is not now ({before})");
    }
}

#[test]
fn without_hints_the_clock_still_runs() {
    for machine in MACHINES {
        guest("clock")
            .machine(machine)
            .with(|mut machine| {
                machine.plain = true;
                machine
            })
            .run()
            .expect_log("monotonic");
    }
}

#[test]
fn a_day_at_the_end_of_what_can_be_counted_is_no_defect() {
    let last = format!("epoch_ns={}", u64::MAX);
    let plain = |mut machine: Machine| {
        machine.plain = true;
        machine
    };
    guest("clock").command_line(&last).with(plain).run().expect_log("epoch 18446744073\n");
}

#[test]
fn a_counter_that_goes_back_does_not_take_the_clock_with_it() {
    for cpus in [1, 2] {
        let run = guest("clock_jump").cpus(cpus).run().expect_status(0);
        run.expect_stdout(&format!("{} jumps\n", 3 * cpus)).expect_log("time-stamp counter has gone back");
    }
}

/// What `clock_asked` says of both clocks, in ms, when it is asked by this word; the day's is `None` when it is unknown.
fn ask(running: &Running, word: &str) -> (u64, Option<u64>) {
    assert!(running.guest.send_stdin(format!("{word}\n").as_bytes()));
    let read = |said: &Transcript| {
        let text = [said.stdout.as_slice(), &said.log].concat();
        let text = String::from_utf8_lossy(&text).into_owned();
        let line = text.lines().find(|line| line.starts_with("clock ") && line.ends_with(word))?;
        let words: Vec<&str> = line.split(' ').collect();
        Some((words[1].parse().ok()?, words[2].parse().ok()))
    };
    running.guest.wait_until(Some(LIMIT), read).unwrap_or_else(|why| panic!("no answer to {word}: {why:?}"))
}

fn now_ms() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970");
    u64::try_from(now.as_millis()).expect("a time of our days")
}

/// Has the machine stand still until this much time has passed.
fn stand_still(running: &Running, length: Duration) {
    let qmp = running.guest.qmp();
    qmp.execute("stop", json!({})).unwrap_or_else(|error| panic!("{error}"));
    let since = Instant::now();
    while since.elapsed() < length {
        let status = qmp.execute("query-status", json!({})).unwrap_or_else(|error| panic!("{error}"));
        assert_eq!(status["running"], false);
        std::thread::yield_now();
    }
    qmp.execute("cont", json!({})).unwrap_or_else(|error| panic!("{error}"));
}

/// A machine that stood still goes on with its monotonic clock and its timers; what time of day it is it is told.
#[test]
fn a_guest_that_stood_still_is_told_the_time_of_day() {
    for machine in [MachineType::Microvm, MachineType::MicrovmMinimal] {
        let length = Duration::from_secs(3);
        let running = guest("clock_asked").machine(machine).stdin().start();
        running.wait_for("clock ");
        let (before, _) = ask(&running, "first");
        stand_still(&running, length);
        running.wait_for("step 1 ");
        let asked_ms = now_ms();
        // It is told once it runs again, which may be a moment after.
        let told = (0..1000).map(|round| ask(&running, &format!("again{round}"))).find(|(_, day)| {
            let day = day.expect("it was told at its start");
            asked_ms.saturating_sub(1000) <= day && day <= now_ms() + 1000
        });
        let (after, _) = told.unwrap_or_else(|| panic!("on {} it was not told", machine.name()));
        assert!(after >= before, "the clock went back from {before} ms to {after} ms");
        running.wait_for("step 2 ");
        running.stop().expect_kind("stopped");
    }
}

/// Without a host that tells, the CMOS clock knows; without that nobody does, and the guest says so.
#[test]
fn a_guest_that_nobody_tells_asks_the_machine_or_says_that_it_does_not_know() {
    let plain = |mut machine: Machine| {
        machine.plain = true;
        machine
    };
    let running = guest("clock_asked").machine(MachineType::Q35).with(plain).start();
    running.wait_for("clock ");
    stand_still(&running, Duration::from_secs(4));
    running.wait_for("step 1 ");
    let asked_ms = now_ms();
    // What it has believed is old a second later.
    let day = running.guest.wait_until(Some(LIMIT), |said| {
        let day = last_step(said)?;
        (asked_ms.saturating_sub(3000) <= day).then_some(day)
    });
    let day = day.unwrap_or_else(|why| panic!("it believes that it never stood still: {why:?}"));
    assert!(day <= now_ms() + 1000, "{day} is yet to come");
    drop(running);
    let running = guest("clock_asked").machine(MachineType::MicrovmMinimal).with(plain).start();
    running.wait_for("step 1 ");
    running.wait_for(" unknown");
}

/// The time of day of the last step that was taken, in ms.
fn last_step(said: &Transcript) -> Option<u64> {
    let text = String::from_utf8_lossy(&said.log).into_owned();
    let mut steps = text.split_inclusive('\n').filter(|line| line.starts_with("step ") && line.ends_with('\n'));
    steps.next_back()?.split_whitespace().last()?.parse().ok()
}

#[test]
fn sleepers_wake_in_order() {
    for machine in MACHINES {
        let run = guest("sleep").machine(machine).run();
        run.expect_status(0).expect_stdout("[0, 1, 2, 3, 4, 5]\nabcd\n0 s\n");
    }
}

#[test]
fn random_numbers_differ_from_boot_to_boot() {
    let number = || guest("random").run().expect_status(0).exit.stdout_text();
    assert_ne!(number(), number());
}
