//! `cargo xtask bench ...` ends here: reads what was typed, measures, prints.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use toro_benches::baseline::Baseline;
use toro_benches::http::Style;
use toro_benches::linux::{self, Source};
use toro_benches::quick::{self, Extent, Subjects};
use toro_benches::{artifact, compare, cores};
use toro_vmm::MachineType;

const USAGE: &str = "\
usage: cargo xtask bench quick [--counts] [--record] [--check]
       cargo xtask bench profile [--close]
       cargo xtask bench linux [--only] [--machine microvm|q35|pc] [--kernel FILE --initrd FILE]

quick   the figures of a native application on one core and on several, beside their targets; JSON in target/bench/
  --counts   only what does not depend on how busy the host is
  --record   write the counts to benches/baseline.json
  --check    fail when a count has grown by more than 5 %
profile which functions a keep-alive request spends its instructions in
  --close    a connection and request instead
linux   the same rows for Toro and for a Linux guest, in one run
  --only     the Linux guest alone
  --kernel, --initrd   your own Linux instead of Debian's cloud kernel; its server listens on port 80 and
             prints LINUX-READY on the serial console";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let result = match arguments.as_slice() {
        ["quick", options @ ..] => quick(options),
        ["profile"] => profile(Style::KeepAlive),
        ["profile", "--close"] => profile(Style::Close),
        ["linux", options @ ..] => linux(options),
        // What `quick` starts in a network of its own.
        ["two-cores", plugin, server] => {
            cores::measure_in_private_network(Path::new(plugin), Path::new(server)).map(|worth| {
                println!("worth {worth}");
                true
            })
        }
        _ => {
            eprintln!("{USAGE}");
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
        let complaints = Baseline::load()?.compare(&now);
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

fn profile(style: Style) -> Result<bool> {
    let subjects = Subjects::build()?;
    println!("{}", toro_benches::profile::requests(&quick::server(&subjects), &subjects.plugin, style)?);
    Ok(true)
}

fn linux(options: &[&str]) -> Result<bool> {
    let (mut source, mut machine, mut only) = (Source::default(), MachineType::Microvm, false);
    let mut rest = options.iter();
    while let Some(option) = rest.next() {
        let mut value = || rest.next().copied().with_context(|| format!("{option} needs a value"));
        match *option {
            "--only" => only = true,
            "--kernel" => source.kernel = Some(PathBuf::from(value()?)),
            "--initrd" => source.initrd = Some(PathBuf::from(value()?)),
            "--machine" => {
                let name = value()?;
                machine = MachineType::parse(name).context("no such machine")?;
            }
            other => bail!("unknown option {other}\n{USAGE}"),
        }
    }
    let mut guests = Vec::new();
    let plugin = if only {
        artifact::plugin()?
    } else {
        let subjects = Subjects::build()?;
        guests.push(quick::server(&subjects));
        subjects.plugin
    };
    guests.push(linux::guest(&source, machine, 256)?);
    let lines = compare::run(&guests, machine, &plugin);
    println!("\n{}", compare::table(&guests, &lines));
    Ok(true)
}
