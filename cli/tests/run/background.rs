//! Guests in the background: started, listed, read, stopped, killed, and what is left when a process is killed.

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use std::process::{Child, Command, Output, Stdio};
use tempfile::TempDir;

/// A user with guests: a runtime folder of his own, and an image to start.
struct User {
    folder: TempDir,
}

impl User {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("app"), include_bytes!("smallest_image.elf")).unwrap();
        Self { folder }
    }

    fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_toro"));
        command.args(words).env("XDG_RUNTIME_DIR", self.folder.path());
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    /// Status, standard output and standard error.
    fn toro(&self, words: &[&str]) -> (i32, String, String) {
        told(&self.command(words).output().unwrap())
    }

    fn run_command(&self, script: &str, options: &[&str]) -> Command {
        let mut command = self.command(&["run", "-d", "--accel", "tcg"]);
        command.args(options).arg(self.folder.path().join("app"));
        command.env("TORO_QEMU", std::env::current_exe().unwrap()).env("SCRIPT", script);
        command
    }

    /// `toro run -d` with a guest that plays `script`.
    fn run(&self, script: &str, options: &[&str]) -> (i32, String, String) {
        told(&self.run_command(script, options).output().unwrap())
    }

    fn inspect(&self, name: &str) -> Value {
        let (status, stdout, stderr) = self.toro(&["inspect", name]);
        assert_eq!(status, 0, "{stderr}");
        serde_json::from_str(&stdout).unwrap()
    }

    /// Kills one of a guest's processes, and waits until there is nobody to follow.
    fn kill(&self, name: &str, process: &str) {
        let follower = self.follow(name);
        let pid = Pid::from_raw(self.inspect(name)[process].as_i64().unwrap() as i32).unwrap();
        kill_process(pid, Signal::KILL).unwrap();
        follower.wait_with_output().unwrap();
    }

    fn follow(&self, name: &str) -> Child {
        self.command(&["logs", "-f", name]).spawn().unwrap()
    }
}

impl Drop for User {
    fn drop(&mut self) {
        let (_, table, _) = self.toro(&["ps"]);
        for name in table.lines().skip(1).filter_map(|line| line.split(' ').next()) {
            self.toro(&["kill", name]);
        }
    }
}

fn told(output: &Output) -> (i32, String, String) {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (output.status.code().unwrap(), text(&output.stdout), text(&output.stderr))
}

pub(crate) fn a_guest_in_the_background_is_listed_inspected_and_stopped() {
    let user = User::new();
    let (status, stdout, stderr) = user.run("serve", &["--name", "web", "-p", "0:80", "-m", "8M", "--cpus", "2"]);
    assert_eq!((status, &*stdout), (0, "web\n"), "{stderr}");
    assert!(stderr.starts_with("ready: http://127.0.0.1:40404 -> guest :80 ("), "{stderr}");

    let (_, table, _) = user.toro(&["ps"]);
    let line = table.lines().nth(1).unwrap();
    assert!(line.starts_with("web   running  ") && line.ends_with("127.0.0.1:40404->80/tcp"), "{table}");
    let state = user.inspect("web");
    assert_eq!(
        (&state["state"], &state["memory_bytes"], &state["cpus"]),
        (&"running".into(), &(8 << 20).into(), &2.into())
    );
    assert!(
        state["ports"][0]["listening"] == true && state["outcome"].is_null() && state["uptime_ms"].is_u64(),
        "{state}"
    );

    let follower = user.follow("web");
    assert_eq!(user.toro(&["stop", "web"]), (0, String::new(), String::new()));
    let (status, _, log) = told(&follower.wait_with_output().unwrap());
    assert!(status == 0 && log.contains("ready: http"), "{log}");
    assert_eq!(user.toro(&["ps"]).1.lines().count(), 1);
    let (_, table, _) = user.toro(&["ps", "-a"]);
    assert!(table.contains("stopped (143)"), "{table}");
    assert_eq!(user.inspect("web")["outcome"]["kind"], "stopped");
    let (status, _, stderr) = user.toro(&["stop", "web"]);
    assert_eq!((status, &*stderr), (0, "note: web has ended already\n"));
    assert_eq!(user.toro(&["rm", "web"]).0, 0);
    let (status, _, stderr) = user.toro(&["logs", "web"]);
    assert!(status == 125 && stderr.contains("there is no guest `web`"), "{stderr}");
}

