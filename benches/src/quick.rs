//! The figures of a native application on one core, and on several, beside their targets.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result};

use crate::artifact;
use crate::cores;
use crate::costs::{self, Costs};
use crate::http::Style;
use crate::image::Image;
use crate::measure;
use crate::null;
use crate::report::{Report, Row, Target, shared};
use crate::vm::{Guest, Kind};
use toro_vmm::{Image as Bootable, MachineType};

/// Requests in one measured phase.
const REQUESTS: u64 = 300;
/// Connections of the load.
const CONNECTIONS: usize = 16;

/// How much is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Extent {
    /// Only figures that do not depend on how busy the host is.
    Counts,
    /// Everything.
    All,
}

/// The servers and programs that are measured.
pub struct Subjects {
    /// The counter plugin.
    pub plugin: std::path::PathBuf,
    server: Image,
    store: Image,
    hello: Image,
}

impl Subjects {
    /// Builds them.
    pub fn build() -> Result<Subjects> {
        Ok(Subjects {
            plugin: artifact::plugin()?,
            server: Image::build("http_server")?,
            store: Image::build("key_value")?,
            hello: Image::build("hello")?,
        })
    }
}

/// The measured server, as a guest.
pub fn server(subjects: &Subjects) -> Guest {
    Guest::ours(subjects.server.bootable.clone(), true)
}

/// The empty guest, written to `folder`, on a machine like that of `like`.
pub fn empty_guest(folder: &Path, like: &Guest) -> Result<Guest> {
    let path = folder.join(null::NAME);
    std::fs::create_dir_all(folder)?;
    std::fs::write(&path, null::image()).context("cannot write the empty guest")?;
    let image = Bootable { name: null::NAME.to_owned(), boot: path.clone(), symbols: path };
    let kind = Kind::Foreign { ready: "N\n".to_owned(), command_line: String::new(), initrd: None };
    Ok(Guest { name: null::NAME.to_owned(), image, kind, ..like.clone() })
}

/// Runs the measurements. One that fails is a line in the report, not the end of it.
pub fn run(subjects: &Subjects, extent: Extent) -> Result<Report> {
    let mut report = Report::default();
    let server = server(subjects);
    counts(&mut report, subjects, &server);
    if extent == Extent::All {
        let empty = empty_guest(&artifact::root().join("target/bench"), &server)?;
        times(&mut report, &server, &empty, &subjects.plugin);
    }
    Ok(report)
}

fn steady(key: &'static str, what: &'static str, unit: &'static str, at_most: f64) -> Row {
    Row { key, what, unit, value: 0.0, target: Target::AtMost(at_most), steady: true }
}

fn timed(key: &'static str, what: &'static str, unit: &'static str, target: Target) -> Row {
    Row { key, what, unit, value: 0.0, target, steady: false }
}

