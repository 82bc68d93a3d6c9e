//! Packages: what is wrong in their settings is told, and their build ends with the tool.

use super::{failure, package, toro};
use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::process::{Pid, PidfdFlags};
use std::io::{BufRead, BufReader};
use std::os::unix::net::UnixListener;
use std::process::Stdio;

#[test]
fn a_wrong_setting_of_a_package_is_named() {
    let folder = tempfile::tempdir().unwrap();
    package(folder.path(), "[package.metadata.toro]\nmemroy = \"8M\"");
    let (status, error, _) = failure(&toro(&["run", "--dry-run", folder.path().to_str().unwrap()]).output().unwrap());
    assert_eq!(status, 125);
    assert!(error.contains("`memroy`"), "{error}");
}

#[test]
fn a_wrong_value_of_a_package_is_told_with_its_place() {
    for (setting, why, cure) in [
        ("memory = \"1\"", "`memory`: cannot use memory size `1`", "-m 2M"),
        ("cpus = 1000", "`cpus`: cannot use `1000` processors", "1 to 64"),
        ("net = [\"user\", \"wifi\"]", "`net`: there is no network `wifi`", "tap:NAME"),
        ("publish = [\"80\"]", "`publish`: cannot publish `80`", "-p 8080:80"),
        ("env = { \"A=B\" = \"C\" }", "`env`: cannot set variable `A=B`", "-e NAME=VALUE"),
        ("gateway6 = 1", "`gateway6`: cannot use gateway `1`", "--gateway6"),
    ] {
        let folder = tempfile::tempdir().unwrap();
        package(folder.path(), &format!("[package.metadata.toro]\n{setting}"));
        let output = toro(&["run", "--dry-run", folder.path().to_str().unwrap()]).output().unwrap();
        let (status, error, help) = failure(&output);
        assert!(status == 125 && error.starts_with("cannot use [package.metadata.toro]: "), "{error}");
        assert!(error.contains(why) && help.contains(cure), "{error}, {help}");
    }
}

#[test]
fn a_build_ends_with_the_tool() {
    let folder = tempfile::tempdir().unwrap();
    package(folder.path(), "");
    // Says whose child it is, and waits for the end of this test.
    let script = "use std::{io::{Read, Write}, os::unix::{net::UnixStream, process::parent_id}};
        fn main() {
            let mut test = UnixStream::connect(\"socket\").unwrap();
            writeln!(test, \"{}\", parent_id()).unwrap();
            let _end = test.read(&mut [0]);
        }";
    std::fs::write(folder.path().join("build.rs"), script).unwrap();
    let listener = UnixListener::bind(folder.path().join("socket")).unwrap();
    let mut tool = toro(&["run", folder.path().to_str().unwrap()]).stderr(Stdio::null()).spawn().unwrap();
    let (stream, _) = listener.accept().unwrap();
    let mut line = String::new();
    BufReader::new(&stream).read_line(&mut line).unwrap();
    let cargo = Pid::from_raw(line.trim().parse().unwrap()).unwrap();
    let cargo = rustix::process::pidfd_open(cargo, PidfdFlags::empty()).unwrap();
    tool.kill().and_then(|()| tool.wait()).unwrap();
    let limit = Timespec { tv_sec: 60, tv_nsec: 0 };
    let ended = rustix::event::poll(&mut [PollFd::new(&cargo, PollFlags::IN)], Some(&limit));
    assert_eq!(ended, Ok(1), "cargo goes on");
    drop(stream);
}
