//! What the program `toro` decides, with real guests that show that it was right.

use std::os::unix::fs::PermissionsExt;
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

/// A static Linux program: as far as the tool is concerned.
fn linux_program(path: &std::path::Path) {
    std::fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
    let source = path.with_extension("c");
    std::fs::write(&source, "void _start(void) {}\n").expect("a source");
    let (source, program) = (source.to_string_lossy(), path.to_string_lossy());
    run("gcc", &["-static", "-nostdlib", "-o", &program, &source]).expect("gcc works");
    std::fs::remove_file(&*source).expect("it was there");
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755)).expect("a mode");
}

#[test]
fn a_linux_program_and_its_files_arrive() {
    let (tool, folder) = (Tool::new(), tempfile::tempdir().expect("a folder"));
    let here = |path: &str| folder.path().join(path);
    linux_program(&here("server"));
    linux_program(&here("root/bin/redis"));
    std::fs::write(here("site"), "hello").expect("a file");
    std::fs::set_permissions(here("site"), std::fs::Permissions::from_mode(0o640)).expect("a mode");
    std::os::unix::fs::symlink("bin/redis", here("root/link")).expect("a link");
    let (server, root) = (here("server").display().to_string(), here("root").display().to_string());
    let volume = format!("{}:/www/index:ro", here("site").display());
    let image = guest("files").image_path();
    let toro = |words: &[&str]| {
        let output = tool.command(words).env("TORO_LINUX_IMAGE", &image).output().expect("the tool starts");
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        (output.status.code(), text(&output.stdout), text(&output.stderr))
    };
    let bytes = std::fs::metadata(here("server")).expect("it is there").len();

    let (status, stdout, stderr) = toro(&["run", "--accel", "tcg", "-v", &volume, &server, "--port", "80"]);
    let expected = format!(
        "exec: /app/server\nworkdir: /\narg: /app/server\narg: --port\narg: 80\n/ 755 directory\n/app 755 directory\n\
         /app/server 755 {bytes} bytes\n/www 755 directory\n/www/index 640 read-only 5 bytes\n"
    );
    assert_eq!((status, stdout), (Some(0), expected), "{stderr}");

    let bytes = std::fs::metadata(here("root/bin/redis")).expect("it is there").len();
    let words = ["run", "--accel", "tcg", "--strace", "--root", &root, "-w", "/data", "redis"];
    let (status, stdout, stderr) = toro(&words);
    let expected = format!(
        "exec: /bin/redis\nworkdir: /data\nstrace: 1\narg: redis\n/ 755 directory\n/bin 755 directory\n\
         /bin/redis 755 {bytes} bytes\n/data 755 directory\n/link -> bin/redis\n"
    );
    assert_eq!((status, stdout), (Some(0), expected), "{stderr}");

    // A guest in the background packs by itself.
    let (status, stdout, stderr) = toro(&["run", "-d", "--name", "packed", "--accel", "tcg", &server]);
    assert_eq!((status, &*stdout), (Some(0), "packed\n"), "{stderr}");
    assert_eq!(tool.inspect("packed")["image"], server.as_str());
    let (_, logged, _) = toro(&["logs", "-f", "packed"]);
    assert!(logged.contains("exec: /app/server\n"), "{logged}");
}

#[test]
fn one_file_of_kernel_and_linux_program_boots_by_qemu_alone() {
    let (tool, folder) = (Tool::new(), tempfile::tempdir().expect("a folder"));
    let here = |path: &str| folder.path().join(path).display().to_string();
    linux_program(&folder.path().join("server"));
    std::fs::write(here("site"), vec![b'x'; 3 << 20]).expect("a file");
    let volume = format!("{}:/www/index", here("site"));
    for (name, options) in [("one.elf", &["--strip"][..]), ("two.elf", &[])] {
        let mut command = tool.command(&["build", "-o", &here(name), "-v", &volume, "-w", "/data"]);
        command.args(options).args([&here("server"), "--", "--port", "80"]);
        let built = command.env("TORO_LINUX_IMAGE", guest("files").image_path()).output().expect("the tool starts");
        let told = String::from_utf8_lossy(&built.stderr).into_owned();
        assert!(built.status.success(), "{told}");
        let line = told.lines().last().expect("a line").trim();
        let says = |output: &str| {
            output.contains("exec: /app/server") && output.contains("/www/index 644 read-only 3145728 bytes")
        };
        for machine in ["microvm", "q35", "pc"] {
            let line = line.replace("-machine microvm", &format!("-machine {machine}"));
            let line = if machine == "microvm" { line } else { line.replace("virtio-net-device", "virtio-net-pci") };
            let output = run("sh", &["-c", &line]).expect("QEMU runs");
            assert!(says(&output) && output.contains("arg: --port"), "{line}: {output}");
        }
        // The tool runs it, too, and other arguments may be given to it, now or for good.
        let told = tool.run(&["run", "--accel", "tcg", &here(name), "other"]).expect_status(0);
        assert!(
            says(&told.stdout) && told.stdout.contains("arg: other\n") && !told.stdout.contains("--port"),
            "{told:?}"
        );
        tool.run(&["build", "-o", &here("again.elf"), &here(name), "--", "again"]).expect_status(0);
        let told = tool.run(&["run", "--accel", "tcg", &here("again.elf")]).expect_status(0);
        assert!(says(&told.stdout) && told.stdout.contains("arg: /app/server\narg: again\n"), "{told:?}");
    }
}
