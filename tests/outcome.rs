//! How a machine ends, and what its host hears of it.

use toro_tests::{ConsoleDevice, LIMIT, MACHINES, MachineType, guest};

#[test]
fn the_status_is_the_programs_own() {
    for status in ["0", "1", "7", "255"] {
        let number = status.parse().expect("a number");
        guest("exit_code").arguments(&[status]).run().expect_kind("exit").expect_status(number);
        // From another thread than `main`.
        guest("exit_code").arguments(&[status, "exit"]).run().expect_kind("exit").expect_status(number);
    }
}

#[test]
fn an_error_from_main_is_status_one() {
    guest("main_error").run().expect_kind("exit").expect_status(1).expect_stderr("Error: \"no luck\"\n");
}

#[test]
fn a_panic_is_told_with_its_place() {
    for machine in MACHINES {
        let run = guest("panic").machine(machine).command_line("fault=exit-any").run();
        let run = run.expect_kind("panic").expect_status(101);
        run.expect_log("thread 2 'unlucky' panicked at").expect_log("number 13").expect_log("panic::main");
    }
}

#[test]
fn a_report_reaches_a_virtio_console() {
    let run = guest("panic").console(ConsoleDevice::Virtio).command_line("fault=exit-any").run();
    run.expect_kind("panic").expect_log("number 13");
}

#[test]
fn no_memory_is_an_outcome() {
    for cpus in [1, 4] {
        let guest = guest("heap_exhaustion").cpus(cpus);
        guest.memory_mib(16).run().expect_kind("oom").expect_status(104);
    }
}

#[test]
fn a_lock_held_twice_is_a_panic_not_a_hang() {
    guest("lock_twice").run().expect_kind("panic").expect_status(101);
}

#[test]
fn the_host_can_stop_it() {
    let machine = guest("stdin_lines").stdin().start();
    machine.wait_for("ready");
    machine.stop().expect_kind("stopped").expect_status(130);
}

#[test]
fn the_host_can_stop_it_behind_input_that_nobody_reads() {
    let input = [b'i'; 40_000];
    for console in [ConsoleDevice::Serial, ConsoleDevice::Virtio] {
        let machine = guest("tcp_echo").console(console).ports(&[7]).stdin().start();
        machine.listening(7);
        assert!(machine.guest.send_stdin(&input), "the guest ended");
        machine.stop().expect_kind("stopped").expect_status(130);
    }
}

#[test]
fn a_malformed_command_line_is_refused() {
    for line in ["ip=300.1.2.3/24", "arg=%zz", "=x", "tsc_khz=fast"] {
        guest("exit_code").command_line(line).run().expect_kind("boot").expect_status(125);
    }
}

#[test]
fn a_refused_machine_is_switched_off_and_does_not_boot_again() {
    for machine in [MachineType::Microvm, MachineType::Q35, MachineType::Pc] {
        let running = guest("exit_code").machine(machine).command_line("ip=300.1.2.3/24").start();
        let end = running.guest.wait_until(Some(LIMIT), |said| said.shutdown_reason.clone());
        running.finish().expect_kind("boot");
        // QEMU may be gone before its last event is out.
        assert!(!matches!(end.as_deref(), Ok("guest-reset")), "it would boot for ever");
    }
}

#[test]
fn an_unknown_key_is_a_warning() {
    guest("exit_code").command_line("colour=blue log=warn").run().expect_status(42).expect_log("colour");
}

#[test]
fn a_fault_inside_the_console_is_reported_on_it() {
    for console in [ConsoleDevice::Serial, ConsoleDevice::Virtio] {
        let run = guest("overflow_in_print").console(console).run().expect_kind("fault").expect_status(102);
        run.expect_log("the thread's stack is full").expect_log("in thread 1 'main'");
    }
}

#[test]
fn a_panic_while_reporting_a_panic_ends_as_the_first() {
    let run = guest("bad_message").run().expect_kind("panic").expect_status(101);
    run.expect_log("thread 1 'main' panicked at").expect_message("failed again while reporting");
}
