//! What is told of what went wrong: to whoever reads it, as JSON, and to gdb.

use std::path::Path;
use std::process::Command;

use serde_json::Value;
use toro_tests::{Libc, Program, Run, Spec, Tool, built, guest, skip};
use toro_vmm::Report;
use toro_vmm::report::Call;

/// The one report of a run.
fn only(run: &Run) -> &Report {
    let [report] = run.exit.reports.as_slice() else { panic!("{:#?}", run.exit) };
    report
}

/// Whether one of the first calls is of a function that is called so.
fn is_called(report: &Report, function: &str) -> bool {
    let is = |call: &Call| call.functions.iter().any(|name| name.function.contains(function));
    report.calls.iter().take(6).any(is)
}

#[test]
fn a_report_says_what_happened_where_and_how_it_came_to_that() {
    let run = guest("read_null").command_line("colour=blue").run().expect_status(102);
    let report = only(&run);
    assert_eq!(report.cause, "read of 0x8, near null, in thread 1 'main'");
    assert_eq!(report.address, Some((8, "near null, where nothing ever is".into())));
    assert!(report.calls[0].functions.iter().any(|name| name.location.is_some()), "{report:#?}");
    assert!(is_called(report, "main"), "{report:#?}");
    assert_eq!(report.register("rip"), Some(report.calls[0].address));
    let instruction = report.code.split(['<', '>']).nth(1);
    assert!(instruction.is_some() && report.code.split(' ').count() == 32, "{}", report.code);
    assert!(!report.log.is_empty() && report.log.iter().all(|line| line.starts_with('[')), "{report:#?}");
    // What a reader sees is the same.
    let run = run.expect_log("\n  code ").expect_log("\n  address 0x8: near null").expect_log("\n  log: [");
    run.expect_log("main (guests/read_null/main.rs:").expect_log("\n  image base 0xffff");
}

#[test]
fn reports_are_in_the_words_of_what_they_are_about() {
    for (name, argument, address) in [
        ("fault_in_main", "read_absent", "0xffffe00000000000: "),
        ("fault_in_main", "stack", ": the guard page below the thread's stack"),
        ("fault_in_main", "read_null", "address 0x8: near null, where nothing ever is"),
        ("write_text", "", "code of the image, image+0x"),
        ("write_rodata", "", "constants of the image, image+0x"),
    ] {
        guest(name).arguments(&[argument]).run().expect_status(102).expect_log(address);
    }
    // A message of several lines is one message, and a panic has no registers.
    let run = guest("panic").run();
    let report = only(&run);
    assert!(report.cause.starts_with("thread 2 'unlucky' panicked at "), "{report:#?}");
    assert!(report.registers.is_none() && is_called(report, "panic::main"), "{report:#?}");
}

/// The program of crashes, with names of functions and lines; `-static-pie` begins anywhere.
fn crash(further: &[&str]) -> Option<Program> {
    built(Program::c_with("crash", Libc::Glibc, &[&["-g"], further].concat()))
}

#[test]
fn a_program_that_a_signal_ends_is_told_of_as_a_kernels_thread_is() {
    for further in ["-static", "-static-pie"] {
        let Some(program) = crash(&[further]) else { return };
        for (how, status, said) in [
            ("read", 139, "SIGSEGV: read of 0x8, near null, in thread 1 'program'"),
            ("divide", 136, "SIGFPE: division by zero, or a quotient too large, in thread 1 'program'"),
            ("abort", 134, "SIGABRT, sent by the program itself, in thread 1 'program'"),
            ("jump", 139, "SIGSEGV: execution of 0x0, near null, in thread 1 'program'"),
            ("trap", 132, "SIGILL: an instruction that does not exist, in thread 1 'program'"),
            ("kill", 137, "SIGKILL, sent by the program itself, in thread 1 'program'"),
        ] {
            assert_eq!(program.on_host(&[how], "").status, status, "{how} on the host");
            let run = program.guest(&[how]).run().expect_kind("signal").expect_status(status as u8);
            let run = run.expect_stdout("begun\n").expect_message(said);
            let report = only(&run);
            assert_eq!(report.cause, said);
            assert!(is_called(report, "end_as") && report.registers.is_some(), "{how}: {report:#?}");
            let named = report.calls.iter().flat_map(|call| &call.functions).find(|name| name.function == "end_as");
            let (file, line) = named.and_then(|name| name.location.clone()).expect("a place");
            assert!(file.ends_with("c/crash.c") && (20..41).contains(&line), "{how}: {file}:{line}");
            assert!(report.calls.iter().all(|call| !call.is_guess) && is_called(report, "main"), "{how}: {report:#?}");
            if how == "read" {
                assert!(report.address.as_ref().is_some_and(|(address, _)| *address == 8), "{report:#?}");
                assert_eq!(report.calls[0].functions[0].function, "read_from");
            }
        }
    }
}