pub(crate) fn names_are_taken_while_a_guest_runs_and_made_up_otherwise() {
    let user = User::new();
    assert_eq!(user.run("serve", &["--name", "web"]).0, 0);
    let (status, stdout, stderr) = user.run("serve", &["--name", "web"]);
    assert_eq!((status, &*stdout), (125, ""));
    assert!(stderr.contains("cannot start web: a guest of this name runs"), "{stderr}");
    assert!(user.toro(&["rm", "web"]).2.contains("it runs"));
    assert_eq!(user.toro(&["kill", "web"]).0, 0);
    assert_eq!(user.inspect("web")["outcome"]["status"], 137);
    assert_eq!(user.run("serve", &["--name", "web"]).0, 0, "the name of an ended guest is free");
    let (_, made_up, _) = user.run("serve", &[]);
    assert_ne!(made_up.trim(), "web");
    assert_eq!(user.toro(&["stop", made_up.trim(), "web"]).0, 0);
    let (status, _, stderr) = user.run("serve", &["--name", "../web"]);
    assert!(status == 125 && stderr.contains("cannot name a guest `../web`"), "{stderr}");
}

pub(crate) fn a_guest_that_dies_at_its_start_is_a_failure_of_the_command() {
    let user = User::new();
    let (status, stdout, stderr) = user.run("panic", &["--name", "bad"]);
    assert_eq!((status, &*stdout), (101, ""));
    let expected =
        "panicked at main.rs:1: why\nerror: the application panicked\nnote: bad ended at its start, with status 101\n";
    assert_eq!(stderr, expected);
    assert_eq!(user.toro(&["logs", "bad"]).2, "panicked at main.rs:1: why\nerror: the application panicked\n");
    let (status, _, stderr) = user.run("vmm-failure", &["--name", "bad"]);
    assert!(status == 125 && stderr.contains("it broke"), "{stderr}");
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = format!("{}:80", taken.local_addr().unwrap().port());
    let (status, stdout, stderr) = user.run("serve", &["-p", &port]);
    assert_eq!((status, &*stdout), (125, ""));
    assert!(stderr.contains("the port is taken"), "{stderr}");
    assert_eq!(user.toro(&["ps"]).1.lines().count(), 1, "nothing is left running");
}

pub(crate) fn streams_of_the_log_are_told_apart() {
    let user = User::new();
    // One that is quick and content is no failure.
    assert_eq!(user.run("talk", &["--name", "quick"]), (0, "quick\n".into(), String::new()));
    let output = user.command(&["logs", "-f", "quick"]).output().unwrap();
    assert_eq!(output.stdout, b"output \0\xff");
    assert_eq!(String::from_utf8_lossy(&output.stderr), "[0.001] test: log\nerror stream");
}

pub(crate) fn a_guest_that_does_not_stop_is_killed() {
    let user = User::new();
    assert_eq!(user.run("deaf", &["--name", "deaf"]).0, 0);
    let (status, _, stderr) = user.toro(&["stop", "-t", "0.1", "deaf"]);
    assert_eq!(status, 124, "{stderr}");
    assert!(stderr.contains("deaf did not end within 100ms, and is killed"), "{stderr}");
    assert_eq!(user.inspect("deaf")["outcome"]["kind"], "killed");
}

pub(crate) fn what_a_crash_leaves_behind_is_cleaned() {
    let user = User::new();
    assert_eq!(user.run("serve", &["--name", "web"]).0, 0);
    user.kill("web", "vmm_pid");
    let outcome = &user.inspect("web")["outcome"];
    assert_eq!((&outcome["kind"], &outcome["status"]), (&"vmm".into(), &125.into()));

    assert_eq!(user.run("serve", &["--name", "web"]).0, 0);
    user.kill("web", "pid");
    let state = user.inspect("web");
    assert_eq!((&state["state"], &state["outcome"]["kind"]), (&"ended".into(), &"lost".into()));
    assert_eq!(user.toro(&["stop", "web"]).0, 0);
    assert_eq!(user.run("serve", &["--name", "web"]).0, 0, "the name is free");
}

