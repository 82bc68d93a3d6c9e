//! The program as its user meets it, wherever no guest is needed: dry runs, mistakes, a QEMU that is missing or dies.

mod packages;
mod programs;

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

fn toro(words: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_toro"));
    command.args(words).env_remove("TORO_QEMU").stdin(Stdio::null());
    command
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Status, and the error's two lines.
fn failure(output: &Output) -> (i32, String, String) {
    let stderr = text(&output.stderr);
    let line = |start: &str| stderr.lines().find_map(|line| line.strip_prefix(start)).unwrap_or_default().to_owned();
    assert_eq!(stderr.lines().filter(|line| line.starts_with("error: ")).count(), 1, "{stderr}");
    (output.status.code().unwrap_or(-1), line("error: "), line(" help: "))
}

/// The smallest file that passes for an image: a header and a PVH note.
fn image(folder: &Path) -> PathBuf {
    let mut elf = b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0\x02\0\x3e\0\x01\0\0\0".to_vec();
    for value in [0x10_0000_u64, 64, 0] {
        elf.extend_from_slice(&value.to_le_bytes());
    }
    elf.extend_from_slice(&[0, 0, 0, 0, 64, 0, 56, 0, 1, 0, 0, 0, 0, 0, 0, 0]);
    elf.extend_from_slice(&[4, 0, 0, 0, 4, 0, 0, 0]);
    for value in [120_u64, 0, 0, 20, 20, 4] {
        elf.extend_from_slice(&value.to_le_bytes());
    }
    elf.extend_from_slice(b"\x04\0\0\0\x04\0\0\0\x12\0\0\0Xen\0\0\0\x10\0");
    let path = folder.join("app");
    std::fs::write(&path, elf).unwrap();
    path
}

/// A program that stands in for QEMU.
fn fake_qemu(folder: &Path, script: &str) -> PathBuf {
    let path = folder.join("qemu");
    // Written by another process: a file that this one has open for writing while a test beside this one forks cannot be run.
    let status = Command::new("sh")
        .args(["-c", "printf '%s\\n' '#!/bin/sh' \"$1\" > \"$0\" && chmod 755 \"$0\""])
        .arg(&path)
        .arg(script)
        .status()
        .unwrap();
    assert!(status.success());
    path
}

fn package(folder: &Path, metadata: &str) {
    std::fs::create_dir(folder.join("src")).unwrap();
    std::fs::write(folder.join("src/main.rs"), "fn main() {}").unwrap();
    let manifest =
        format!("[package]\nname = \"app\"\nversion = \"0.1.0\"\nedition = \"2024\"\n[workspace]\n{metadata}");
    std::fs::write(folder.join("Cargo.toml"), manifest).unwrap();
}

#[test]
fn a_dry_run_shows_options_over_metadata_over_defaults() {
    let folder = tempfile::tempdir().unwrap();
    package(
        folder.path(),
        "[package.metadata.toro]\nmemory = \"8M\"\ncpus = 2\npublish = [\"8080:80\"]\nname = \"web\"\nargs = [\"--fast\"]\nenv = { A = \"1\", B = \"2\" }",
    );
    let app = folder.path().to_str().unwrap();
    let output =
        toro(&["run", "--dry-run", "--accel", "tcg", "--cpus", "1", "-e", "B=3", "-p", "0:81", app]).output().unwrap();
    let shown = text(&output.stdout);
    assert!(output.status.success(), "{}", text(&output.stderr));
    for line in [
        "memory: 8192 KiB",
        "cpus: 1",
        "name: web",
        "machine: microvm",
        "accel: tcg",
        "net: user",
        "publish: 127.0.0.1:0:81",
        "log: warn",
        "arg: --fast",
        "env: A=1",
        "env: B=3",
    ] {
        assert!(shown.lines().any(|shown| shown == line), "{line} in\n{shown}");
    }
    let command = shown.lines().find(|line| line.starts_with("command: ")).unwrap();
    for part in [
        "hostfwd=tcp:127.0.0.1:0-:81",
        "exec=/app/app workdir=/ ",
        " arg=/app/app arg=--fast ",
        "env=A%3d1 env=B%3d3",
        "-m 8192K",
        "-kernel",
    ] {
        assert!(command.contains(part), "{part} in {command}");
    }
    assert!(!shown.contains("8080"));
}

#[test]
fn a_network_that_was_typed_wins_over_ports_that_were_not() {
    let folder = tempfile::tempdir().unwrap();
    package(folder.path(), "[package.metadata.toro]\npublish = [\"8080:80\"]");
    let app = folder.path().to_str().unwrap();
    for network in ["none", "tap:tap0"] {
        let output = toro(&["run", "--dry-run", "--accel", "tcg", "--net", network, app]).output().unwrap();
        let shown = text(&output.stdout);
        assert!(output.status.success() && !shown.contains("publish:"), "{network}: {shown}");
    }
    let output = toro(&["run", "--dry-run", "--accel", "tcg", "--net", "user", app]).output().unwrap();
    assert!(text(&output.stdout).contains("publish: 127.0.0.1:8080:80"));
}

#[test]
fn a_package_without_the_library_is_a_linux_program() {
    let (folder, library) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    package(library.path(), "");
    let manifest = library.path().join("Cargo.toml");
    let text_of_manifest = std::fs::read_to_string(&manifest).unwrap();
    std::fs::write(library.path().join("src/lib.rs"), "").unwrap();
    std::fs::write(manifest, text_of_manifest.replace("app", "toro-unikernel")).unwrap();
    let line = format!("toro-unikernel = {{ path = {:?} }}", library.path());
    let app = folder.path().to_str().unwrap();
    for (section, is_native) in [("dev-dependencies", false), ("dependencies", true)] {
        let _first = std::fs::remove_dir_all(folder.path().join("src"));
        package(folder.path(), &format!("[{section}]\n{line}"));
        let output = toro(&["run", "--dry-run", "--accel", "tcg", "--net", "none", app, "x"]).output().unwrap();
        let shown = text(&output.stdout);
        assert_eq!(shown.contains("program: /app/app\n"), !is_native, "{shown}{}", text(&output.stderr));
        assert_eq!(shown.contains("exec=/app/app"), !is_native, "{shown}");
        let words = if is_native { "arg=app arg=x" } else { "arg=/app/app arg=x" };
        assert!(shown.contains(words), "{shown}");
    }
    assert!(!folder.path().join("target").exists());
    let (status, error, help) = failure(&toro(&["run", "-w", "/tmp", app]).output().unwrap());
    assert_eq!(
        (status, &*error),
        (125, &*format!("cannot use -w with {app}: it has a kernel of its own, and no files"))
    );
    assert!(help.contains("Linux programs"));
}

#[test]
fn arguments_behind_the_application_are_its_own() {
    let folder = tempfile::tempdir().unwrap();
    let app = image(folder.path());
    let output =
        toro(&["run", "--dry-run", "--accel", "tcg", app.to_str().unwrap(), "-m", "1G", "--", "a b"]).output().unwrap();
    let shown = text(&output.stdout);
    assert!(shown.contains("memory: 65536 KiB") && shown.contains("arg=app arg=-m arg=1G arg=-- arg=a%20b"), "{shown}");
}

#[test]
fn variables_come_from_a_file_and_from_this_environment() {
    let folder = tempfile::tempdir().unwrap();
    let app = image(folder.path());
    let file = folder.path().join("env");
    std::fs::write(&file, "# comment\nA=1\n\nFROM_HERE\nNOT_SET_HERE\n").unwrap();
    let output =
        toro(&["run", "--dry-run", "--accel", "tcg", "--env-file", file.to_str().unwrap(), app.to_str().unwrap()])
            .env("FROM_HERE", "x y")
            .env_remove("NOT_SET_HERE")
            .output()
            .unwrap();
    let shown = text(&output.stdout);
    assert!(shown.contains("env: A=1\nenv: FROM_HERE=x y\n") && !shown.contains("NOT_SET_HERE"), "{shown}");
}

#[test]
fn mistakes_are_one_line_with_a_cure_and_status_125() {
    let folder = tempfile::tempdir().unwrap();
    let app = image(folder.path());
    let app = app.to_str().unwrap();
    for (words, message, cure) in [
        (&["run", "--memroy", "8M", app][..], "'--memroy'", "--memory"),
        (&["run", "-m", "lots", app], "`lots`", "-m 64M"),
        (&["run", "-m", "1M", app], "2 MiB at least", "-m 2M"),
        (&["run", "-p", "80", app], "`80`", "-p 8080:80"),
        (&["run", "--machine", "vax", app], "`vax`", "microvm"),
        (&["run", "--net", "wifi", app], "`wifi`", "tap:NAME"),
        (&["run", "--ip", "10.0.0.1", app], "`10.0.0.1`", "10.0.0.15/24"),
        (&["run", "--accel", "tcg", "--ip", "10.0.0.1/30", app], "prefix is not 4 to 29", "--ip"),
        (&["run", "--accel", "tcg", "--gateway", "10.9.9.9", app], "not on the guest's network", "--gateway"),
        (&["run", "--ip6", "fd00::1", app], "`fd00::1`", "fd00::15/64"),
        (&["run", "--accel", "tcg", "--gateway6", "fd00::1", app], "asks routers", "--gateway6"),
        (&["run", "--dns", "10.0.0", app], "`10.0.0`", "10.0.0.53"),
        (&["run", "--log", "loud", app], "`loud` is no level", "net=debug"),
        (&["run", "--accel", "tcg", "-p", "9472:80", "-p", "9472:81", app], "9472 twice", "-p 0:81"),
        (&["run", "--timeout", "soon", app], "`soon`", "seconds"),
        (&["run", "--timeout", "5ss", app], "`5ss`", "seconds"),
        (&["run", "-e", "export A=1", app], "`export A`: there is a space in its name", "-e NAME=VALUE"),
        (&["run", "--env-file", "/nonexistent/env", app], "/nonexistent/env: No such file", "NAME=VALUE"),
        (&["run", "--cpus", "0", app], "`0`", "1 to 64"),
        (&["run", "--accel", "tcg", "--net", "none", "-p", "0:80", app], "cannot publish ports", "--net user"),
        (&["run", "--name", "", app], "cannot name a guest ``", "starts with a letter"),
        (&["run", "--name", "a b", app], "`a b`", "starts with a letter"),
        (&["run"], "APP", "toro run --help"),
        (&["fly"], "'fly'", "--help"),
    ] {
        let output = toro(words).output().unwrap();
        let (status, error, help) = failure(&output);
        assert_eq!(status, 125, "{words:?}");
        assert!(error.contains(message), "{words:?}: {error}");
        assert!(help.contains(cure), "{words:?}: {help}");
    }
}

#[test]
fn words_that_are_no_utf8_are_a_mistake_like_others() {
    use std::os::unix::ffi::OsStrExt;
    let word = std::ffi::OsStr::from_bytes(b"a\xff");
    for before in [&[][..], &["run"], &["new"], &["run", "-m"]] {
        let (status, error, help) = failure(&toro(before).arg(word).output().unwrap());
        assert!(status == 125 && !help.is_empty(), "{before:?}: {status}, {error}");
    }
}

#[test]
fn what_is_not_there_is_127_and_what_cannot_run_126() {
    let folder = tempfile::tempdir().unwrap();
    let (status, error, help) = failure(&toro(&["run", "/nonexistent/app"]).output().unwrap());
    assert_eq!((status, error.as_str()), (127, "cannot run /nonexistent/app: no such file or directory"));
    assert!(help.contains("toro new"));
    let (status, error, _) = failure(&toro(&["run", env!("CARGO_BIN_EXE_toro")]).output().unwrap());
    assert_eq!(status, 126);
    assert!(error.contains("linked dynamically"), "{error}");
    let (status, error, _) = failure(&toro(&["run", folder.path().to_str().unwrap()]).output().unwrap());
    assert_eq!(status, 126);
    assert!(error.contains("no Cargo.toml"), "{error}");
    let cut = folder.path().join("cut");
    let tool = std::fs::read(env!("CARGO_BIN_EXE_toro")).unwrap();
    std::fs::write(&cut, &tool[..0x2000]).unwrap();
    let (status, error, _) = failure(&toro(&["run", cut.to_str().unwrap()]).output().unwrap());
    assert_eq!(status, 126);
    assert!(error.contains("cut short"), "{error}");
}

#[test]
fn what_has_no_end_is_not_read() {
    for command in ["check", "run", "build"] {
        let (status, error, help) = failure(&toro(&[command, "/dev/zero"]).output().unwrap());
        assert_eq!(status, 126, "{error}");
        let why = if command == "check" { "no regular file" } else { "neither a file nor a folder" };
        assert!(error.contains(why) && !help.is_empty(), "{error}");
    }
}

#[test]
fn a_full_disk_costs_nothing_that_was_there_and_leaves_no_half() {
    // A file system of this test's own, where this user may have one.
    let folder = tempfile::tempdir().unwrap();
    let app = image(folder.path());
    let script = "mount -t tmpfs -o size=8k none \"$1\" && cd \"$1\" && printf older > status && echo ready && \
        { head -c 100000 /dev/zero > fill; \"$0\" run --accel tcg --status-file status \"$2\"; cat status; \"$0\" new app; ls -A; }";
    let disk = folder.path().join("disk");
    std::fs::create_dir(&disk).unwrap();
    let output = Command::new("unshare")
        .args(["--user", "--map-root-user", "--mount", "sh", "-c", script, env!("CARGO_BIN_EXE_toro")])
        .args([&disk, &app])
        .env("TORO_QEMU", "/bin/false")
        .stdin(Stdio::null())
        .output();
    let shown = output.as_ref().map_or(String::new(), |output| text(&output.stdout));
    if !shown.starts_with("ready\n") {
        return eprintln!("skipped: a full disk: no file system of one's own: {output:?}");
    }
    let stderr = text(&output.unwrap().stderr);
    assert!(stderr.contains("/status: No space left on device"), "{stderr}");
    assert_eq!(shown, "ready\nolderfill\nstatus\n");
    assert!(stderr.contains("error: cannot make "), "{stderr}");
}

#[test]
fn a_missing_qemu_is_told_with_the_command_that_installs_it() {
    let folder = tempfile::tempdir().unwrap();
    let app = image(folder.path());
    let output =
        toro(&["run", "--accel", "tcg", app.to_str().unwrap()]).env("TORO_QEMU", "/nonexistent/qemu").output().unwrap();
    let (status, error, help) = failure(&output);
    assert_eq!((status, error.as_str()), (125, "cannot start QEMU: there is no /nonexistent/qemu"));
    assert!(help.contains("TORO_QEMU"), "{help}");
    let output = toro(&["run", "--accel", "tcg", app.to_str().unwrap()]).env("PATH", folder.path()).output().unwrap();
    let (status, error, help) = failure(&output);
    assert_eq!((status, error.as_str()), (125, "cannot start QEMU: qemu-system-x86_64 is not installed"));
    assert!(help.contains("install"));
}

#[test]
fn an_old_qemu_is_told_by_its_version() {
    let folder = tempfile::tempdir().unwrap();
    let app = image(folder.path());
    let script = "[ \"$1\" = --version ] && { echo QEMU emulator version 5.2.0; exit 0; }; echo qemu: unknown option >&2; exit 1";
    let qemu = fake_qemu(folder.path(), script);
    let output = toro(&["run", "--accel", "tcg", app.to_str().unwrap()]).env("TORO_QEMU", qemu).output().unwrap();
    let (status, error, help) = failure(&output);
    assert_eq!(status, 125);
    assert!(error.contains("QEMU 5.2") && error.contains("7.2 or later"), "{error}");
    assert!(help.contains("TORO_QEMU"));
}

#[test]
fn a_qemu_that_nobody_tried_is_a_note_of_doctor() {
    let folder = tempfile::tempdir().unwrap();
    let qemu = fake_qemu(folder.path(), "echo QEMU emulator version 11.1.0");
    let output = toro(&["doctor"]).env("TORO_QEMU", qemu).output().unwrap();
    let shown = text(&output.stdout);
    let line = shown.lines().find(|line| line.contains("qemu:")).unwrap();
    assert!(line.starts_with("  ok ") && line.contains("note: QEMU 11.1 is newer"), "{shown}");
}

#[test]
fn a_host_that_was_too_slow_for_kvm_is_asked_again() {
    if let Err(error) = std::fs::File::options().read(true).write(true).open("/dev/kvm") {
        return eprintln!("skipped: a slow KVM: /dev/kvm: {error}");
    }
    let folder = tempfile::tempdir().unwrap();
    let (app, qemu) = (image(folder.path()), fake_qemu(folder.path(), "exec tail -f /dev/null"));
    let output = toro(&["run", "--dry-run", app.to_str().unwrap()])
        .env("TORO_QEMU", qemu)
        .env("XDG_CACHE_HOME", folder.path())
        .output()
        .unwrap();
    assert!(text(&output.stdout).contains("accel: tcg (chosen)"), "{}", text(&output.stderr));
    assert!(!folder.path().join("toro/kvm").exists(), "it is not taken for an answer");
}

#[test]
fn a_qemu_that_dies_at_start_is_told_with_its_last_words() {
    let folder = tempfile::tempdir().unwrap();
    let app = image(folder.path());
    for (words, cure) in [
        ("Parameter 'type' expects a netdev backend type", "slirp"),
        ("could not load PC BIOS 'qboot.rom'", "firmware"),
        ("cannot set up guest memory 'pc.ram': Cannot allocate memory", "less memory"),
        ("net dump: can't open /x: Permission denied", "--pcap"),
        ("something new", "toro doctor"),
    ] {
        let script = format!(
            "[ \"$1\" = --version ] && {{ echo QEMU emulator version 9.1.0; exit 0; }}; echo \"qemu-system-x86_64: -device some,thing=1: {words}\" >&2; exit 1"
        );
        let qemu = fake_qemu(folder.path(), &script);
        let file = folder.path().join("status");
        let output = toro(&["run", "--accel", "tcg", "--status-file", file.to_str().unwrap(), app.to_str().unwrap()])
            .env("TORO_QEMU", qemu)
            .output()
            .unwrap();
        let (status, error, help) = failure(&output);
        assert_eq!((status, error.as_str()), (125, &*format!("cannot start QEMU: {words}")));
        assert!(help.contains(cure), "{words}: {help}");
        let json = std::fs::read_to_string(file).unwrap();
        assert!(json.contains("\"status\": 125") && json.contains("\"kind\": \"error\""), "{json}");
    }
}

#[test]
fn a_status_file_that_cannot_be_written_is_told_before_the_guest_starts() {
    let folder = tempfile::tempdir().unwrap();
    let app = image(folder.path());
    let started = folder.path().join("started");
    let qemu = fake_qemu(folder.path(), &format!("touch {}; exit 1", started.display()));
    let run = |file: &Path| {
        let words = ["run", "--accel", "tcg", "--status-file", file.to_str().unwrap(), app.to_str().unwrap()];
        failure(&toro(&words).env("TORO_QEMU", &qemu).output().unwrap())
    };
    for file in ["missing/status", "app/status", "/", "/dev/null/status"] {
        let file = folder.path().join(file);
        let (status, error, _) = run(&file);
        assert_eq!(status, 125);
        assert!(error.starts_with(&format!("cannot write {}: ", file.display())), "{error}");
        assert!(!started.exists(), "{error}");
    }
    // What can be written in place is: a device, and a file behind a link, which stays a link.
    let (file, link) = (folder.path().join("file"), folder.path().join("link"));
    std::fs::write(&file, "what was there before, and is longer than what comes".repeat(10)).unwrap();
    std::os::unix::fs::symlink(&file, &link).unwrap();
    for file in [Path::new("/dev/null"), &link] {
        let (_, error, _) = run(file);
        assert!(started.exists() && !error.contains("cannot write"), "{error}");
    }
    assert!(std::fs::read_to_string(&file).unwrap().starts_with("{\n") && link.is_symlink());
    // And nothing is left beside it.
    assert_eq!(folder.path().read_dir().unwrap().count(), 5);
}

#[test]
fn a_new_package_has_what_plain_cargo_needs() {
    let folder = tempfile::tempdir().unwrap();
    let app = folder.path().join("my-app");
    let output = toro(&["new", app.to_str().unwrap()]).output().unwrap();
    assert!(output.status.success(), "{}", text(&output.stderr));
    let manifest = std::fs::read_to_string(app.join("Cargo.toml")).unwrap();
    assert!(manifest.contains("name = \"my-app\"") && manifest.contains("guest/api\""), "{manifest}");
    assert!(std::fs::read_to_string(app.join(".cargo/config.toml")).unwrap().contains("-Ttoro.ld"));
    let (status, error, _) = failure(&toro(&["new", app.to_str().unwrap()]).output().unwrap());
    assert_eq!(status, 125);
    assert!(error.contains("not empty"), "{error}");
    let here = folder.path().join("here");
    std::fs::create_dir(&here).unwrap();
    let output = toro(&["new", "."]).current_dir(&here).output().unwrap();
    assert!(output.status.success(), "{}", text(&output.stderr));
    assert!(std::fs::read_to_string(here.join("Cargo.toml")).unwrap().contains("name = \"here\""));
}

/// A pipe that nobody reads any more.
fn closed_pipe() -> Stdio {
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    writer.into()
}

#[test]
fn nobody_who_listens_is_no_panic() {
    let folder = tempfile::tempdir().unwrap();
    let app = image(folder.path());
    let dry_run = ["run", "--dry-run", "--accel", "tcg", app.to_str().unwrap()];
    assert_eq!(toro(&dry_run).stdout(closed_pipe()).status().unwrap().code(), Some(0));
    assert_eq!(toro(&["run", "--help"]).stdout(closed_pipe()).status().unwrap().code(), Some(0));
    let full = || std::fs::File::options().write(true).open("/dev/full").unwrap();
    let (status, error, _) = failure(&toro(&dry_run).stdout(full()).output().unwrap());
    assert_eq!((status, error.as_str()), (125, "cannot write standard output: No space left on device (os error 28)"));
    let (status, error, _) = failure(&toro(&["--help"]).stdout(full()).output().unwrap());
    assert_eq!((status, error.as_str()), (125, "cannot write standard output: No space left on device (os error 28)"));
    for stderr in [closed_pipe(), full().into()] {
        assert_eq!(toro(&["run", "/nonexistent/app"]).stderr(stderr).status().unwrap().code(), Some(127));
    }
    for stderr in [closed_pipe(), full().into()] {
        assert_eq!(toro(&[]).stderr(stderr).status().unwrap().code(), Some(125));
    }
    for (name, stderr) in [("one", closed_pipe()), ("two", full().into())] {
        let new = ["new", folder.path().join(name).to_str().unwrap()].map(str::to_owned);
        let status = toro(&[&new[0], &new[1]]).stderr(stderr).status().unwrap();
        assert_eq!(status.code(), Some(0));
    }
    assert_ne!(toro(&["doctor"]).stdout(closed_pipe()).stderr(closed_pipe()).status().unwrap().code(), Some(101));
}

#[test]
fn help_names_every_command() {
    let output = toro(&["--help"]).output().unwrap();
    assert!(output.status.success());
    let help = text(&output.stdout);
    assert!(["run", "build", "new", "doctor"].iter().all(|command| help.contains(command)), "{help}");
    assert!(toro(&["run", "--help"]).output().unwrap().status.success());
}
