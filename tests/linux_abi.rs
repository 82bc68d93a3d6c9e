//! The ABI of Linux programs, area by area: each case of `tests/linux/c` prints what it observes, on the host's Linux and in
//! the guest, and both must be the same. Linked with both C libraries, on one core and on two.
//!
//! `TORO_TEST_ALL=1` runs the cases that are left out, too, and `TORO_TEST_CASE=AREA/CASE` that one alone.

use toro_tests::{Libc, Program, built, compare, compare_cases, has_ipv6};

/// Cases that differ, and why: `AREA/CASE`, or `AREA/*`.
const LEFT_OUT: &[(&str, &str)] = &[("signals/faults_of_sse", "TCG raises no exceptions of SSE")];

fn is_left_out(area: &str, case: &str) -> bool {
    if let Ok(only) = std::env::var("TORO_TEST_CASE") {
        return only != format!("{area}/{case}");
    }
    let is_meant = |pattern: &str| pattern == format!("{area}/*") || pattern == format!("{area}/{case}");
    std::env::var_os("TORO_TEST_ALL").is_none() && LEFT_OUT.iter().any(|(pattern, _why)| is_meant(pattern))
}

fn area(name: &str) {
    if name == "inet6" && !has_ipv6(name) {
        return;
    }
    for (libc, cpus) in [(Libc::Glibc, 1), (Libc::Musl, 2)] {
        if let Some(program) = built(Program::c(name, libc)) {
            compare_cases(&program, cpus, |case| is_left_out(name, case));
        }
    }
}

macro_rules! areas {
    ($($name:ident)*) => {
        $(#[test]
        fn $name() {
            area(stringify!($name));
        })*
    };
}

areas! {
    clocks descriptors directories epoll events files futex hostile inet6 machine memory pipes polling processor signals splice tcp threads
    udp unix_sockets
}

/// How a program can end: each with the status that a shell sees.
#[test]
fn exits() {
    let ways = [
        "return",
        "exit",
        "_exit",
        "abort",
        "crash",
        "divide",
        "term",
        "kill",
        "handled",
        "pipe",
        "thread-exits",
        "thread-crashes",
        "main-ends",
        "stderr",
    ];
    for libc in [Libc::Glibc, Libc::Musl] {
        let Some(program) = built(Program::c("exits", libc)) else { continue };
        for way in ways.into_iter().filter(|way| !is_left_out("exits", way)) {
            compare(&program, &[way], "");
        }
    }
}

/// What a program is given: arguments, variables, standard input.
#[test]
fn givens() {
    let Some(program) = built(Program::c("exits", Libc::Musl)) else { return };
    if !is_left_out("exits", "givens") {
        compare(&program, &["arguments", "", "a b", "--x=y", "\u{e4}\u{f6}", "\"'\\"], "");
        compare(&program, &["environment"], "");
        compare(&program, &["input"], "one\ntwo\n\nthe last has no end");
        compare(&program, &["input"], &"a line among many\n".repeat(2000));
        compare(&program, &["input"], "");
    }
}
