//! `toro run` from the outside, with a scripted program in QEMU's place: streams, statuses, signals, the ready line.
//!
//! That program is this one: started with `$SCRIPT`, it plays a guest; otherwise it runs the tests.

mod background;
mod scripted_qemu;

use background::*;
use std::fs::File;
use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Child, ChildStderr, Command, ExitCode, Stdio};
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
        trial!(a_port_without_a_network_is_told),
        trial!(a_qemu_that_nobody_tried_is_told_once),
        trial!(sigterm_stops_in_order),
        trial!(a_second_ctrl_c_says_where_a_deaf_guest_is_and_ends_it),
        trial!(a_third_signal_waits_for_no_qemu_that_hangs),
        trial!(the_time_limit_says_where_the_guest_is_and_ends_it),
        trial!(half_a_core_is_not_left_behind),
        trial!(frames_that_are_lost_are_no_success),
        trial!(a_panic_is_101_and_reported_once),
        trial!(a_guest_that_says_nothing_has_failed),
        trial!(a_vmm_that_fails_is_told_with_its_last_words),
        trial!(a_request_to_stop_does_not_wait_behind_input),
        trial!(a_time_limit_holds_though_nobody_reads),
        trial!(a_second_ctrl_c_ends_the_guest_though_nobody_reads),
        trial!(ctrl_c_is_heard_while_qemu_starts),
        trial!(a_time_limit_holds_while_qemu_starts),
        trial!(ctrl_c_before_the_kernel_runs_ends_the_guest),
        trial!(ctrl_c_while_the_guest_ends_is_no_failure),
        trial!(lost_output_is_no_success),
        trial!(another_version_of_the_interface_is_refused),
        trial!(input_that_cannot_be_read_is_told),
        trial!(nothing_is_left_behind_by_a_tool_that_is_killed),
        trial!(a_guest_in_the_background_is_listed_inspected_and_stopped),
        trial!(names_are_taken_while_a_guest_runs_and_made_up_otherwise),
        trial!(a_guest_that_dies_at_its_start_is_a_failure_of_the_command),
        trial!(streams_of_the_log_are_told_apart),
        trial!(a_guest_that_does_not_stop_is_killed),
        trial!(what_a_crash_leaves_behind_is_cleaned),
        trial!(nothing_of_the_users_shell_stays_open),
        trial!(a_start_that_is_interrupted_leaves_no_guest),
        trial!(a_guest_says_what_it_has_counted),
        trial!(a_guest_says_how_its_network_stands),
        trial!(what_cannot_be_counted_is_told),
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
    /// To its end: the status, and what it told.
    fn output(&mut self) -> (i32, String) {
        let output = self.command.output().unwrap();
        (output.status.code().unwrap(), String::from_utf8_lossy(&output.stderr).into_owned())
    }

    /// Starts it, to read what it tells line by line.
    fn start(&mut self) -> (Child, BufReader<ChildStderr>) {
        let mut child = self.command.spawn().unwrap();
        let stderr = BufReader::new(child.stderr.take().unwrap());
        (child, stderr)
    }

    fn status_file(&self) -> serde_json::Value {
        serde_json::from_slice(&std::fs::read(self.folder.path().join("status")).unwrap()).unwrap()
    }
}

/// What is told next.
fn line(stderr: &mut BufReader<ChildStderr>) -> String {
    let mut line = String::new();
    stderr.read_line(&mut line).unwrap();
    line
}

fn signal(child: &Child, signal: rustix::process::Signal) {
    rustix::process::kill_process(rustix::process::Pid::from_child(child), signal).unwrap();
}

/// Two requests to end: of two kinds, since two of one kind merge while one is pending. Which is heard first is open.
fn twice(child: &Child) {
    signal(child, rustix::process::Signal::INT);
    signal(child, rustix::process::Signal::TERM);
}

