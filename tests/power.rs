//! How cores sleep, what they count, and the ways of hypervisors that only seem to let them.

use toro_tests::{LIMIT, example, guest};

/// What a guest that was asked has counted, of core 0.
fn counted(guest: &toro_vmm::Guest, name: &str) -> u64 {
    let stats = guest.statistics(LIMIT).unwrap_or_else(|error| panic!("{error}"));
    let stat = stats.iter().find(|stat| stat.core == Some(0) && stat.name == name);
    stat.unwrap_or_else(|| panic!("no {name} in {stats:?}")).value.parse().expect("a number")
}

#[test]
fn cores_halt_where_mwait_has_nothing_to_offer() {
    for cpus in [1, 4] {
        let run = guest("power").cpus(cpus).arguments(&["sleeps"]).run().expect_status(0);
        run.expect_stdout("hlt: halted true, mwaited false, woken by the timer true\nfrequency: not-exposed\n");
    }
}

/// QEMU's translator makes a halt of it on a machine with one processor.
#[test]
fn mwait_is_used_where_it_sleeps() {
    let run = guest("power").arguments(&["sleeps"]).command_line("idle=mwait").run().expect_status(0);
    run.expect_lines(["mwait: halted false, mwaited true, woken by the timer true"]);
}

/// And a pause on one with several.
#[test]
fn mwait_that_does_not_sleep_is_given_up() {
    let run = guest("power").cpus(2).arguments(&["sleeps"]).command_line("idle=mwait").run().expect_status(0);
    run.expect_lines(["hlt: halted true, mwaited true, woken by the timer true"]);
}

/// A processor without the instruction stands for a hypervisor that traps it.
#[test]
fn mwait_that_is_refused_is_no_fault() {
    for cpus in [1, 2] {
        let spec = guest("power").cpus(cpus).arguments(&["sleeps"]).command_line("idle=mwait");
        let run = spec.qemu(&["-cpu", "max,monitor=off"]).run().expect_status(0);
        run.expect_lines(["hlt: halted true, mwaited true, woken by the timer true"]);
    }
}

#[test]
fn no_wake_up_is_lost_by_mwait() {
    for cpus in [1, 4] {
        let run = guest("idle_stress").cpus(cpus).command_line("idle=mwait").run();
        run.expect_status(0).expect_stdout("8 pairs came home\n");
    }
    guest("core_wakes").cpus(3).command_line("idle=mwait").run().expect_status(0);
    guest("stale").cpus(4).command_line("idle=mwait").run().expect_status(0);
    let server = example("http_server").ports(&[80]).command_line("idle=mwait").start();
    for _ in 0..20 {
        assert_eq!(server.connect(80).get("/").0, 200);
    }
}

#[test]
fn a_core_does_as_the_mode_says() {
    let said = "spin: slept false, polled most of the time true\nsaving: slept true, polled most of the time false\n\
                latency: slept true, polled most of the time false\nbalanced: slept true, polled most of the time false\n";
    guest("power").arguments(&["mode"]).run().expect_status(0).expect_stdout(&format!("mode balanced\n{said}"));
    let spec = guest("power").arguments(&["mode"]).command_line("power=saving");
    spec.run().expect_status(0).expect_stdout(&format!("mode saving\n{said}"));
}

#[test]
fn deadlines_close_to_each_other_are_one_wake_up() {
    let run = guest("power").arguments(&["slack"]).run().expect_status(0);
    run.expect_stdout("slack 500ms\n1 wake-ups\nnone early: true\nown slack 0ns\nslack 500ms\n");
}

#[test]
fn no_wake_up_is_lost_in_any_mode() {
    for mode in ["latency", "saving", "spin"] {
        for cpus in [1, 2] {
            let run = guest("idle_stress").cpus(cpus).command_line(&format!("power={mode}")).run();
            run.expect_status(0).expect_stdout("8 pairs came home\n");
        }
    }
}

#[test]
fn a_guest_that_is_asked_says_what_it_has_counted() {
    for spec in [guest("power"), guest("power").machine(toro_tests::MachineType::Q35)] {
        let running = spec.arguments(&["idle"]).start();
        running.wait_for("idle");
        let first = counted(&running.guest, "sleeps");
        // Each question is a wake-up by the console, and the answer is told before the next sleep.
        let uart = counted(&running.guest, "interrupt.uart");
        assert!(counted(&running.guest, "interrupt.uart") > uart);
        assert!(counted(&running.guest, "sleeps") > first);
        assert_eq!(counted(&running.guest, "interrupt.timer"), 0, "an idle guest has no timer");
        running.stop().expect_kind("stopped");
    }
}

#[test]
fn a_guest_tells_at_its_end_if_it_is_to() {
    let running = guest("exit_code").with(toro_vmm::Machine::stats).start();
    let ended = running.guest.wait_until(Some(LIMIT), |said| said.outcome.is_some().then(|| said.stats.clone()));
    let stats = ended.expect("it ends");
    assert!(stats.iter().any(|stat| stat.name == "mode" && stat.value == "balanced"), "{stats:?}");
    let running = guest("exit_code").start();
    let ended = running.guest.wait_until(Some(LIMIT), |said| said.outcome.is_some().then(|| said.stats.clone()));
    assert_eq!(ended, Ok(Vec::new()));
}
