//! Exceptions of Linux programs: what languages make of signals, and what becomes of those that nobody catches.

use toro_tests::{Libc, Program, built, compare, compare_cases};

#[test]
fn every_exception_of_freepascal_is_caught_by_its_class() {
    if let Some(program) = built(Program::pascal("faults")) {
        compare(&program, &[], "");
    }
}

#[test]
fn exceptions_of_freepascal_that_nobody_catches() {
    if let Some(program) = built(Program::pascal("faults")) {
        // Division, access, integer overflow, range, a stack that is full, and one of its own.
        for number in ["0", "3", "8", "9", "10", "11"] {
            compare(&program, &[number], "");
        }
    }
}

#[test]
fn panics_of_go_are_recovered_and_goroutines_preempted() {
    if let Some(program) = built(Program::go("faults")) {
        compare(&program, &[], "");
    }
}

#[test]
fn panics_of_go_that_nobody_recovers() {
    if let Some(program) = built(Program::go("faults")) {
        for how in ["nil", "goroutine", "exit"] {
            compare(&program, &[how], "");
        }
    }
}

#[test]
fn panics_of_rust_are_caught_and_its_other_ends_are_as_on_linux() {
    if let Some(program) = built(Program::rust("faults")) {
        for how in ["caught", "twice", "overflow-thread", "unwinding-out", "abort"] {
            compare(&program, &[how], "");
        }
    }
}

#[test]
fn exceptions_of_cpp_cross_frames_threads_and_signals() {
    for further in ["-static", "-static-pie"] {
        if let Some(program) = built(Program::cpp("exceptions", &[further])) {
            compare(&program, &[], "");
        }
    }
    if let Some(program) = built(Program::cpp("exceptions", &["-static"])) {
        for how in ["throw", "number", "noexcept", "pure", "exit"] {
            compare(&program, &[how], "");
        }
    }
}

#[test]
fn handlers_in_c_are_left_by_jumps() {
    for libc in [Libc::Glibc, Libc::Musl] {
        if let Some(program) = built(Program::c("jumps", libc)) {
            compare_cases(&program, 1, |_| false);
        }
    }
}
