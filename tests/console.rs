//! What goes in and out: arguments, environment, standard input, output and error.

use toro_tests::{ConsoleDevice, MACHINES, MachineType, guest};

#[test]
fn arguments_and_environment_arrive_as_they_are() {
    let odd = "a b  c=\"d\" %20 \u{e4}\u{1F600} '";
    let run = guest("arguments").arguments(&["first", "", odd, "--flag=x"]).environment("NAME", odd).run();
    run.expect_status(0).expect_lines([
        "argument 1: \"first\"",
        "argument 2: \"\"",
        &format!("argument 3: {odd:?}"),
        "argument 4: \"--flag=x\"",
        &format!("NAME is {odd:?}"),
    ]);
}

#[test]
fn a_variable_given_twice_is_there_once_with_its_last_value() {
    let run = guest("arguments").environment("A", "first").environment("B", "b").environment("A", "last").run();
    let run = run.expect_status(0).expect_lines(["A is \"last\"", "B is \"b\""]);
    assert_eq!(run.exit.stdout_text().matches("A is").count(), 1);
}

#[test]
fn a_log_filter_names_modules() {
    let boot = |filter: &str| guest("exit_code").with(|machine| machine.log(filter)).ports(&[]).run().exit.log_text();
    let (card, address) = ("drivers: eth0: virtio-net", "net: eth0: address");
    let log = boot("drivers=info");
    assert!(log.contains(card) && !log.contains(address), "{log}");
    let log = boot("error,net=info");
    assert!(!log.contains(card) && log.contains(address), "{log}");
    let log = boot("info,drivers=warn");
    assert!(!log.contains(card) && log.contains(address), "{log}");
}

#[test]
fn input_comes_back_byte_for_byte() {
    // Every byte, with those that the console protocol itself uses, and more than any buffer holds.
    let bytes: Vec<u8> = (0..40_000_u32).map(|number| (number * 7 + number / 256) as u8).collect();
    for (machine, console) in
        MACHINES.into_iter().zip([ConsoleDevice::Serial, ConsoleDevice::Virtio].into_iter().cycle())
    {
        let running = guest("stdin_echo").machine(machine).console(console).stdin().start();
        assert!(running.guest.send_stdin(&bytes), "the guest ended");
        running.guest.close_stdin();
        let run = running.finish().expect_status(0);
        assert!(run.exit.stdout == bytes, "{} bytes came back, not the same", run.exit.stdout.len());
        run.expect_stderr("40000 bytes\n");
    }
}

#[test]
fn input_is_answered_when_it_comes() {
    let running = guest("stdin_lines").stdin().start();
    running.wait_for("ready");
    for line in ["one", "two", "three"] {
        assert!(running.guest.send_stdin(format!("{line}\n").as_bytes()), "the guest ended");
        running.wait_for(&format!("got {line}"));
    }
    running.guest.close_stdin();
    running.finish().expect_status(0).expect_lines(["got one", "got two", "got three", "end"]);
}

#[test]
fn a_machine_that_gets_no_console_speaks_by_the_debug_port() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("said");
    let port = format!("file,id=debug,path={}", file.display());
    let arguments = ["-chardev", &port, "-device", "isa-debugcon,iobase=0xe9,chardev=debug"];
    let spec = |extra: &str| {
        let spec = guest("exit_code").machine(MachineType::Q35).console(ConsoleDevice::Virtio).command_line(extra);
        spec.qemu(&arguments)
    };
    let said = || std::fs::read_to_string(&file).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
    spec("ip=1.2.3").run().expect_status(125).expect_stdout("");
    assert!(said().contains("event=boot") && said().contains("kind=boot"), "{}", said());
    // Nothing is said there that another console takes.
    spec("").run().expect_status(42).expect_stdout("hello from ring 0\n");
    assert!(said().contains("event=boot") && !said().contains("hello"), "{}", said());
}