fn counts(report: &mut Report, subjects: &Subjects, server: &Guest) {
    let plugin = &subjects.plugin;
    let boot = measure::boot_counts(server, MachineType::Microvm, plugin);
    let all = shared(&boot).map(|counts| counts.first_200 as f64);
    report.add(steady("first_200", "reset to first 200, microvm", "instructions", 1e6), all);
    let without_rep = boot.map(|counts| counts.first_200_without_rep as f64);
    report.add(timed("first_200_norep", "the same, a rep counted as one", "instructions", Target::None), without_rep);
    let hello = Guest::ours(subjects.hello.bootable.clone(), false);
    let watches = subjects.hello.entry_and_main();
    for (machine, memory_mib, cpus, key, what) in [
        (MachineType::Microvm, hello.memory_mib, 1, "main_microvm", "entry to main, hello, microvm"),
        (MachineType::Microvm, hello.memory_mib, 4, "main_4_cores", "the same, the first of 4 cores"),
        (MachineType::Microvm, 16 << 10, 1, "main_microvm_16g", "entry to main, hello, microvm of 16 GiB"),
        (MachineType::Q35, hello.memory_mib, 1, "main_q35", "entry to main, hello, q35"),
        (MachineType::Pc, hello.memory_mib, 1, "main_pc", "entry to main, hello, pc"),
    ] {
        let hello = Guest { memory_mib, cpus, ..hello.clone() };
        let value = shared(&watches).and_then(|watches| measure::entry_to_main(&hello, machine, plugin, *watches));
        report.add(steady(key, what, "instructions", 150e3), value.map(|count| count as f64));
    }
    let first_of_4_and_1 = report.value("main_4_cores").zip(report.value("main_microvm"));
    let ratio = first_of_4_and_1.map(|(of_4, of_1)| of_4 / of_1).context("one of them was not measured");
    report.add(steady("main_4_to_1", "entry to main, the first of 4 cores to that of 1", "times", 1.1), ratio);
    let all = costs::image("cores").and_then(|image| {
        let guest = Guest { cpus: 4, ..Guest::ours(image, false) };
        measure::whole_run(&guest, MachineType::Microvm, plugin)
    });
    let what = "reset to off, 4 cores that all run threads, together";
    report.add(timed("cores_4_all", what, "instructions", Target::AtMost(2e6)), all.map(|count| count as f64));
    for (cpus, key, what) in [(1, "idle_wakeups", "wake-ups when idle"), (4, "idle_4_cores", "the same, of 4 cores")] {
        let server = Guest { cpus, ..server.clone() };
        let idle = measure::idle_wakeups(&server, MachineType::Microvm, plugin, Duration::from_secs(5));
        report.add(steady(key, what, "a second", 0.0), idle);
    }
    let on_microvm = |style| measure::request_cost(server, MachineType::Microvm, plugin, false, style, REQUESTS);
    let what = ["a keep-alive request for 665 bytes, microvm", "the cheapest tenth of them"];
    add_cost(report, ["keepalive", "keepalive_tenth"], what, 4e3, on_microvm(Style::KeepAlive));
    let what = ["a connection and the same request, microvm", "the cheapest tenth of them"];
    add_cost(report, ["connection", "connection_tenth"], what, 15e3, on_microvm(Style::Close));
    let store = Guest::ours(subjects.store.bootable.clone(), true);
    let small = measure::small_request_cost(&store, MachineType::Microvm, plugin, REQUESTS);
    let what = ["a keep-alive request for 6 bytes, microvm", "the cheapest tenth of them"];
    add_cost(report, ["keepalive_small", "keepalive_small_tenth"], what, 4e3, small);
    let cost = measure::request_cost(server, MachineType::Q35, plugin, true, Style::KeepAlive, REQUESTS);
    report.add(
        steady("keepalive_exits", "device exits a keep-alive request, q35", "exits", 1.0),
        cost.map(|cost| cost.vmm_exits),
    );
    let costs = Costs::take();
    for (key, name, what, at_most) in [
        ("spawn_join", "spawn and join", "a thread made, ended and joined", 15e3),
        ("catch", "catch of what returns", "a catch of what returns", 15e3),
        ("fault_caught", "divide error caught", "from a divide error to what follows its catch", 8e3),
        ("null_read_caught", "null read caught", "from a read near null to what follows its catch", 8e3),
        ("panic_caught", "panic caught", "from a panic to what follows its catch", 8e3),
        ("round_trip_cores", "message and answer, other core", "a channel's round trip between two awake cores", 3e3),
        ("all_reduce_cores", "all_reduce", "an all_reduce of two cores", 1.5e3),
        ("timer_set", "timer set, of 100,000", "a timer set, 100,000 pending", 400.0),
        ("timer_expired", "timer expired, of 100,000", "a timer expired, 100,000 pending", 400.0),
    ] {
        report.add(steady(key, what, "instructions", at_most), shared(&costs).and_then(|costs| costs.of(name)));
    }
    let costs = Costs::take_linux();
    for (key, name, what, at_most) in [
        ("linux_null_call", "null call", "a Linux program's call that does nothing", 150.0),
        ("linux_page", "page commit", "a page that it touches first", 1.5e3),
        ("linux_signal", "signal delivered and returned from", "a signal sent, delivered, returned from", 4e3),
    ] {
        report.add(steady(key, what, "instructions", at_most), shared(&costs).and_then(|costs| costs.of(name)));
    }
    // Moves by a tenth with where the program's memory is, which differs from run to run.
    let thread = shared(&costs).and_then(|costs| costs.of("thread create and join"));
    let what = "a thread of it made, ended and joined, by glibc";
    report.add(timed("linux_thread", what, "instructions", Target::AtMost(15e3)), thread);
    let bytes = subjects.server.stripped_bytes().map(|bytes| bytes as f64);
    report.add(steady("image_bytes", "image with TCP, stripped", "bytes", 300e3), bytes);
}