/// Whether a status stands for one of the signals of [`twice`].
fn is_first_of_two(status: i32) -> bool {
    [130, 143].contains(&status)
}

/// Waits for the end; one that does not come is a failure of its own.
fn ended(child: &mut Child) -> i32 {
    use rustix::event::{PollFd, PollFlags, Timespec, poll};
    let pid = rustix::process::Pid::from_child(child);
    let pidfd = rustix::process::pidfd_open(pid, rustix::process::PidfdFlags::empty()).unwrap();
    let limit = Timespec { tv_sec: 60, tv_nsec: 0 };
    let ended = poll(&mut [PollFd::new(&pidfd, PollFlags::IN)], Some(&limit)).unwrap();
    if ended == 0 {
        child.kill().unwrap();
    }
    let status = child.wait().unwrap();
    assert_eq!(ended, 1, "it did not end");
    status.code().unwrap()
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
    let (mut child, mut stderr) = run.start();
    let ready = line(&mut stderr);
    assert!(ready.starts_with("ready: http://127.0.0.1:40404 -> guest :80 (") && ready.ends_with(" ms)\n"), "{ready}");
    signal(&child, rustix::process::Signal::INT);
    assert_eq!(child.wait().unwrap().code(), Some(130));
    assert_eq!(line(&mut stderr), "");
}

fn a_port_that_is_not_published_is_told() {
    let mut run = toro_run("serve", &[]);
    let (mut child, mut stderr) = run.start();
    assert_eq!(line(&mut stderr), "note: listening on guest port 80, not published\n");
    assert_eq!(line(&mut stderr), " help: to reach it, add -p 8080:80\n");
    signal(&child, rustix::process::Signal::INT);
    assert_eq!(child.wait().unwrap().code(), Some(130));
}

fn a_port_without_a_network_is_told() {
    let mut run = toro_run("serve", &["--net", "none"]);
    let (mut child, mut stderr) = run.start();
    assert_eq!(line(&mut stderr), "note: listening on guest port 80, without a network\n");
    assert_eq!(line(&mut stderr), " help: nobody outside reaches it; leave --net none out\n");
    signal(&child, rustix::process::Signal::INT);
    assert_eq!(child.wait().unwrap().code(), Some(130));
}

fn a_qemu_that_nobody_tried_is_told_once() {
    let mut run = toro_run("newer", &[]);
    run.command.env("XDG_CACHE_HOME", run.folder.path().join("cache"));
    let note = "note: QEMU 11.0 is newer than what Toro is tested with, 7.2 to 10\n";
    let mut is_told = || {
        let (status, stderr) = run.output();
        assert_eq!(status, 0);
        stderr.contains(note)
    };
    assert!(is_told() && !is_told());
}

fn sigterm_stops_in_order() {
    let mut run = toro_run("serve", &["-p", "0:80"]);
    let (mut child, mut stderr) = run.start();
    assert!(line(&mut stderr).starts_with("ready: "));
    signal(&child, rustix::process::Signal::TERM);
    assert_eq!(child.wait().unwrap().code(), Some(143));
    let status = run.status_file();
    assert_eq!((&status["status"], &status["kind"]), (&143.into(), &"stopped".into()));
    assert!(status["ready_ms"].as_f64().unwrap() > 0.0);
}

fn a_second_ctrl_c_says_where_a_deaf_guest_is_and_ends_it() {
    let mut run = toro_run("deaf", &[]);
    let (mut child, mut stderr) = run.start();
    assert_eq!(line(&mut stderr), "deaf\n");
    twice(&child);
    let mut rest = String::new();
    stderr.read_to_string(&mut rest).unwrap();
    assert!(is_first_of_two(ended(&mut child)), "{rest}");
    assert!(rest.contains("vCPU 0:\n  #0 image+0x101234"), "{rest}");
}

