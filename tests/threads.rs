//! Threads and what they wait for.

use toro_tests::{MACHINES, guest};

#[test]
fn threads_take_turns() {
    let run = guest("threads").run();
    run.expect_status(0).expect_stdout("none has run yet\nA1\nB1\nC1\nA2\nB2\nC2\nall have ended\n");
}

#[test]
fn join_brings_the_result() {
    guest("join").run().expect_status(0).expect_lines([
        "waited for: Ok([1, 2, 3])",
        "was there: Ok(\"ready\")",
        "went on alone",
        "nested: Ok(Ok(42))",
    ]);
}

#[test]
fn a_stack_is_as_large_as_asked_for() {
    let sizes = ["0 KiB", "8 KiB", "16 KiB", "64 KiB", "1024 KiB"].map(|size| format!("{size}: Ok(\"1 1.5\")"));
    let refused = ["0xffffffffffffffff", "0xfffffffffffff000", "0xfffffffeffffffff", "0x200000000000"]
        .map(|size| format!("{size}: Err(OutOfMemory)"));
    let networks = ["core 0: Ok(true)", "core 1: Ok(true)"].map(String::from);
    let all: Vec<_> = sizes.iter().chain(&refused).chain(&networks).map(String::as_str).collect();
    guest("stack_sizes").cpus(2).run().expect_status(0).expect_stdout(&(all.join("\n") + "\n"));
}

#[test]
fn a_thousand_threads_wait_for_each_other() {
    guest("thousand_threads").run().expect_status(0).expect_stdout("1000 threads, 1 leader\n");
}

#[test]
fn ended_threads_leave_nothing_behind() {
    guest("thread_churn").memory_mib(8).run().expect_status(0).expect_stdout("50490000\n");
}

#[test]
fn thread_local_values_are_each_threads_own() {
    guest("thread_local").run().expect_status(0).expect_lines([
        "(0, [0, 0])",
        "(1, [1, 10])",
        "(2, [2, 20])",
        "a thread drops second, count 1",
        "a thread drops first, count 1",
        "main ends",
        "main drops second, count 101",
        "main drops first, count 101",
    ]);
}

#[test]
fn a_mutex_keeps_others_out_and_is_fair() {
    guest("mutex").run().expect_status(0).expect_stdout("1000\nabcd\n");
}

#[test]
fn a_condition_variable_loses_no_notification() {
    guest("condvar")
        .run()
        .expect_status(0)
        .expect_stdout("2000 steps\n[Ok(7), Ok(7), Ok(7), Ok(7), Ok(7)]\ntime-outs are told from notifications\n");
}

#[test]
fn channels_keep_order_and_bounds() {
    guest("channel").run().expect_status(0).expect_stdout("unbounded: 49500\nbounded: 4950\nrendezvous\nends\n");
}

#[test]
fn once_is_once() {
    guest("once").run().expect_status(0).expect_stdout("3 runs\n");
}

#[test]
fn readers_share_and_writers_do_not() {
    let run = guest("rwlock").run();
    run.expect_status(0).expect_stdout("(100, 100)\nreaders together, a writer alone\n");
}

#[test]
fn a_parked_thread_is_woken() {
    guest("park").run().expect_status(0).expect_stdout("parked and unparked\n");
}

#[test]
fn no_wake_up_is_lost_on_the_way_to_idle() {
    for machine in MACHINES {
        guest("idle_stress").machine(machine).run().expect_status(0).expect_stdout("8 pairs came home\n");
    }
}

#[test]
fn collections_and_io_do_what_those_of_std_do() {
    guest("collections").run().expect_status(0);
    guest("io").run().expect_status(0).expect_stdout("as std does\n");
}
