//! Clocks and sleep.

use std::time::{SystemTime, UNIX_EPOCH};

use toro_tests::{MACHINES, guest};

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