#[test]
fn calls_are_followed_to_where_a_signal_came_in() {
    for further in ["-static", "-static-pie"] {
        let Some(program) = crash(&[further]) else { return };
        let run = program.guest(&["handler"]).run().expect_status(134);
        let report = only(&run);
        let names: Vec<&str> =
            report.calls.iter().flat_map(|call| &call.functions).map(|name| &*name.function).collect();
        let mut rest = names.iter();
        for name in ["abort", "on_signal", "read_from", "end_as", "main"] {
            assert!(rest.any(|found| *found == name), "no {name} in its place: {names:?}");
        }
    }
}

#[test]
fn a_program_without_a_stack_is_told_of_all_the_same() {
    let Some(program) = crash(&["-static"]) else { return };
    let run = program.guest(&["no stack"]).run().expect_kind("signal").expect_status(139);
    let report = only(&run);
    assert_eq!(report.cause, "SIGSEGV: read of 0x700000000008, in thread 1 'program'");
    assert!(report.address.as_ref().is_some_and(|(_, place)| place.starts_with("in no area; ")), "{report:#?}");
    assert_eq!((report.register("rsp"), report.calls.len()), (Some(0x7000_0000_0008), 1));
}

#[test]
fn functions_of_cpp_are_called_as_in_cpp() {
    let Some(program) = built(Program::cpp("exceptions", &["-static"])) else { return };
    let run = program.guest(&["noexcept"]).run().expect_status(134);
    let report = only(&run);
    let names: Vec<&str> = report.calls.iter().flat_map(|call| &call.functions).map(|name| &*name.function).collect();
    assert!(names.contains(&"deep(int)") && names.contains(&"main"), "{names:?}");
}

/// What gdb says of a core.
fn debug(elf: &Path, core: &Path, commands: &[&str]) -> Option<String> {
    let mut command = Command::new("gdb");
    command.args(["-nx", "-batch"]);
    for line in commands {
        command.args(["-ex", line]);
    }
    let Ok(output) = command.arg(elf).arg(core).output() else {
        skip("cores", "no gdb");
        return None;
    };
    let said = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    Some(said(&output.stdout) + &said(&output.stderr))
}

/// The script that lists threads.
const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../vmm/gdb/toro.py");

#[test]
fn gdb_lists_the_threads_of_a_core_and_their_calls() {
    let folder = tempfile::tempdir().expect("a folder");
    let core = folder.path().join("core");
    for (name, cpus, wanted) in [
        ("panic", 1, ["thread 1 'main' on core 0 waits", "thread 2 'unlucky' on core 0 runs"]),
        ("core_faults", 2, ["thread 1 'main' on core 0 ", "'bad' on core 1 runs"]),
    ] {
        let spec = with_core(guest(name).cpus(cpus).command_line("fault=exit-any"), &core);
        let elf = spec.image_path();
        let run = spec.run();
        assert_eq!(run.exit.core, Some(Ok(())), "{:?}", run.exit.ending);
        let Some(told) = debug(Path::new(&elf), &core, &[&format!("source {SCRIPT}"), "toro-threads"]) else { return };
        for title in wanted {
            assert!(told.contains(title), "no {title:?} in {told}");
        }
        // Each has been called from where threads begin.
        assert!(told.matches("sched::thread::begin").count() >= wanted.len(), "{told}");
        std::fs::remove_file(&core).expect("it is there");
    }
}

#[test]
fn a_guest_waits_for_gdb_at_its_first_instruction() {
    let free = std::net::TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr());
    let port = free.expect("a free port").port();
    let spec = guest("threads").with(|mut machine| {
        machine.gdb_port = Some(port);
        machine
    });
    let elf = spec.image_path();
    let running = spec.start();
    let symbols = format!("symbol-file {elf} -o {:#x}", toro_vmm::abi::FIXED_BASE);
    let (target, script) = (format!("target remote :{port}"), format!("source {SCRIPT}"));
    let mut command = Command::new("timeout");
    command.args(["60", "gdb", "-nx", "-batch"]);
    // The first instruction is the firmware's; then the program's `main`.
    for line in [&*symbols, &target, "x/i $pc", "hbreak toro_main", "continue", "bt", &script, "toro-threads", "detach"]
    {
        command.args(["-ex", line]);
    }
    let Ok(output) = command.output() else { return skip("debuggers", "no gdb") };
    let told = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    assert!(told.contains("toro_main") && told.contains("thread 1 'main' on core 0 runs"), "{told}");
    running.finish().expect_status(0);
}

/// A guest that writes a core at its end.
fn with_core(spec: Spec, core: &Path) -> Spec {
    spec.with(|mut machine| {
        machine.core = Some(core.to_owned());
        machine
    })
}

#[test]
fn gdb_opens_the_core_of_an_image() {
    let folder = tempfile::tempdir().expect("a folder");
    let core = folder.path().join("core");
    for (name, argument, said) in [
        ("read_null", "", "main () at read_null/main.rs"),
        ("panic", "", "panic/main.rs"),
        ("fault_in_kernel", "mutex", "fault_in_kernel::"),
    ] {
        let spec = with_core(guest(name).cpus(2).arguments(&[argument]).command_line("fault=exit-any"), &core);
        let elf = spec.image_path();
        let run = spec.run();
        assert_eq!(run.exit.core, Some(Ok(())));
        let Some(told) = debug(Path::new(&elf), &core, &["bt", "info threads"]) else { return };
        assert!(told.contains(said), "{name}: {told}");
        std::fs::remove_file(&core).expect("it is there");
    }
}