/// The average beside its target, and what the baseline holds.
fn add_cost(
    report: &mut Report,
    keys: [&'static str; 2],
    what: [&'static str; 2],
    target: f64,
    cost: Result<measure::RequestCost>,
) {
    let tenth = shared(&cost).map(|cost| cost.instructions_tenth);
    let average = cost.map(|cost| cost.instructions);
    report.add(timed(keys[0], what[0], "instructions", Target::AtMost(target)), average);
    report.add(Row { target: Target::None, ..steady(keys[1], what[1], "instructions", target) }, tenth);
}

fn times(report: &mut Report, server: &Guest, empty: &Guest, plugin: &Path) {
    let smallest = measure::smallest_memory(server, MachineType::Microvm, 64).context("none up to 64 MiB serves");
    let row = timed("memory", "smallest -m that serves, microvm", "MiB", Target::AtMost(2.0));
    report.add(row, smallest.map(|mib| mib as f64));
    let row = timed("cpu_first_200", "CPU to first 200 above an empty guest", "s", Target::AtMost(0.03));
    report.add(row, cpu_above_empty(server, empty));
    let row = timed("two_cores", "requests of 2 cores to those of 1, q35, queues", "times", Target::AtLeast(1.6));
    report.add(row, cores::worth_of_two(server, plugin));
    let length = Duration::from_secs(10);
    let idle_empty = measure::idle_cpu_percent(empty, MachineType::Microvm, length);
    let idle = measure::idle_cpu_percent(server, MachineType::Microvm, length);
    let above = idle.and_then(|idle| Ok(idle - idle_empty?));
    let row = timed("idle_cpu", "CPU of QEMU when idle, above an empty guest", "%", Target::AtMost(0.02));
    report.add(row, above);
    match measure::load(server, MachineType::Microvm, CONNECTIONS, Duration::from_secs(6)) {
        Err(error) => {
            report.add(timed("load", "keep-alive load", "requests/CPU s", Target::None), Err(error));
        }
        Ok(cost) => {
            let per_cpu = timed("requests_per_cpu_s", "requests per CPU second of QEMU", "requests", Target::None);
            report.add(per_cpu, Ok(cost.requests_per_cpu_second()));
            let vcpu = timed("vcpu_us", "virtual processor a loaded request", "us", Target::AtMost(15.0));
            report.add(vcpu, Ok(cost.vcpu_us_per_request()));
            let errors = timed("load_errors", "errors under load", "requests", Target::AtMost(0.0));
            report.add(errors, Ok(cost.load.errors as f64));
            let stalls = timed("load_stalls", "answers that took 2 s under load", "requests", Target::AtMost(0.0));
            report.add(stalls, Ok(cost.load.stalls as f64));
            let median = timed("load_p50_ms", "median time to an answer under load", "ms", Target::None);
            report.add(median, Ok(cost.load.latency_ms(0.5)));
            let late = timed("load_p99_ms", "99th percentile of that", "ms", Target::None);
            report.add(late, Ok(cost.load.latency_ms(0.99)));
        }
    }
}

/// Median over paired runs of (guest - empty guest).
fn cpu_above_empty(server: &Guest, empty: &Guest) -> Result<f64> {
    let mut differences = Vec::new();
    for _ in 0..7 {
        let floor = measure::cpu_to_first_200(empty, MachineType::Microvm)?;
        differences.push(measure::cpu_to_first_200(server, MachineType::Microvm)? - floor);
    }
    differences.sort_by(f64::total_cmp);
    Ok(differences[differences.len() / 2])
}
