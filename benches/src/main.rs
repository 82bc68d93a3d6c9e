//! `cargo xtask bench ...` ends here: reads what was typed, measures, prints.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use rustix::process::{Resource, Rlimit};
use toro_benches::baseline::Baseline;
use toro_benches::http::Style;
use toro_benches::linux::{self, Kernel};
use toro_benches::quick::{self, Extent, Subjects};
use toro_benches::study::Options;
use toro_benches::{artifact, compare, cores, hold, studies};
use toro_vmm::MachineType;

const USAGE: &str = "\
usage: cargo xtask bench NAME [OPTIONS]
       cargo xtask bench quick [--counts] [--record] [--check]
       cargo xtask bench profile [--close] [--linux [FILE]]
       cargo xtask bench linux [--only] [--trimmed] [--machine microvm|q35|pc] [--kernel FILE --initrd FILE]

NAME is a study: several guests side by side, with tables, JSON, CSV and pictures in docs/benchmarks
cpu-usage  bursts of requests with pauses: processor time of the VMM over time, latency, time a request
idle       a guest with nothing to do, and with a thousand connections on which nothing comes
boot       a start, step by step, on each machine
request    counted instructions and exits of one request
throughput as many requests as there can be, over one to ten thousand connections
bulk       what a MiB costs that is sent, and one that is received
connections what a request costs beside ten thousand open connections; fifty thousand on which nothing comes; exits under load
churn      a million connections one after another, and ten million requests: rate and memory over time
flood      requests and new connections under a flood of first segments, 100,000 a second
loss       what goes through a wire that loses 1 % and takes 50 ms, there and back
wake       the answer to a request after a silence
redis      requests of redis-benchmark, one after the other and sixteen at a time
footprint  bytes, smallest memory, and the VMM's memory
density    idle guests in half of this machine's memory
all        all of these; with --report, one file of them to send in

quick   the figures of a native application on one core and on several, beside their targets; JSON in target/bench/
  --counts   only what does not depend on how busy the host is
  --record   write the counts to benches/baseline.json
  --check    fail when a count has grown by more than 5 % (a few: 15 %)
profile which functions a keep-alive request spends its instructions in
  --close    a connection and request instead
  --linux    on Toro, but of a Linux program: the server of the Linux guests, or a static executable that listens on port 80
linux   the same rows for Toro and for a Linux guest, in one run
  --only     the Linux guest alone
  --trimmed  with a kernel that has only what the server needs, instead of Debian's cloud kernel
  --kernel, --initrd   your own Linux; its server listens on port 80 and prints `listening on port 80` on the serial console";

fn main() -> ExitCode {
    // A thousand connections are as many files, here and in QEMU.
    let limits = rustix::process::getrlimit(Resource::Nofile);
    let raised = Rlimit { current: limits.maximum, ..limits };
    if let Err(error) = rustix::process::setrlimit(Resource::Nofile, raised) {
        eprintln!("note: no more than {:?} open files: {error}", limits.current);
    }
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let result = match arguments.as_slice() {
        ["quick", options @ ..] => quick(options),
        ["profile", options @ ..] => profile(options),
        ["linux", options @ ..] => linux(options),
        [name, options @ ..] if studies::NAMES.contains(name) => {
            Options::parse(options).and_then(|options| studies::run(name, &options))
        }
        ["all", words @ ..] => Options::parse(words).and_then(|options| studies::all::run(&options, words)),
        // What `connections` starts several times: no process may open as many files.
        ["hold", server, count] => hold::hold(server, count).map(|()| true),
        // What `quick` starts in a network of its own.
        ["two-cores", plugin, server] => {
            cores::measure_in_private_network(Path::new(plugin), Path::new(server)).map(|worth| {
                println!("worth {worth}");
                true
            })
        }
        _ => {
            eprintln!("{USAGE}\n\nof studies:\n{}", Options::USAGE);
            return ExitCode::from(2);
        }
    };
    match result {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::from(2)
        }
    }
}

fn quick(options: &[&str]) -> Result<bool> {
    let (mut extent, mut record, mut check) = (Extent::All, false, false);
    for option in options {
        match *option {
            "--counts" => extent = Extent::Counts,
            "--record" => record = true,
            "--check" => check = true,
            other => bail!("unknown option {other}\n{USAGE}"),
        }
    }
    let subjects = Subjects::build()?;
    let report = quick::run(&subjects, extent)?;
    println!("\n{}", report.table());
    let folder = artifact::root().join("target/bench");
    std::fs::create_dir_all(&folder)?;
    std::fs::write(folder.join("quick.json"), serde_json::to_string_pretty(&report)?)
        .context("cannot write target/bench/quick.json")?;
    let now = Baseline::of(&report);
    if record {
        now.record()?;
        println!("recorded in benches/baseline.json");
    }
    if check {
        let recorded = Baseline::load()?;
        let mut complaints = recorded.compare(&now);
        if !complaints.is_empty() {
            println!("grown, so once more: a busy host can only add");
            let lower = now.lower_of(&Baseline::of(&quick::run(&subjects, extent)?));
            complaints = recorded.compare(&lower);
        }
        for complaint in &complaints {
            println!("grown: {complaint}");
        }
        if !complaints.is_empty() {
            println!("`cargo xtask bench quick --record` records new figures; say why in the commit");
        }
        return Ok(complaints.is_empty() && report.failures.is_empty());
    }
    Ok(report.failures.is_empty())
}

fn profile(options: &[&str]) -> Result<bool> {
    let (style, options) = match options {
        ["--close", options @ ..] => (Style::Close, options),
        options => (Style::KeepAlive, options),
    };
    let subjects = Subjects::build()?;
    let server = match options {
        [] => quick::server(&subjects),
        ["--linux"] => toro_benches::vm::Guest::linux_program(toro_benches::linux::server()?, &[])?,
        ["--linux", program] => toro_benches::vm::Guest::linux_program(program.into(), &[])?,
        _ => bail!("what profile takes: [--close] [--linux [FILE]]"),
    };
    println!("{}", toro_benches::profile::requests(&server, &subjects.plugin, style)?);
    Ok(true)
}

fn linux(options: &[&str]) -> Result<bool> {
    let (mut machine, mut only, mut trimmed) = (MachineType::Microvm, false, false);
    let (mut own_kernel, mut own_initrd) = (None, None);
    let mut rest = options.iter();
    while let Some(option) = rest.next() {
        let mut value = || rest.next().copied().with_context(|| format!("{option} needs a value"));
        match *option {
            "--only" => only = true,
            "--trimmed" => trimmed = true,
            "--kernel" => own_kernel = Some(PathBuf::from(value()?)),
            "--initrd" => own_initrd = Some(PathBuf::from(value()?)),
            "--machine" => {
                let name = value()?;
                machine = MachineType::parse(name).context("no such machine")?;
            }
            other => bail!("unknown option {other}\n{USAGE}"),
        }
    }
    let kernel = match (own_kernel, own_initrd) {
        (None, None) if trimmed => Kernel::Trimmed,
        (None, None) => Kernel::Cloud,
        (Some(kernel), Some(initrd)) => Kernel::Own { kernel, initrd },
        _ => bail!("give both --kernel and --initrd, or neither"),
    };
    let mut guests = Vec::new();
    let plugin = if only {
        artifact::plugin()?
    } else {
        let subjects = Subjects::build()?;
        guests.push(quick::server(&subjects));
        subjects.plugin
    };
    guests.push(linux::guest(&kernel, machine)?);
    let lines = compare::run(&guests, machine, &plugin);
    println!("\n{}", compare::table(&guests, &lines));
    Ok(true)
}
