//! What all cores do together, and what it costs.

use toro_tests::{Spec, example, guest};

#[test]
fn cores_agree_on_what_comes_of_ten_thousand_operations() {
    for (seed, count) in [1, 2, 3, 4, 8].into_iter().enumerate() {
        let run = guest("agreement").cpus(count).arguments(&[&seed.to_string()]).run();
        run.expect_status(0).expect_stdout(&format!("{count} cores agree\n"));
    }
}

#[test]
fn a_core_that_comes_late_is_waited_for() {
    for (count, sum) in [(2, 1), (4, 6)] {
        let run = guest("late_core").cpus(count).run();
        run.expect_status(0).expect_stdout(&format!("the first core waits\n{sum}\n"));
    }
}

#[test]
fn cores_that_do_not_call_the_same_are_told() {
    let cases: [(&str, &[&str]); 8] = [
        (
            "operation",
            &["collective operation 2: core ", "core 0 calls reduce to core 0", "core 1 calls broadcast from core 0"],
        ),
        ("type", &["collective operation 2: core 0 calls all_reduce with u64, core 1 with u32"]),
        ("each itself", &["core 0 calls broadcast from core 0", "core 1 calls broadcast from core 1"]),
        ("each another", &["core 0 calls broadcast from core 1", "core 1 calls broadcast from core 0"]),
        ("no such core", &[" calls broadcast from core 63, which is no core that runs"]),
        ("length", &[" calls scatter from core 0: 4 values are not 3 for each of 2 cores"]),
        ("nothing", &["the root of gather passes room"]),
        ("twice", &["two threads of core 0 are in collective operations at the same time"]),
    ];
    for (how, messages) in cases {
        let run = guest("disagreement").cpus(2).arguments(&[how]).command_line("fault=exit-any").run();
        let run = run.expect_kind("panic").expect_status(101);
        messages.iter().fold(run, |run, message| run.expect_message(message));
    }
}

/// Rows of the example: what was done, and cycles of the cheapest core, on average, and of the dearest.
fn costs(spec: Spec) -> Vec<(String, [u64; 3])> {
    let run = spec.run().expect_status(0);
    let row = |line: &str| {
        let figures: Vec<u64> = line.split_whitespace().rev().map_while(|figure| figure.parse().ok()).collect();
        let [most, average, least] = figures[..] else { panic!("no figures: {line}") };
        assert!(least <= average && average <= most, "{line}");
        (line.trim_end_matches(|c: char| c == ' ' || c.is_ascii_digit()).to_owned(), [least, average, most])
    };
    run.exit.stdout_text().lines().skip(1).map(row).collect()
}

#[test]
fn the_example_measures_every_operation() {
    for count in [1, 4] {
        let rows = costs(example("collectives").cpus(count));
        assert_eq!(rows.len(), 13, "{rows:?}");
    }
}

#[test]
fn working_together_costs_few_instructions() {
    // QEMU's clock counts instructions here, of all cores together.
    let counting = |count| {
        let spec = example("collectives").cpus(count).qemu(&["-icount", "shift=0,sleep=off"]);
        spec.command_line("tsc_khz=1000000")
    };
    for (count, limit) in [(1, 600), (2, 1_500), (4, 4_000)] {
        for (what, [.., most]) in costs(counting(count)) {
            // Adding up two vectors is not the kernel's.
            assert!(most < limit || what.ends_with(" 256 bytes"), "{what} on {count} cores: {most} instructions");
        }
    }
}
