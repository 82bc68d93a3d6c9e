//! Programs in ring 3, and the door to it.

use toro_tests::guest;

/// With protection and AVX, and without.
const PROCESSORS: [&str; 2] = ["max", "qemu64"];

fn on_all_processors(name: &str, said: &str) {
    for processor in PROCESSORS {
        guest(name).qemu(&["-cpu", processor]).run().expect_status(0).expect_stdout(said);
    }
}

#[test]
fn a_program_keeps_its_registers() {
    on_all_processors("program_calls", "registers are kept\n");
}

#[test]
fn whatever_a_program_does_comes_back() {
    on_all_processors("program_faults", "39 programs came back\n");
    guest("program_faults").cpus(2).qemu(&["-cpu", "qemu64"]).run().expect_status(0); // one strikes the other
}

#[test]
fn pages_are_as_they_were_asked_for_and_all_come_back() {
    on_all_processors("program_memory", "pages are what they should be\n");
}

#[test]
fn programs_share_their_cores() {
    for cpus in [1, 2, 4] {
        let said = format!("{} programs on {cpus} cores\n", 3 * cpus);
        guest("program_threads").cpus(cpus).run().expect_status(0).expect_stdout(&said);
    }
}

#[test]
fn the_kernel_cannot_touch_a_program_by_mistake() {
    let message = |verb: &str, address: &str, why: &str| format!("{verb} {address}, {why}, in thread 1 'main'");
    let read = guest("touch_program").run();
    read.expect_kind("fault").expect_message(&message("read of", "0x500000", "whose mapping is not valid"));
    let run = guest("touch_program").arguments(&["run"]).run();
    run.expect_kind("fault").expect_message(&message("execution of", "0x400002", "which is not executable"));
}

/// In instructions, of a build for testing; as it ships, a call takes half of it.
#[test]
fn the_door_costs_what_it_is_said_to_cost() {
    let run =
        guest("program_costs").qemu(&["-icount", "shift=0"]).command_line("tsc_khz=1000000").run().expect_status(0);
    for (what, instructions_max) in [("call that does nothing", 300), ("page that is there when it is touched", 2500)] {
        let said = run.exit.stdout_text();
        let line = said.lines().find(|line| line.starts_with(what)).expect("it says what it measures");
        let instructions: u32 = line.rsplit(": ").next().and_then(|count| count.parse().ok()).expect("a count");
        assert!(instructions <= instructions_max, "{line}, at most {instructions_max}");
    }
}
