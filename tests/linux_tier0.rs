//! Tier 0 of Linux programs: the first program in each language, however it was linked.

use toro_tests::{Libc, Program, built, compare};

fn hello(program: Result<Program, String>, arguments: &[&str]) {
    if let Some(program) = built(program) {
        compare(&program, arguments, "");
    }
}

#[test]
fn hello_in_c() {
    hello(Program::c("hello", Libc::Glibc), &[]);
    hello(Program::c("hello", Libc::Musl), &[]);
}

#[test]
fn hello_in_rust() {
    hello(Program::rust("hello"), &[]);
}

#[test]
fn hello_in_go() {
    hello(Program::go("hello"), &[]);
    hello(Program::go("hello"), &["with", "status", "4"]);
}

#[test]
fn hello_in_pascal() {
    hello(Program::pascal("hello"), &[]);
    hello(Program::pascal("hello"), &["status"]);
}
