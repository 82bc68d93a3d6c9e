//! How many guests that do nothing fit into half of this machine's memory, what they use together, and how long the hundredth
//! takes to come up beside the others.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use toro_vmm::usage::Usage;

use crate::http::{self, Style};
use crate::study::{Options, Progress, Series, Spread, Study, Subject, Table, Who, plot};
use crate::vm::Vm;

const WHO: [Who; 4] = [Who::Toro, Who::ToroLinux, Who::LinuxTrimmed, Who::LinuxCloud];
/// What each guest is told to have. It touches less.
const MEMORY_MIB: u64 = 128;
/// More than anybody needs to see.
const GUESTS_MAX: usize = 400;
/// How long they do nothing, after as long a rest.
const LENGTH: Duration = Duration::from_secs(30);

/// Runs it.
pub fn run(options: &Options) -> Result<Study> {
    let (most, length) = if options.smoke { (4, Duration::from_secs(2)) } else { (GUESTS_MAX, LENGTH) };
    let load = format!(
        "guests with one processor and {MEMORY_MIB} MB are started one after the other, each when the one before has answered a \
         request, until half of the host's memory is used or there are {most}; then nothing for {length:?}"
    );
    let mut study = Study::new("density", load, options)?;
    let columns = [
        ("guests", "of them"),
        ("memory each", "MiB"),
        ("CPU of all together, idle", "%"),
        ("CPU each", "%"),
        ("until the first answers", "ms"),
        ("until the hundredth answers", "ms"),
        ("from the first start to the hundredth's answer", "s"),
    ];
    let mut table = Table::new("idle guests", &columns);
    let subjects = Subject::build(&WHO, options, options.machine, 1, MEMORY_MIB)?;
    let mut progress = Progress::new(subjects.len(), Duration::from_secs(180));
    for subject in &subjects {
        study.note_command(subject, options);
        progress.step(subject.name());
        let filled = fill(subject, options, most, length);
        if let Some(crowd) = study.keep(subject.name(), "filling the memory", filled) {
            table.row(subject.name(), crowd.figures());
            study.series.push(crowd.series(subject.name()));
        }
    }
    study.tables.push(table);
    Ok(study)
}

/// Guests that are up.
struct Crowd {
    /// Seconds since the first start at which each had answered, and what it took by itself.
    answers: Vec<(f64, f64)>,
    memory_mib: f64,
    cpu_percent: f64,
}

fn fill(subject: &Subject, options: &Options, most: usize, length: Duration) -> Result<Crowd> {
    let before = available_mib()?;
    let half = before - total_mib()? / 2.0;
    if half < 1024.0 {
        bail!("less than half of this host's memory is free");
    }
    let (start, mut vms, mut answers) = (Instant::now(), Vec::new(), Vec::new());
    while vms.len() < most && available_mib()? > before - half {
        let started = Instant::now();
        let vm = Vm::start_as(&subject.guest, options.machine, None, Subject::change(options))
            .and_then(|vm| vm.ready().map(|()| vm))
            .with_context(|| format!("guest {}", vms.len() + 1))?;
        http::requests(vm.port, Style::Close, 1).with_context(|| format!("guest {}", vms.len() + 1))?;
        answers.push((start.elapsed().as_secs_f64(), started.elapsed().as_secs_f64()));
        vms.push(vm);
    }
    std::thread::sleep(length);
    let cpu = |vms: &[Vm]| vms.iter().map(|vm| Usage::of(vm.pid()).cpu).sum::<Duration>();
    // Shared pages, those of QEMU's program above all, in equal parts.
    let pss = vms.iter().map(|vm| pss_mib(vm.pid())).sum::<Result<f64>>()?;
    let memory_mib = pss / vms.len() as f64;
    let (first, since) = (cpu(&vms), Instant::now());
    std::thread::sleep(length);
    let cpu_percent = (cpu(&vms) - first).as_secs_f64() / since.elapsed().as_secs_f64() * 100.0;
    Ok(Crowd { answers, memory_mib, cpu_percent })
}

impl Crowd {
    fn figures(&self) -> Vec<Option<Spread>> {
        let count = self.answers.len() as f64;
        let own = |number: usize| self.answers.get(number).and_then(|(_, own)| Spread::one(own * 1e3));
        vec![
            Spread::one(count),
            Spread::one(self.memory_mib),
            Spread::one(self.cpu_percent),
            Spread::one(self.cpu_percent / count),
            own(0),
            own(99),
            self.answers.get(99).and_then(|(at, _)| Spread::one(*at)),
        ]
    }

    fn series(&self, name: &str) -> Series {
        let points = self.answers.iter().enumerate().map(|(number, (at, _))| (number as f64 + 1.0, *at)).collect();
        let axes = ("guests".to_owned(), "time since the first start, s".to_owned());
        Series { panel: "Guests that have answered".to_owned(), name: name.to_owned(), axes, points }
    }
}

/// A line of one of the files in `/proc` that have kB.
fn mib(file: &str, field: &str) -> Result<f64> {
    let text = fs::read_to_string(file).with_context(|| file.to_owned())?;
    let value = text.lines().find_map(|line| line.strip_prefix(field)?.split_whitespace().next());
    let kib = value.and_then(|kib| kib.parse::<f64>().ok()).with_context(|| format!("no {field} in {file}"))?;
    Ok(kib / 1024.0)
}

fn available_mib() -> Result<f64> {
    mib("/proc/meminfo", "MemAvailable:")
}

fn total_mib() -> Result<f64> {
    mib("/proc/meminfo", "MemTotal:")
}

fn pss_mib(pid: u32) -> Result<f64> {
    mib(&format!("/proc/{pid}/smaps_rollup"), "Pss:")
}

/// How the crowd grew, and how large each is.
pub fn draw(study: &Study, folder: &Path) -> Result<()> {
    let foot = study.host.line();
    let panels = plot::panels(&study.series, &|_| true);
    plot::curves(&folder.join("density.svg"), &panels, &foot)?;
    let Some(table) = study.tables.first() else { return Ok(()) };
    let rows = table.rows.iter().filter_map(|(name, figures)| Some((name, figures.get(1)?.as_ref()?.median)));
    let bars: Vec<plot::Bar> = rows.map(|(name, value)| plot::Bar { name: name.clone(), parts: vec![value] }).collect();
    plot::bars(&folder.join("density-memory.svg"), "Memory of an idle guest and its VMM", "MiB", &["MiB"], &bars, &foot)
}
