//! Faults: what each exception comes to, wherever it is raised.

use crate::soak;
use std::time::Instant;
use toro_tests::{Client, LIMIT, Libc, MACHINES, Program, Running, built, example, guest};

/// Exceptions that code can raise in ring 0, and what is said of each: as in `tests/guests/exceptions`.
const EXCEPTIONS: [(&str, &str); 16] = [
    ("divide", "divide error"),
    ("debug", "debug trap"),
    ("breakpoint", "breakpoint"),
    ("overflow", "exception 4 (error code 0x0)"),
    ("bound", "exception 5 (error code 0x0)"),
    ("invalid", "invalid instruction"),
    ("no_device", "exception 7 (error code 0x0)"),
    ("stack_segment", " fault (error code 0x0)"),
    ("protection", "general protection fault (error code 0x50)"),
    ("strange", "general protection fault (error code 0x0)"),
    ("read_null", "read of 0x8, near null"),
    ("write_null", "write to 0x10, near null"),
    ("jump_null", "execution of 0x0, near null"),
    ("read_absent", "read of 0xffffe00000000000, which is not mapped"),
    ("x87", "floating-point exception"),
    ("stack", "the thread's stack is full"),
];

#[test]
fn a_fault_in_a_thread_ends_that_thread() {
    for machine in MACHINES {
        for cpus in [1, 2] {
            let run = guest("fault_kinds").machine(machine).cpus(cpus).run().expect_status(0);
            let run = run.expect_stdout("48 faults, and main goes on\n");
            // Each that was not caught is reported, once.
            let log = run.exit.log_text();
            let heads: Vec<&str> = log.lines().filter(|line| !line.starts_with(' ')).collect();
            assert_eq!(heads.len(), EXCEPTIONS.len(), "{heads:#?}");
            for ((_, said), head) in EXCEPTIONS.iter().zip(heads) {
                assert!(head.contains(said) && head.contains(", in thread "), "{head}: {said}");
            }
        }
    }
}

#[test]
fn a_fault_in_main_ends_the_machine() {
    for machine in MACHINES {
        for (name, said) in EXCEPTIONS {
            let run = guest("fault_in_main").machine(machine).arguments(&[name]).run();
            let run = run.expect_kind("fault").expect_status(102).expect_stdout(&format!("{name}\n"));
            run.expect_message(said).expect_message("in thread 1 'main'").expect_log("rflags").expect_log("#0 ");
        }
    }
}

#[test]
fn a_fault_in_a_thread_ends_the_machine_where_that_is_wanted() {
    let run = guest("fault_in_main").arguments(&["divide", "any"]).run().expect_kind("fault").expect_status(102);
    run.expect_message("divide error, in thread 2").expect_stdout("divide\n");
}

#[test]
fn an_exception_where_the_kernel_is_at_work_is_a_defect() {
    for (number, machine) in MACHINES.into_iter().enumerate() {
        // All of them on one machine; what could depend on it, on each.
        for (name, said) in EXCEPTIONS.into_iter().filter(|(name, _)| number == 0 || ["divide", "stack"].contains(name))
        {
            let run = guest("fault_in_main").machine(machine).arguments(&[name, "kernel"]).run();
            let run = run.expect_stdout(&format!("{name}\n")).expect_message(said).expect_log("rflags");
            // A stack that is full is its thread's doing, wherever the last straw fell.
            let (kind, status) = if name == "stack" { ("fault", 102) } else { ("kernel-defect", 103) };
            run.expect_kind(kind).expect_status(status);
        }
    }
}

#[test]
fn a_double_fault_is_told_and_ends_the_machine() {
    for machine in MACHINES {
        let run = guest("fault_in_main").machine(machine).arguments(&["double"]).run();
        run.expect_kind("kernel-defect").expect_status(103).expect_message("double fault").expect_log("rflags");
    }
}

#[test]
fn a_program_in_ring_3_is_contained_on_every_machine() {
    for machine in MACHINES {
        let run = guest("program_faults").machine(machine).run().expect_status(0);
        run.expect_stdout("39 programs came back\n");
    }
}

/// What comes from outside: QEMU's monitor sends it.
fn from_outside(running: Running, said: &str, monitor: &str) {
    // A machine that is off before QEMU has answered is what is wanted, too.
    let _answer = running.guest.qmp().monitor(monitor);
    let run = running.finish();
    let status = run.exit.status();
    assert!([102, 103].contains(&status), "{monitor}: {status}, {:?}", run.exit.ending);
    run.expect_message(said).expect_log("rflags").expect_log("#0 ");
}

/// A machine check that the processor cannot go on after.
const MACHINE_CHECK: &str = "mce 0 1 0xb200000000000000 0x5 0 0";