fn a_third_signal_waits_for_no_qemu_that_hangs() {
    for options in [&[][..], &["--timeout", "1"]] {
        let mut run = toro_run("hung", options);
        let (mut child, mut stderr) = run.start();
        assert_eq!(line(&mut stderr), "deaf\n");
        if options.is_empty() {
            twice(&child);
        }
        assert_eq!(line(&mut stderr), "note: waiting for QEMU to say where the guest is; Ctrl-C ends it at once\n");
        signal(&child, rustix::process::Signal::INT);
        let mut rest = String::new();
        stderr.read_to_string(&mut rest).unwrap();
        let status = ended(&mut child);
        assert!(if options.is_empty() { is_first_of_two(status) } else { status == 124 }, "{status}: {rest}");
        assert!(!rest.contains("no backtrace"), "{rest}");
        assert_eq!(run.status_file()["status"], status);
    }
}

fn the_time_limit_says_where_the_guest_is_and_ends_it() {
    let mut run = toro_run("deaf", &["--timeout", "2"]);
    let (status, stderr) = run.output();
    assert_eq!(status, 124, "{stderr}");
    assert!(stderr.contains("time limit of 2s reached\nvCPU 0:\n  #0 image+0x101234"), "{stderr}");
    assert_eq!(run.status_file()["kind"], "timeout");
}

fn half_a_core_is_not_left_behind() {
    let mut run = toro_run("deaf", &["--timeout", "2", "--core", "core"]);
    run.command.current_dir(run.folder.path());
    let (status, stderr) = run.output();
    assert_eq!(status, 124, "{stderr}");
    assert!(stderr.contains("error: cannot write core: ") && stderr.contains("no space"), "{stderr}");
    assert!(!run.folder.path().join("core").exists());
}

fn frames_that_are_lost_are_no_success() {
    let mut run = toro_run("frames", &["--pcap", "frames.pcap"]);
    let (status, stderr) = run.output();
    assert_eq!(status, 125, "{stderr}");
    assert!(stderr.starts_with("error: cannot write frames.pcap: frames are missing at its end\n help: "), "{stderr}");
    assert_eq!(toro_run("frames", &[]).output(), (0, String::new()), "nobody asked for them");
}

fn a_panic_is_101_and_reported_once() {
    let (status, stderr) = toro_run("panic", &[]).output();
    assert_eq!((status, &*stderr), (101, "panicked at main.rs:1: why\nerror: the application panicked\n"));
}

fn a_guest_that_says_nothing_has_failed() {
    let mut run = toro_run("silent", &[]);
    let (status, stderr) = run.output();
    assert_eq!(status, 125, "{stderr}");
    assert!(stderr.starts_with("error: the guest ended without saying why"), "{stderr}");
    assert_eq!(run.status_file()["kind"], "silent");
}

fn a_vmm_that_fails_is_told_with_its_last_words() {
    let (status, stderr) = toro_run("vmm-failure", &[]).output();
    assert_eq!(status, 125, "{stderr}");
    assert!(stderr.contains("it broke"), "{stderr}");
}

fn a_request_to_stop_does_not_wait_behind_input() {
    let mut run = toro_run("full", &[]);
    run.command.stdin(Stdio::piped());
    let (mut child, mut stderr) = run.start();
    let mut stdin = child.stdin.take().unwrap();
    let sending = std::thread::spawn(move || {
        // The guest takes four bytes; of the others some are in a pipe when it ends.
        let _refused = stdin.write_all(&[b'i'; 200_000]);
    });
    assert_eq!(line(&mut stderr), "full\n");
    signal(&child, rustix::process::Signal::INT);
    let mut input = String::new();
    child.stdout.take().unwrap().read_to_string(&mut input).unwrap();
    assert_eq!(ended(&mut child), 130);
    assert!(input.len() <= 4, "{} bytes for a guest with room for 4", input.len());
    sending.join().unwrap();
}

