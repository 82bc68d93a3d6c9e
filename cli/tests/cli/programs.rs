//! Linux programs as far as no guest is needed: what is packed, what is refused, what `check` tells.

use super::{failure, image, text, toro};
use std::path::Path;
use std::process::{Command, Stdio};

/// A static Linux program at `path`.
fn linux_program(path: &Path) {
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    let mut gcc = Command::new("gcc");
    gcc.args(["-static", "-nostdlib", "-x", "c", "-", "-o"]).arg(path).stdin(Stdio::piped());
    let mut gcc = gcc.spawn().unwrap();
    std::io::Write::write_all(&mut gcc.stdin.take().unwrap(), b"void _start(void) {}\n").unwrap();
    assert!(gcc.wait().unwrap().success());
}

#[test]
fn a_linux_program_is_packed_alone_or_with_a_root() {
    let folder = tempfile::tempdir().unwrap();
    let (root, server) = (folder.path().join("root"), folder.path().join("server"));
    linux_program(&server);
    linux_program(&root.join("usr/bin/redis"));
    let show = |words: &[&str]| {
        let output = toro(&["run", "--dry-run", "--accel", "tcg"]).args(words).output().unwrap();
        assert!(output.status.success(), "{}", text(&output.stderr));
        text(&output.stdout)
    };
    let (root, server) = (root.to_str().unwrap(), server.to_str().unwrap());
    let alone = show(&["--strace", "-e", "HOME=/", server, "-v"]);
    for part in [
        &*format!("image: {server}\n"),
        "program: /app/server\n",
        "workdir: /\n",
        "memory: 66560 KiB\n",
        "exec=/app/server workdir=/ strace=1 arg=/app/server arg=-v ",
        "env=PATH%3d/usr/local/sbin:",
        "env=HOME%3d/'",
    ] {
        assert!(alone.contains(part), "{part} in\n{alone}");
    }
    assert_eq!(alone.matches("HOME=").count(), 1);
    let with_root = show(&["--root", root, "-w", "/data", "redis", "--port", "1"]);
    let words = "exec=/usr/bin/redis workdir=/data arg=redis arg=--port arg=1 ";
    assert!(
        with_root.contains(words) && with_root.contains(&format!("image: /usr/bin/redis of {root}\n")),
        "{with_root}"
    );
    // What the root does not have is one of the host.
    let beside = show(&["--root", root, "-v", &format!("{root}:/etc/root"), server]);
    assert!(beside.contains("exec=/app/server "), "{beside}");
}

#[test]
fn what_cannot_be_a_programs_is_told_in_a_line() {
    let folder = tempfile::tempdir().unwrap();
    let server = folder.path().join("server");
    linux_program(&server);
    let script = folder.path().join("script");
    std::fs::write(&script, "#!/usr/bin/env python3\n").unwrap();
    let (server, script, folder) =
        (server.to_str().unwrap(), script.to_str().unwrap(), folder.path().to_str().unwrap());
    let volume = |text: &str| format!("{folder}:{text}");
    let cases: [(&[&str], i32, &str); 9] = [
        (&[script], 126, "it is a script for /usr/bin/env"),
        (&["--root", folder, "script"], 127, "cannot run script: no such file or directory"),
        (&["--root", folder, "/script"], 126, "it is a script for /usr/bin/env"),
        (&["--root", "/nonexistent", server], 125, "cannot use root /nonexistent: No such file"),
        (&["--root", script, server], 125, "it is damaged, or no archive"),
        (&["-v", &volume("/data:rw"), server], 125, "packed when the guest starts"),
        (&["-v", &volume("data"), server], 125, "does not begin with `/`"),
        (&["-w", "data", server], 125, "cannot begin in data"),
        (&["-m", "2M", server], 125, "MiB, and the machine has 2 MiB"),
    ];
    for (words, status, message) in cases {
        let output = toro(&["run", "--accel", "tcg"]).args(words).output().unwrap();
        let (told, error, help) = failure(&output);
        assert!(told == status && error.contains(message) && !help.is_empty(), "{words:?}: {told} {error} {help}");
    }
    let app = image(Path::new(folder));
    let (status, error, _) = failure(&toro(&["run", "--strace", app.to_str().unwrap()]).output().unwrap());
    assert!(status == 125 && error.contains("makes no system calls"), "{error}");
}

#[test]
fn a_program_is_checked_before_it_runs() {
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let source = file("main.c");
    std::fs::write(&source, "#include <unistd.h>\nint main(void) { return fork() || execlp(\"x\", \"x\", NULL); }\n")
        .unwrap();
    for (name, option) in [("fixed", "-static"), ("dynamic", "-pie")] {
        assert!(Command::new("gcc").args([option, "-o", &file(name), &source]).status().unwrap().success());
    }
    let output = toro(&["check", &file("fixed")]).output().unwrap();
    let page = text(&output.stdout);
    assert!(output.status.success() && page.starts_with(&format!("{}: static executable, can run\n", file("fixed"))));
    for part in ["  missing: execve (", "  supported: read write ", "system calls: "] {
        assert!(page.contains(part), "{part} in\n{page}");
    }
    let output = toro(&["check", "--json", &file("fixed")]).output().unwrap();
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((&report["runs"], &report["kind"]), (&true.into(), &"static executable".into()));
    assert!(report["system_calls"]["missing"].as_array().unwrap().iter().any(|call| call["name"] == "execve"));

    let output = toro(&["check", &file("dynamic")]).output().unwrap();
    let page = text(&output.stdout);
    assert_eq!(output.status.code(), Some(126));
    assert!(
        page.contains("dynamic executable, cannot run")
            && page.contains("needs: /lib64/ld-linux-x86-64.so.2, libc.so.6"),
        "{page}"
    );
    assert!(page.contains("cure: link it statically"), "{page}");
    let output = toro(&["check", &source]).output().unwrap();
    assert_eq!(output.status.code(), Some(126));
    assert!(text(&output.stdout).contains("it is no ELF file"), "{}", text(&output.stdout));
    let (status, error, _) = failure(&toro(&["check", "/nonexistent"]).output().unwrap());
    assert_eq!((status, error.contains("No such file")), (127, true));
    let output = toro(&["check", image(folder.path()).to_str().unwrap()]).output().unwrap();
    assert!(output.status.success() && text(&output.stdout).contains("Toro image, can run"));
}
