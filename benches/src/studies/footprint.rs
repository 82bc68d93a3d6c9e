//! How large a guest is: the bytes that are loaded, the smallest memory it serves with, and the memory of its VMM.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result};
use toro_vmm::usage::Usage;

use crate::http::{self, Style};
use crate::image;
use crate::measure;
use crate::study::{Options, Progress, Spread, Study, Subject, Table, Who, plot};
use crate::vm::{Guest, Kind, Vm};

const WHO: [Who; 5] = [Who::Empty, Who::Toro, Who::ToroLinux, Who::LinuxTrimmed, Who::LinuxCloud];
/// Memory with which the VMM's own is compared.
const MEMORY_MIB: u64 = 256;
/// Beyond this nobody is asked whether it serves.
const MEMORY_MIB_MAX: u64 = 256;
const MIB: f64 = (1 << 20) as f64;

/// Runs it.
pub fn run(options: &Options) -> Result<Study> {
    let runs = options.runs(5);
    let load = format!(
        "bytes are what the VMM puts into the guest: the segments of its kernel, and its RAM disk or files; the smallest memory is found by halves, a server must answer 40 \
         requests; the VMM's memory is the resident set of its process, its guest with {MEMORY_MIB} MB, when it listens and \
         after 500 connections, {runs} times"
    );
    let mut study = Study::new("footprint", load, options)?;
    let columns = [
        ("loaded", "bytes"),
        ("smallest memory", "MiB"),
        ("VMM when ready", "MiB"),
        ("VMM after 500 connections", "MiB"),
    ];
    let mut table = Table::new("size", &columns);
    let subjects = Subject::build(&WHO, options, options.machine, 1, MEMORY_MIB)?;
    let mut progress = Progress::new(subjects.len() * (runs + 1), Duration::from_secs(5));
    for subject in &subjects {
        study.note_command(subject, options);
        let mut resident = [Vec::new(), Vec::new()];
        for _ in 0..runs {
            progress.step(&format!("memory of the VMM, {}", subject.name()));
            let seen = resident_mib(subject, options, if options.smoke { 20 } else { 500 });
            if let Some((ready, after)) = study.keep(subject.name(), "memory", seen) {
                resident[0].push(ready);
                resident[1].extend(after);
            }
        }
        progress.step(&format!("smallest memory, {}", subject.name()));
        let smallest = if subject.guest.serves_http() && !options.smoke {
            let found =
                smallest_mib(&subject.guest, options).with_context(|| format!("none up to {MEMORY_MIB_MAX} MiB"));
            study.keep(subject.name(), "smallest memory", found).and_then(|mib| Spread::one(mib as f64))
        } else {
            None
        };
        let bytes = study.keep(subject.name(), "bytes", loaded_bytes(subject, options));
        let [ready, after] = resident.map(Spread::of);
        table.row(subject.name(), vec![bytes.and_then(|bytes| Spread::one(bytes as f64)), smallest, ready, after]);
    }
    study.tables.push(table);
    Ok(study)
}

/// Kernel and initial RAM disk, or image and boot module.
fn loaded_bytes(subject: &Subject, options: &Options) -> Result<u64> {
    let machine = subject.guest.machine(options.machine)?;
    let module = match (&subject.guest.kind, &machine.module) {
        (Kind::Foreign { initrd: Some(initrd), .. }, _) => {
            std::fs::metadata(initrd).with_context(|| initrd.display().to_string())?.len()
        }
        (_, Some(module)) => module.len_bytes(),
        _ => 0,
    };
    Ok(image::segments_bytes(&machine.image.boot)? + module)
}

/// MiB when the guest is ready, and, of one that serves, after so many connections.
fn resident_mib(subject: &Subject, options: &Options, connections: u64) -> Result<(f64, Option<f64>)> {
    let vm = Vm::start_as(&subject.guest, options.machine, None, Subject::change(options))?;
    vm.ready()?;
    let resident = || Usage::of(vm.pid()).resident_bytes as f64 / MIB;
    let ready = resident();
    if !subject.guest.serves_http() {
        return Ok((ready, None));
    }
    http::requests(vm.port, Style::Close, connections)?;
    Ok((ready, Some(resident())))
}

/// The smallest memory with which it serves, in MiB: by halves, since what serves with less serves with more.
fn smallest_mib(guest: &Guest, options: &Options) -> Option<u64> {
    let (mut low, mut high) = (1, MEMORY_MIB_MAX);
    let serves = |memory_mib| {
        let guest = Guest { memory_mib, ..guest.clone() };
        measure::serves(&guest, options.machine, Subject::change(options)).is_ok()
    };
    if !serves(high) {
        return None;
    }
    while high - low > 1 {
        let middle = (low + high) / 2;
        if serves(middle) { high = middle } else { low = middle }
    }
    Some(high)
}

/// Two pictures: bytes, and memory.
pub fn draw(study: &Study, folder: &Path) -> Result<()> {
    let Some(table) = study.tables.first() else { return Ok(()) };
    let bars = |column: usize| {
        let rows = table.rows.iter().filter_map(|(name, figures)| Some((name, figures.get(column)?.as_ref()?.median)));
        rows.map(|(name, value)| plot::Bar { name: name.clone(), parts: vec![value] }).collect::<Vec<_>>()
    };
    let foot = study.host.line();
    let file = folder.join("footprint-bytes.svg");
    plot::bars(&file, "What the VMM loads", "bytes", &["bytes"], &bars(0), &foot)?;
    let file = folder.join("footprint-smallest.svg");
    plot::bars(&file, "The smallest memory with which it serves", "MiB", &["MiB"], &bars(1), &foot)?;
    let file = folder.join("footprint-vmm.svg");
    plot::bars(&file, "Resident memory of the VMM, its guest ready", "MiB", &["MiB"], &bars(2), &foot)
}