pub(crate) fn nothing_of_the_users_shell_stays_open() {
    let user = User::new();
    let file = user.folder.path().join("held");
    let run = user.run_command("serve", &["--name", "web"]);
    let mut shell = Command::new("sh");
    shell.args(["-c", "exec 9>\"$0\"; \"$@\""]).arg(&file).arg(run.get_program()).args(run.get_args());
    shell.envs(run.get_envs().filter_map(|(name, value)| Some((name, value?))));
    assert!(shell.stdout(Stdio::null()).stderr(Stdio::null()).status().unwrap().success());
    let state = user.inspect("web");
    for process in ["pid", "vmm_pid"] {
        let files = std::fs::read_dir(format!("/proc/{}/fd", state[process])).unwrap();
        assert!(files.flatten().all(|open| std::fs::read_link(open.path()).is_ok_and(|open| open != file)));
    }
}

pub(crate) fn a_start_that_is_interrupted_leaves_no_guest() {
    let user = User::new();
    // It never comes up, so the command waits.
    let mut starter = user.run_command("stuck", &["--name", "stuck"]).spawn().unwrap();
    while user.toro(&["inspect", "stuck"]).0 != 0 {
        std::thread::yield_now();
    }
    let follower = user.follow("stuck");
    kill_process(Pid::from_child(&starter), Signal::INT).unwrap();
    starter.wait().unwrap();
    follower.wait_with_output().unwrap();
    assert_eq!(user.inspect("stuck")["state"], "ended");
}

pub(crate) fn a_guest_says_what_it_has_counted() {
    let user = User::new();
    assert_eq!(user.run("counts", &["--name", "web", "--stats", "--power", "saving"]).0, 0);
    let (status, stdout, stderr) = user.toro(&["stats", "--json", "web"]);
    assert_eq!(status, 0, "{stderr}");
    let figures: Value = serde_json::from_str(&stdout).unwrap();
    assert_eq!((&figures["machine"]["mode"], &figures["cores"][0]["sleeps"]), (&"saving".into(), &41.into()));
    assert!(figures["vmm"]["resident_bytes"].as_u64().unwrap() > 0, "{stdout}");
    assert_eq!(user.toro(&["stop", "web"]).0, 0);
    let (_, _, stderr) = user.toro(&["logs", "web"]);
    assert!(stderr.contains("mode saving") && stderr.contains("42"), "{stderr}");
}

pub(crate) fn a_guest_says_how_its_network_stands() {
    let user = User::new();
    assert_eq!(user.run("sockets", &["--name", "web"]).0, 0);
    let (status, stdout, stderr) = user.toro(&["net", "web"]);
    assert_eq!(status, 0, "{stderr}");
    assert!(stdout.contains("listen        0.0.0.0:80") && stdout.contains("5 malformed"), "{stdout}");
    assert_eq!(user.toro(&["stop", "web"]).0, 0);
    assert_eq!(user.run("counts", &["--name", "old"]).0, 0);
    let (status, _, stderr) = user.toro(&["net", "old"]);
    assert!(status == 125 && stderr.contains("older than the question"), "{stderr}");
    assert_eq!(user.toro(&["kill", "old"]).0, 0);
}

pub(crate) fn what_cannot_be_counted_is_told() {
    let user = User::new();
    assert_eq!(user.run("serve", &["--name", "old"]).0, 0);
    let (status, stdout, stderr) = user.toro(&["stats", "old"]);
    assert_eq!((status, &*stdout), (125, ""));
    assert!(stderr.contains("older than the question\n help: build it again"), "{stderr}");
    let (_, _, stderr) = user.toro(&["net", "old"]);
    assert!(stderr.starts_with("error: the guest does not say how its network stands: "), "{stderr}");
    assert_eq!(user.toro(&["stop", "old"]).0, 0);
    let (status, _, stderr) = user.toro(&["stats", "old"]);
    assert!(status == 125 && stderr.contains("old has ended"), "{stderr}");
    let (status, _, stderr) = user.run("serve", &["--power", "fast"]);
    assert!(status == 125 && stderr.contains("no mode `fast`"), "{stderr}");
}
