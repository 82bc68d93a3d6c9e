//! Tier 1 of Linux programs: threads, files and blocking sockets of the standard libraries, and servers that need no more.

use toro_tests::{Libc, Listen, Program, ask, ask_all, ask_more, built, compare, compare_served, has_ipv6};

#[test]
fn the_standard_library_of_rust() {
    let program = built(Program::rust("std"));
    if let Some(program) = program.filter(|_| has_ipv6("the_standard_library_of_rust")) {
        compare(&program, &[], "");
    }
}

#[test]
fn ends_of_a_program_in_rust() {
    for end in ["panic", "exit", "abort", "overflow", "thread-panic", "error"] {
        if let Some(program) = built(Program::rust("std")) {
            compare(&program, &[end], "");
        }
    }
}

#[test]
fn a_server_of_the_standard_library() {
    if let Some(program) = built(Program::rust("std_server")) {
        for cpus in [1, 2] {
            compare_served(&program, Listen::Together, cpus, ask_all);
        }
    }
}

#[test]
fn an_epoll_server_in_c() {
    for libc in [Libc::Musl, Libc::Glibc] {
        if let Some(program) = built(Program::c("epoll_server", libc)) {
            compare_served(&program, Listen::Apart, 1, ask);
        }
    }
}

#[test]
fn exceptions_and_files_in_pascal() {
    if let Some(program) = built(Program::pascal("exceptions")) {
        compare(&program, &[], "");
    }
}

#[test]
fn a_server_in_pascal() {
    if let Some(program) = built(Program::pascal("server")) {
        compare_served(&program, Listen::Apart, 1, ask);
    }
}

#[test]
fn a_mio_server() {
    if let Some(program) = built(Program::rust("mio_server")) {
        compare_served(&program, Listen::Together, 1, ask_more);
    }
}
