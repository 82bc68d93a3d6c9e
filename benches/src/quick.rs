//! The figures of a native application on one core, beside their targets.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result};

use crate::artifact;
use crate::http::Style;
use crate::image::Image;
use crate::measure;
use crate::null;
use crate::report::{Report, Row, Target};
use crate::vm::{Guest, Machine};

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
    hello: Image,
}

impl Subjects {
    /// Builds them.
    pub fn build() -> Result<Subjects> {
        Ok(Subjects {
            plugin: artifact::plugin()?,
            server: Image::open(&artifact::image("http_server")?)?,
            hello: Image::open(&artifact::image("hello")?)?,
        })
    }
}

fn server_guest(image: &Image) -> Guest {
    Guest {
        name: "http_server".to_owned(),
        image: image.path.clone(),
        initrd: None,
        command_line: "toro.token=0123456789abcdef ip=10.0.2.15/24 gw=10.0.2.2".to_owned(),
        ready: "event=listen".to_owned(),
        memory_mib: 64,
        network: true,
    }
}

/// The measured server, as a guest.
pub fn server(subjects: &Subjects) -> Guest {
    server_guest(&subjects.server)
}

fn hello(image: &Image) -> Guest {
    let command_line = "toro.token=0123456789abcdef".to_owned();
    let (name, ready) = ("hello".to_owned(), "kind=exit".to_owned());
    Guest {
        name,
        ready,
        command_line,
        network: false,
        ..server_guest(image)
    }
}

/// The empty guest, written to `folder`.
pub fn empty_guest(folder: &Path, like: &Guest) -> Result<Guest> {
    let image = folder.join("empty-guest");
    std::fs::create_dir_all(folder)?;
    std::fs::write(&image, null::image()).context("cannot write the empty guest")?;
    let (name, ready) = (null::NAME.to_owned(), "N\n".to_owned());
    Ok(Guest {
        name,
        ready,
        image,
        initrd: None,
        command_line: String::new(),
        ..like.clone()
    })
}

/// Runs the measurements. One that fails is a line in the report, not the end of it.
pub fn run(subjects: &Subjects, extent: Extent) -> Result<Report> {
    let mut report = Report::default();
    let server = server(subjects);
    counts(&mut report, subjects, &server);
    if extent == Extent::All {
        let empty = empty_guest(&artifact::root().join("target/bench"), &server)?;
        times(&mut report, &server, &empty);
    }
    Ok(report)
}

fn steady(key: &'static str, what: &'static str, unit: &'static str, at_most: f64) -> Row {
    Row {
        key,
        what,
        unit,
        value: 0.0,
        target: Target::AtMost(at_most),
        steady: true,
    }
}

fn timed(key: &'static str, what: &'static str, unit: &'static str, target: Target) -> Row {
    Row {
        key,
        what,
        unit,
        value: 0.0,
        target,
        steady: false,
    }
}

