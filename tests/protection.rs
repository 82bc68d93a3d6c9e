//! Memory protection: each guest tries one thing, and is caught. (W^X, NX, page 0, guard pages, read-only text.)

use std::collections::HashSet;

use toro_tests::{Libc, MACHINES, Program, built, guest};

/// On every machine: `try_it`'s first line is printed, what it then does is a fault of that kind.
fn is_caught(try_it: &str, first_line: &str, fault: &str) {
    for machine in MACHINES {
        let run = guest(try_it).machine(machine).command_line("fault=exit-any").run();
        let run = run.expect_kind("fault").expect_status(102).expect_stdout(first_line);
        run.expect_log(fault).expect_log("image+0x");
    }
}

#[test]
fn code_is_read_only() {
    is_caught("write_text", "write to code\n", "which is read-only");
}

#[test]
fn constants_are_read_only() {
    is_caught("write_rodata", "write to a constant\n", "which is read-only");
}

#[test]
fn relocated_constants_are_read_only() {
    is_caught("write_relro", "write to a table of functions\n", "which is read-only");
}

#[test]
fn variables_are_not_executable() {
    is_caught("execute_data", "execute data\n", "which is not executable");
}

#[test]
fn the_heap_is_not_executable() {
    is_caught("execute_heap", "execute the heap\n", "which is not executable");
}

#[test]
fn a_stack_is_not_executable() {
    is_caught("execute_stack", "execute the stack\n", "which is not executable");
}

#[test]
fn the_first_page_is_not_mapped() {
    is_caught("read_null", "read address 8\n", "near null");
}

#[test]
fn a_stack_ends_at_its_guard_page() {
    is_caught("write_guard_page", "write below the stack\n", "stack is full");
}

#[test]
fn recursion_without_end_is_caught() {
    is_caught("stack_overflow", "recurse for ever\n", "stack is full");
}

#[test]
fn a_program_is_elsewhere_each_time() {
    let Some(program) = built(Program::c_with("crash", Libc::Glibc, &["-g", "-static-pie"])) else { return };
    let places = || {
        let said = program.guest(&["places"]).run().expect_status(0).exit.stdout_text();
        said.split_whitespace().map(str::to_owned).collect::<Vec<_>>()
    };
    let runs: Vec<Vec<String>> = (0..4).map(|_| places()).collect();
    for (at, what) in ["code", "stack", "heap", "mapped memory"].iter().enumerate() {
        let different: HashSet<&String> = runs.iter().map(|places| &places[at]).collect();
        assert_eq!(different.len(), runs.len(), "its {what} was twice at the same address: {runs:?}");
    }
}
