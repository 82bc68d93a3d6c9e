//! `toro run` from the outside, with a scripted program in QEMU's place: streams, statuses, signals, the ready line.
//!
//! That program is this one: started with `$SCRIPT`, it plays a guest; otherwise it runs the tests.

mod scripted_qemu;

use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Child, Command, ExitCode, Output, Stdio};
use tempfile::TempDir;

fn main() -> ExitCode {
    if let Ok(script) = std::env::var("SCRIPT") {
        scripted_qemu::play(&script);
        return ExitCode::SUCCESS;
    }
    let tests = [
        trial!(streams_arrive_byte_for_byte_and_apart),
        trial!(the_ready_line_names_the_port_that_was_free),
        trial!(a_port_that_is_not_published_is_told),
        trial!(sigterm_stops_in_order),
        trial!(a_second_ctrl_c_says_where_a_deaf_guest_is_and_ends_it),
        trial!(the_time_limit_says_where_the_guest_is_and_ends_it),
        trial!(a_panic_is_101_and_reported_once),
        trial!(a_guest_that_says_nothing_has_failed),
        trial!(a_vmm_that_fails_is_told_with_its_last_words),
    ];
    libtest_mimic::run(&libtest_mimic::Arguments::from_args(), tests.into()).exit_code()
}

macro_rules! trial {
    ($test:ident) => {
        libtest_mimic::Trial::test(stringify!($test), || {
            $test();
            Ok(())
        })
    };
}
use trial;

struct Run {
    folder: TempDir,
    command: Command,
}

/// `toro run OPTIONS app` with a guest that plays `script`.
fn toro_run(script: &str, options: &[&str]) -> Run {
    let folder = tempfile::tempdir().unwrap();
    let app = folder.path().join("app");
    std::fs::write(&app, include_bytes!("smallest_image.elf")).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_toro"));
    command
        .args(["run", "--accel", "tcg"])
        .args(options)
        .arg("--status-file")
        .arg(folder.path().join("status"))
        .arg(app);
    command.env("TORO_QEMU", std::env::current_exe().unwrap()).env("SCRIPT", script);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    Run { folder, command }
}

impl Run {
    fn output(&mut self) -> (i32, Output) {
        let output = self.command.output().unwrap();
        (output.status.code().unwrap(), output)
    }

    fn status_file(&self) -> serde_json::Value {
        serde_json::from_slice(&std::fs::read(self.folder.path().join("status")).unwrap()).unwrap()
    }
}

fn signal(child: &Child, signal: rustix::process::Signal) {
    rustix::process::kill_process(rustix::process::Pid::from_child(child), signal).unwrap();
}

fn streams_arrive_byte_for_byte_and_apart() {
    let mut run = toro_run("echo", &[]);
    let mut child = run.command.stdin(Stdio::piped()).spawn().unwrap();
    let input: Vec<u8> = (0..=255).cycle().take(10_000).collect();
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(&input).unwrap();
    drop(stdin);
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.stdout, input);
    assert_eq!(String::from_utf8_lossy(&output.stderr), "[0.001] test: log\nerror stream");
    assert_eq!(output.status.code(), Some(7));
    let status = run.status_file();
    assert_eq!((&status["status"], &status["kind"]), (&7.into(), &"exit".into()));
}

fn the_ready_line_names_the_port_that_was_free() {
    let mut run = toro_run("serve", &["-p", "0:80"]);
    let mut child = run.command.spawn().unwrap();
    let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
    let ready = lines.next().unwrap().unwrap();
    assert!(ready.starts_with("ready: http://127.0.0.1:40404 -> guest :80 (") && ready.ends_with(" ms)"), "{ready}");
    signal(&child, rustix::process::Signal::INT);
    assert_eq!(child.wait().unwrap().code(), Some(130));
    assert!(lines.next().is_none());
}

fn a_port_that_is_not_published_is_told() {
    let mut run = toro_run("serve", &[]);
    let mut child = run.command.spawn().unwrap();
    let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
    assert_eq!(lines.next().unwrap().unwrap(), "note: listening on guest port 80, not published");
    assert_eq!(lines.next().unwrap().unwrap(), " help: to reach it, add -p 8080:80");
    signal(&child, rustix::process::Signal::INT);
    assert_eq!(child.wait().unwrap().code(), Some(130));
}

fn sigterm_stops_in_order() {
    let mut run = toro_run("serve", &["-p", "0:80"]);
    let mut child = run.command.spawn().unwrap();
    let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
    lines.next().unwrap().unwrap();
    signal(&child, rustix::process::Signal::TERM);
    assert_eq!(child.wait().unwrap().code(), Some(143));
    let status = run.status_file();
    assert_eq!((&status["status"], &status["kind"]), (&143.into(), &"stopped".into()));
    assert!(status["ready_ms"].as_f64().unwrap() > 0.0);
}

fn a_second_ctrl_c_says_where_a_deaf_guest_is_and_ends_it() {
    let mut run = toro_run("deaf", &[]);
    let mut child = run.command.spawn().unwrap();
    let mut stderr = BufReader::new(child.stderr.take().unwrap());
    let mut line = String::new();
    stderr.read_line(&mut line).unwrap();
    assert_eq!(line, "deaf\n");
    // Signals of the same kind merge while one is pending, so send until one has been the second.
    let status = loop {
        match child.try_wait().unwrap() {
            Some(status) => break status,
            None => signal(&child, rustix::process::Signal::INT),
        }
        std::thread::yield_now();
    };
    let mut rest = String::new();
    stderr.read_to_string(&mut rest).unwrap();
    assert_eq!(status.code(), Some(130), "{rest}");
    assert!(rest.contains("vCPU 0:\n  #0 image+0x101234"), "{rest}");
}

fn the_time_limit_says_where_the_guest_is_and_ends_it() {
    let mut run = toro_run("deaf", &["--timeout", "2"]);
    let (status, output) = run.output();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(status, 124, "{stderr}");
    assert!(stderr.contains("time limit of 2s reached\nvCPU 0:\n  #0 image+0x101234"), "{stderr}");
    assert_eq!(run.status_file()["kind"], "timeout");
}

fn a_panic_is_101_and_reported_once() {
    let (status, output) = toro_run("panic", &[]).output();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!((status, &*stderr), (101, "panicked at main.rs:1: why\nerror: the application panicked\n"));
}

fn a_guest_that_says_nothing_has_failed() {
    let mut run = toro_run("silent", &[]);
    let (status, output) = run.output();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(status, 125, "{stderr}");
    assert!(stderr.starts_with("error: the guest ended without saying why"), "{stderr}");
    assert_eq!(run.status_file()["kind"], "silent");
}

fn a_vmm_that_fails_is_told_with_its_last_words() {
    let (status, output) = toro_run("vmm-failure", &[]).output();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(status, 125, "{stderr}");
    assert!(stderr.contains("it broke"), "{stderr}");
}