#[test]
fn a_guest_that_does_not_end_leaves_a_core_too() {
    let folder = tempfile::tempdir().expect("a folder");
    let core = folder.path().join("core");
    let spec = with_core(guest("fault_in_main").arguments(&["spin"]), &core);
    let elf = spec.image_path();
    let running = spec.start();
    running.wait_for("spin");
    let run = running.finish_within(std::time::Duration::ZERO).expect_status(124);
    assert_eq!(run.exit.core, Some(Ok(())));
    let Some(told) = debug(Path::new(&elf), &core, &["bt"]) else { return };
    assert!(told.contains("SIGALRM") && told.contains("spin () at fault_in_main/main.rs"), "{told}");
}

#[test]
fn gdb_opens_the_core_of_a_program() {
    let folder = tempfile::tempdir().expect("a folder");
    let core = folder.path().join("core");
    for further in
        [&["-static"][..], &["-static-pie"], &["-static", "-O2", "-fno-inline", "-fno-optimize-sibling-calls"]]
    {
        let Some(program) = crash(further) else { return };
        let run = with_core(program.guest(&["read"]), &core).run().expect_status(139);
        assert_eq!(run.exit.core, Some(Ok(())));
        let Some(told) = debug(program.file(), &core, &["bt", "print how", "up", "print how"]) else { return };
        let frames = ["#0 ", "read_from (place=", "#1 ", "end_as (how=", "#2 ", "main (count="];
        let mut rest = told.as_str();
        for frame in frames {
            rest = rest.split_once(frame).unwrap_or_else(|| panic!("no {frame:?} in {told}")).1;
        }
        assert!(told.contains("SIGSEGV"), "{told}");
    }
}

#[test]
fn the_threads_of_a_program_are_told_of_and_are_in_its_core() {
    let folder = tempfile::tempdir().expect("a folder");
    let core = folder.path().join("core");
    let Some(program) = crash(&["-static", "-pthread"]) else { return };
    for cpus in [1, 2] {
        let run = with_core(program.guest(&["threads"]).cpus(cpus), &core).run().expect_status(139);
        let report = only(&run);
        assert_eq!(report.threads.iter().map(|thread| thread.number).collect::<Vec<_>>(), [2, 3, 4], "{report:#?}");
        assert!(report.threads.iter().all(|thread| thread.name == "program"), "{report:#?}");
        let spins = report.threads[2].at.functions.first().map(|name| &*name.function);
        assert_eq!(spins, Some("spins"), "{report:#?}");
        let Some(told) = debug(program.file(), &core, &["thread apply all bt", "thread 4", "print $xmm15.v2_int64[0]"])
        else {
            return;
        };
        for function in ["read_from (place=", "reads_a_pipe (ends=", "takes_a_lock (unused=", "spins (unused="] {
            assert!(told.contains(function), "no {function:?} with {cpus} processors in {told}");
        }
        assert!(told.contains("= 81985529216486895"), "{told}");
        std::fs::remove_file(&core).expect("it is there");
    }
}

#[test]
fn the_tool_writes_reports_and_cores_where_it_is_told_to() {
    let (tool, folder) = (Tool::new(), tempfile::tempdir().expect("a folder"));
    let path = |name: &str| folder.path().join(name).to_string_lossy().into_owned();
    let (report, core) = (path("report.json"), path("core"));
    let image = guest("read_null").image_path();
    let words = ["run", "--accel", "tcg", "--report", &report, "--core", &core, &image];
    let told = tool.run(&words).expect_status(102);
    assert!(told.stderr.contains(&format!("toro.py {image} {core}")), "{}", told.stderr);
    let json: Value = serde_json::from_slice(&std::fs::read(&report).expect("a report")).expect("JSON");
    assert_eq!((&json["status"], &json["kind"]), (&102.into(), &"fault".into()));
    let report = &json["reports"][0];
    assert_eq!(report["cause"], "read of 0x8, near null, in thread 1 'main'");
    assert_eq!(report["address"]["address"], "0x8");
    assert_eq!(report["registers"]["rip"], report["backtrace"][0]["address"]);
    assert!(report["backtrace"].to_string().contains("read_null/main.rs"), "{report}");
    // Nothing went wrong: there is a report of nothing, and no core.
    let (report, core) = (path("none.json"), path("none"));
    let image = guest("exit_code").image_path();
    tool.run(&["run", "--accel", "tcg", "--report", &report, "--core", &core, &image]).expect_status(42);
    let json: Value = serde_json::from_slice(&std::fs::read(&report).expect("a report")).expect("JSON");
    assert_eq!(json["reports"], Value::Array(Vec::new()));
    assert!(!Path::new(&core).exists());
    // A place where nothing can be written is found out before the guest runs.
    let told = tool.run(&["run", "--report", "/nonexistent/x", &image]).expect_status(125);
    assert!(told.stderr.contains("--report FILE"), "{}", told.stderr);
}
