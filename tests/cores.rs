//! All cores: found by every table there is, started, used, and stopped when one of them fails.

use toro_tests::{ALL_MACHINES, Change, MachineType, STUB_ADDRESS, Spec, guest};

const RAM: u32 = 1;

#[test]
fn every_core_of_every_machine_runs_threads() {
    for machine in ALL_MACHINES {
        for count in [1, 2, 4] {
            let said = format!("{count} cores, 1 leader\n");
            guest("cores").cpus(count).machine(machine).run().expect_status(0).expect_stdout(&said);
        }
    }
}

#[test]
fn sixty_four_cores_run_threads() {
    let said = "64 cores, 1 leader\n";
    guest("cores").cpus(64).run().expect_status(0).expect_stdout(said);
    guest("cores").cpus(64).machine(MachineType::MicrovmMinimal).run().expect_status(0).expect_stdout(said);
    let run = guest("cores").cpus(80).machine(MachineType::Q35).run().expect_status(0).expect_stdout(said);
    run.expect_log("the machine has 80 processors, 64 are used");
}

#[test]
fn processors_that_are_not_plugged_in_are_not_started() {
    for machine in [MachineType::Microvm, MachineType::Q35] {
        let run = guest("cores").machine(machine).qemu(&["-smp", "2,maxcpus=4"]).run();
        run.expect_status(0).expect_stdout("2 cores, 1 leader\n");
    }
}

/// A machine with two processors whose table names these.
fn named(name: &str, apic_ids: &[u8]) -> Spec {
    let (low, high) = (0x9_f000, 0x10_0000);
    let map = vec![(0, low, RAM), (high, u64::from(STUB_ADDRESS) - high, RAM)];
    guest(name).cpus(2).tampered(&[Change::MemoryMap(map), Change::Processors(apic_ids.to_vec())])
}

#[test]
fn a_table_that_repeats_itself_and_names_everybody_is_no_obstacle() {
    let ids = [0, 1, 1, 0, 255, 1];
    named("cores", &ids).run().expect_status(0).expect_stdout("2 cores, 1 leader\n");
    named("cores", &[]).run().expect_status(0).expect_stdout("1 cores, 1 leader\n");
}

#[test]
fn a_core_that_never_starts_is_told_and_the_others_go_on() {
    let run = named("absent_core", &[0, 77, 1]).run().expect_status(0);
    run.expect_lines(["core 2 runs", "core 1 was given up", "its thread ran on core 0"])
        .expect_log("core 1 (APIC 77) does not start");
    // Cores that wait for each other go on without it.
    named("agreement", &[0, 77, 1]).run().expect_status(0).expect_stdout("2 cores agree\n");
}

#[test]
fn what_threads_wait_for_reaches_them_on_any_core() {
    let scores = [800, 19900, 800, 5100, 400, 121, 100, 30];
    let said = format!("scores {:?}\n", [scores, scores].concat());
    for seed in 1..=4 {
        let cores = guest("cross_core").cpus(4).arguments(&[&seed.to_string()]);
        cores.run().expect_status(0).expect_stdout(&said);
    }
}

#[test]
fn a_sleeping_core_is_woken_by_one_interrupt() {
    let run = guest("core_wakes").cpus(3).run();
    run.expect_status(0).expect_stdout("one interrupt for each of 50 sleeps\n");
}

#[test]
fn the_program_exits_from_any_core() {
    for count in [1, 4] {
        guest("exit_elsewhere").cpus(count).run().expect_kind("exit").expect_status(7).expect_stdout("bye\n");
    }
}

#[test]
fn a_call_that_fails_on_another_core_is_a_defect_there() {
    let run = guest("call_fails").cpus(2).run().expect_kind("kernel-defect").expect_status(103);
    run.expect_message("kernel defect: the kernel itself on core 1 panicked at")
        .expect_log("a call went wrong")
        .expect_stdout("");
}

#[test]
fn a_fault_on_one_core_ends_all_and_names_it() {
    for count in [2, 4] {
        let run = guest("core_faults")
            .cpus(count)
            .command_line("fault=exit-any")
            .run()
            .expect_kind("fault")
            .expect_status(102);
        let last = count - 1;
        run.expect_message(&format!("near null, in thread {count} 'bad' on core {last}")).expect_stdout("");
    }
}

#[test]
fn of_faults_on_all_cores_at_once_one_is_told() {
    for count in [2, 4, 8] {
        let run = guest("all_fault")
            .cpus(count)
            .command_line("fault=exit-any")
            .run()
            .expect_kind("fault")
            .expect_status(102)
            .expect_stdout("");
        let log = run.exit.log_text();
        assert_eq!(log.matches("near null, in thread").count(), 1, "{log}");
        assert!(log.contains("rflags") && log.contains("#0 image+"), "{log}");
    }
}

#[test]
fn a_machine_ends_while_its_cores_are_busy() {
    for machine in [MachineType::Microvm, MachineType::Q35] {
        for _ in 0..5 {
            let run = guest("exit_amid").cpus(4).machine(machine).run().expect_kind("exit").expect_status(7);
            // Whoever was stopped was in the middle of something, so the last line may be cut, but nothing else.
            let output = run.exit.stdout_text();
            let whole = output.rsplit_once('\n').map_or("", |(whole, _)| whole);
            assert!(whole.lines().all(|line| line == "3" || line.is_empty()), "{output}");
        }
    }
}