fn a_time_limit_holds_though_nobody_reads() {
    let mut run = toro_run("flood", &["--timeout", "1"]);
    let mut child = run.command.spawn().unwrap();
    assert_eq!(ended(&mut child), 124);
    assert_eq!(run.status_file()["kind"], "timeout");
}

fn a_second_ctrl_c_ends_the_guest_though_nobody_reads() {
    for nobody_reads_stdout in [true, false] {
        let mut run = toro_run("flood", &[]);
        if !nobody_reads_stdout {
            run.command.stdout(Stdio::null());
        }
        let mut child = run.command.spawn().unwrap();
        let mut start = [0; 6];
        child.stderr.as_mut().unwrap().read_exact(&mut start).unwrap();
        assert_eq!(&start, b"flood\n");
        twice(&child);
        assert!(is_first_of_two(ended(&mut child)));
        assert_eq!(run.status_file()["kind"], "killed");
    }
}

/// Status 130 and not a word.
fn ends_in_silence(script: &str) {
    let mut run = toro_run(script, &[]);
    let (status, stderr) = run.output();
    assert_eq!((status, &*stderr), (130, ""));
    assert_eq!(run.status_file()["status"], 130);
}

fn ctrl_c_is_heard_while_qemu_starts() {
    ends_in_silence("mute");
}

fn a_time_limit_holds_while_qemu_starts() {
    let mut run = toro_run("stuck", &["--timeout", "0.1"]);
    let (status, stderr) = run.output();
    assert_eq!((status, &*stderr), (124, "note: time limit of 100ms reached\n"));
    assert_eq!(run.status_file()["kind"], "timeout");
}

fn ctrl_c_before_the_kernel_runs_ends_the_guest() {
    ends_in_silence("firmware");
}

fn ctrl_c_while_the_guest_ends_is_no_failure() {
    let mut run = toro_run("leaving", &[]);
    let (mut child, mut stderr) = run.start();
    assert_eq!(line(&mut stderr), "leaving\n");
    signal(&child, rustix::process::Signal::INT);
    let mut rest = String::new();
    stderr.read_to_string(&mut rest).unwrap();
    assert_eq!((ended(&mut child), rest.as_str()), (130, ""));
    assert_eq!(run.status_file()["kind"], "stopped");
}

fn lost_output_is_no_success() {
    // Sometimes the guest is quicker than the failure.
    for _ in 0..20 {
        let mut run = toro_run("short", &[]);
        run.command.stdout(File::options().write(true).open("/dev/full").unwrap());
        let (status, stderr) = run.output();
        assert_eq!(status, 125, "{stderr}");
        assert!(stderr.starts_with("error: cannot write the guest's standard output: No space left"), "{stderr}");
    }
}

fn another_version_of_the_interface_is_refused() {
    let mut run = toro_run("future", &[]);
    let (status, stderr) = run.output();
    assert_eq!(status, 125, "{stderr}");
    assert!(stderr.contains("error: the guest speaks version 9 of the guest interface"), "{stderr}");
    assert_eq!(run.status_file()["kind"], "version");
}

fn input_that_cannot_be_read_is_told() {
    let mut run = toro_run("echo", &[]);
    run.command.stdin(File::open(run.folder.path()).unwrap());
    let (status, stderr) = run.output();
    assert_eq!(status, 7, "{stderr}");
    assert!(stderr.contains("error: cannot read standard input, which ends here: Is a directory"), "{stderr}");
}

fn nothing_is_left_behind_by_a_tool_that_is_killed() {
    let mut run = toro_run("deaf", &[]);
    let temporary = tempfile::tempdir().unwrap();
    run.command.env("TMPDIR", temporary.path());
    let (mut child, mut stderr) = run.start();
    assert_eq!(line(&mut stderr), "deaf\n");
    child.kill().unwrap();
    child.wait().unwrap();
    assert_eq!(temporary.path().read_dir().unwrap().count(), 0);
    assert!(!run.folder.path().join("status").exists());
}