#[test]
fn what_strikes_the_machine_from_outside_is_told_and_ends_it() {
    for machine in MACHINES {
        for (said, monitor) in [("non-maskable interrupt", "nmi"), ("machine check", MACHINE_CHECK)] {
            // While it computes, and while it sleeps.
            let busy = guest("fault_in_main").machine(machine).arguments(&["spin"]).start();
            busy.wait_for("spin");
            from_outside(busy, said, monitor);
            let idle = guest("stdin_lines").machine(machine).stdin().start();
            idle.wait_for("ready");
            from_outside(idle, said, monitor);
        }
    }
    // While a program is in ring 3.
    let Some(program) = built(Program::c("crash", Libc::Glibc)) else { return };
    for (said, monitor) in [("non-maskable interrupt", "nmi"), ("machine check", MACHINE_CHECK)] {
        let running = program.guest(&["spin"]).start();
        running.wait_for("begun");
        from_outside(running, said, monitor);
    }
}

/// What an instruction that may fail is forgiven is not forgiven to what strikes the core meanwhile.
#[test]
fn what_strikes_a_core_that_sleeps_by_mwait_is_told_too() {
    for (said, monitor) in [("non-maskable interrupt", "nmi"), ("machine check", MACHINE_CHECK)] {
        let idle = guest("power").arguments(&["idle"]).command_line("idle=mwait").start();
        idle.wait_for("idle");
        let (begun, qmp) = (Instant::now(), idle.guest.qmp());
        while !qmp.monitor("info registers").is_ok_and(|registers| registers.contains("HLT=1")) {
            assert!(begun.elapsed() < LIMIT, "the guest does not sleep");
        }
        from_outside(idle, said, monitor);
    }
}

/// Public functions of the kernel that are handed a wild pointer.
const MISUSED: [&str; 12] = [
    "free",
    "allocate",
    "mutex",
    "rwlock",
    "condvar",
    "channel",
    "unpark",
    "stdout",
    "random",
    "tcp_read",
    "tcp_write",
    "udp",
];

#[test]
fn a_fault_in_the_kernel_is_a_defect() {
    for name in MISUSED {
        let run = guest("fault_in_kernel").arguments(&[name]).run().expect_kind("kernel-defect").expect_status(103);
        run.expect_message("kernel defect: ").expect_stdout(&format!("{name}\n"));
    }
    for machine in MACHINES {
        guest("fault_in_kernel").machine(machine).arguments(&["free"]).run().expect_status(103);
    }
}

#[test]
fn values_are_raised_and_what_is_lost_is_counted() {
    guest("fault_values").run().expect_status(0).expect_lines(["as it is said"]);
}

#[test]
fn main_is_called_again_where_that_is_wanted() {
    let restart = |spec: toro_tests::Spec| {
        let run = spec.run().expect_status(0);
        let run = run.expect_stdout("main, 1\na thread stays\nmain, 2\nmain, 3\nthe thread is still there\n");
        let log = run.exit.log_text();
        assert_eq!(log.matches(" panicked at ").count(), 2, "{log}");
    };
    for cpus in [1, 2] {
        restart(guest("restart").cpus(cpus).command_line("fault=restart"));
    }
    restart(guest("restart").arguments(&["api"]));
}

#[test]
fn nobody_waits_for_a_thread_that_held_a_lock() {
    for cpus in [1, 2, 4] {
        guest("fault_locks").cpus(cpus).run().expect_status(0).expect_stdout("nobody waits\n");
    }
}

#[test]
fn a_server_loses_the_answers_whose_handlers_fault_and_no_others() {
    for cpus in [1, 2] {
        let running = example("faults").memory_mib(8).cpus(cpus).ports(&[80]).start();
        let address = running.listening(80).into();
        soak::faulty_requests(address, 3000, 100);
        let mut client = Client::connect(address);
        assert_eq!(client.get("/caught/10"), (200, b"100\n".to_vec()));
        let (status, said) = client.get("/caught/0");
        assert!(status == 500 && String::from_utf8_lossy(&said).contains("attempt to divide by zero"));
        assert_eq!(client.get("/raised"), (500, b"refused: nobody may\n".to_vec()));
        let (_, said) = client.get("/faults");
        let said = String::from_utf8_lossy(&said).into_owned();
        assert!(said.starts_with("{\"faults\":32,\"caught\":2,\"lost_bytes\":"), "{said}");
        let run = running.stop().expect_kind("stopped");
        assert_eq!(run.exit.log_text().matches("attempt to divide by zero").count(), 30);
    }
}

#[test]
fn a_million_faults_leave_nothing_behind() {
    let run = guest("fault_million").memory_mib(4).arguments(&["1000000"]).start().finish_within(4 * LIMIT);
    let run = run.expect_status(0);
    let said = run.exit.stdout_text();
    assert!(said.starts_with("1000000 faults, ") && said.ends_with(", 547452 bytes lost\n"), "{said}");
}
