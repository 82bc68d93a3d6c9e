//! The examples do what they say.

use toro_tests::{MACHINES, example};

#[test]
fn hello_greets() {
    for machine in MACHINES {
        example("hello").machine(machine).run().expect_status(0).expect_stdout("Hello, world, from Toro\n");
    }
    let run = example("hello").environment("NAME", "Ada").run();
    run.expect_status(0).expect_stdout("Hello, Ada, from Toro\n");
}

#[test]
fn threads_sleep_at_the_same_time() {
    example("threads").run().expect_status(0).expect_lines([
        "worker 3 slept 10ms",
        "worker 2 slept 20ms",
        "worker 1 slept 30ms",
        "60ms of sleep in less time: true",
    ]);
}
