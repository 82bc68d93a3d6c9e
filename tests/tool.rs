//! What the program `toro` decides, with real guests that show that it was right.

use std::process::Command;
use toro_tests::{Client, Tool, example, guest, run};

#[test]
fn an_address_that_was_the_hosts_own_is_the_guests() {
    let tool = Tool::new();
    for (name, ip) in [("second", "10.0.0.2/24"), ("third", "10.0.0.3/24")] {
        tool.start(&example("http_server"), name, &["-p", "0:80", "--ip", ip]).expect_status(0);
        assert_eq!(Client::connect(tool.address(name)).get("/").0, 200, "{ip}");
    }
}

#[test]
fn the_longest_command_line_that_is_let_through_arrives() {
    let tool = Tool::new();
    let image = guest("exit_code").image_path();
    for machine in ["q35", "microvm", "microvm-minimal"] {
        let with = |bytes: usize| {
            let value = format!("BIG={}", "x".repeat(bytes));
            tool.run(&["run", "--accel", "tcg", "--machine", machine, "-e", &value, &image])
        };
        let refused = with(8192).expect_status(125);
        // "... its command line has 8310 bytes and q35 takes 4095; ..."
        let numbers = refused.stderr.split(|c: char| !c.is_ascii_digit()).filter_map(|word| word.parse().ok());
        let numbers: Vec<usize> = numbers.filter(|number| *number > 4000).collect();
        let (length, limit) = (numbers[0], numbers[1]);
        with(8192 - (length - limit)).expect_status(42);
    }
}

#[test]
fn the_line_that_build_prints_boots_the_image() {
    let (tool, folder) = (Tool::new(), tempfile::tempdir().expect("a folder"));
    let file = folder.path().join("my app.elf");
    let words = ["build", &example("hello").image_path(), "-o", &file.to_string_lossy()];
    let told = tool.run(&words).expect_status(0);
    let line = told.stderr.lines().last().expect("a line").trim();
    let output = run("sh", &["-c", line]).expect("QEMU runs");
    assert!(output.starts_with("Hello, world, from Toro") && output.contains("ended with status 0"), "{output}");
}

#[test]
fn plain_cargo_builds_what_new_makes_and_it_runs() {
    let (tool, folder) = (Tool::new(), tempfile::tempdir().expect("a folder"));
    let app = folder.path().join("my-app");
    let app = app.to_str().expect("a path");
    tool.run(&["new", app]).expect_status(0);
    // Kept from run to run, since it has a kernel in it. What it needs is there: it is what every guest needs.
    let settings = [("CARGO_TARGET_DIR", concat!(env!("CARGO_TARGET_TMPDIR"), "/new")), ("CARGO_NET_OFFLINE", "true")];
    let built = Command::new("cargo").args(["build", "--release"]).current_dir(app).envs(settings).output();
    let built = built.expect("cargo starts");
    assert!(built.status.success(), "{}", String::from_utf8_lossy(&built.stderr));
    let output = tool.command(&["run", "--accel", "tcg", app, "Ann"]).envs(settings).output().expect("the tool starts");
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!((output.status.code(), &*output.stdout), (Some(0), &b"Hello, Ann!\n"[..]), "{stderr}");
}