fn counts(report: &mut Report, subjects: &Subjects, server: &Guest) {
    let plugin = &subjects.plugin;
    let boot = measure::boot_counts(server, Machine::Microvm, plugin, &[]);
    let (all, without_rep) = match boot {
        Ok(counts) => (
            Ok(counts.first_200 as f64),
            Ok(counts.first_200_without_rep as f64),
        ),
        Err(error) => (Err(anyhow::anyhow!("{error:#}")), Err(error)),
    };
    report.add(
        steady(
            "first_200",
            "reset to first 200, microvm",
            "instructions",
            1e6,
        ),
        all,
    );
    report.add(
        timed(
            "first_200_norep",
            "the same, a rep counted as one",
            "instructions",
            Target::None,
        ),
        without_rep,
    );
    for (machine, key, what) in [
        (
            Machine::Microvm,
            "main_microvm",
            "entry to main, hello, microvm",
        ),
        (Machine::Q35, "main_q35", "entry to main, hello, q35"),
        (Machine::Pc, "main_pc", "entry to main, hello, pc"),
    ] {
        let value = subjects.hello.entry_and_main().and_then(|watches| {
            measure::entry_to_main(&hello(&subjects.hello), machine, plugin, watches)
        });
        report.add(
            steady(key, what, "instructions", 150e3),
            value.map(|count| count as f64),
        );
    }
    let idle = measure::idle(server, Machine::Microvm, plugin, Duration::from_secs(5));
    report.add(
        steady("idle_wakeups", "wake-ups when idle", "a second", 0.0),
        idle.map(|idle| idle.wakeups_per_s),
    );
    for (style, key, what, target) in [
        (
            Style::KeepAlive,
            "keepalive",
            "a keep-alive request, microvm",
            4e3,
        ),
        (
            Style::Close,
            "connection",
            "a connection and request, microvm",
            15e3,
        ),
    ] {
        let cost = measure::request_cost(server, Machine::Microvm, plugin, false, style, REQUESTS);
        report.add(
            steady(key, what, "instructions", target),
            cost.map(|cost| cost.instructions),
        );
    }
    let cost = measure::request_cost(
        server,
        Machine::Q35,
        plugin,
        true,
        Style::KeepAlive,
        REQUESTS,
    );
    report.add(
        steady(
            "keepalive_exits",
            "device exits a keep-alive request, q35",
            "exits",
            1.0,
        ),
        cost.map(|cost| cost.vmm_exits),
    );
    let bytes = subjects.server.stripped_bytes().map(|bytes| bytes as f64);
    report.add(
        steady("image_bytes", "image with TCP, stripped", "bytes", 300e3),
        bytes,
    );
}

fn times(report: &mut Report, server: &Guest, empty: &Guest) {
    let smallest =
        measure::smallest_memory(server, Machine::Microvm, 64).context("none up to 64 MiB serves");
    let row = timed(
        "memory",
        "smallest -m that serves, microvm",
        "MiB",
        Target::AtMost(2.0),
    );
    report.add(row, smallest.map(f64::from));
    let row = timed(
        "cpu_first_200",
        "CPU to first 200 above an empty guest",
        "s",
        Target::AtMost(0.03),
    );
    report.add(row, cpu_above_empty(server, empty));
    let length = Duration::from_secs(10);
    let idle_empty = measure::idle_cpu_percent(empty, Machine::Microvm, length);
    let idle = measure::idle_cpu_percent(server, Machine::Microvm, length);
    let above = idle.and_then(|idle| Ok(idle - idle_empty?));
    let row = timed(
        "idle_cpu",
        "CPU of QEMU when idle, above an empty guest",
        "%",
        Target::AtMost(0.02),
    );
    report.add(row, above);
    match measure::load(
        server,
        Machine::Microvm,
        CONNECTIONS,
        Duration::from_secs(6),
    ) {
        Err(error) => {
            report.add(
                timed("load", "keep-alive load", "requests/CPU s", Target::None),
                Err(error),
            );
        }
        Ok(cost) => {
            let per_cpu = timed(
                "requests_per_cpu_s",
                "requests per CPU second of QEMU",
                "requests",
                Target::None,
            );
            report.add(per_cpu, Ok(cost.requests_per_cpu_second()));
            let vcpu = timed(
                "vcpu_us",
                "virtual processor a loaded request",
                "us",
                Target::AtMost(15.0),
            );
            report.add(vcpu, Ok(cost.vcpu_us_per_request()));
            let lost = timed(
                "load_lost",
                "errors and stalls under load",
                "requests",
                Target::AtMost(0.0),
            );
            report.add(lost, Ok((cost.load.errors + cost.load.stalls) as f64));
        }
    }
}

/// Median over paired runs of (guest - empty guest).
fn cpu_above_empty(server: &Guest, empty: &Guest) -> Result<f64> {
    let mut differences = Vec::new();
    for _ in 0..7 {
        let floor = measure::cpu_to_first_200(empty, Machine::Microvm)?;
        differences.push(measure::cpu_to_first_200(server, Machine::Microvm)? - floor);
    }
    differences.sort_by(f64::total_cmp);
    Ok(differences[differences.len() / 2])
}
