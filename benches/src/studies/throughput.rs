//! As many requests as there can be, over one to ten thousand connections that stay, and what each costs the VMM.
//!
//! Root has a TAP interface in a network of its own, which ends with the study; everybody else QEMU's own network, whose
//! relaying is then most of what is measured, and which does not carry ten thousand connections.

use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result};
use toro_vmm::usage::Usage;

use crate::load;
use crate::private;
use crate::study::subject::order;
use crate::study::{Options, Progress, Series, Spread, Study, Subject, Table, Who, plot};
use crate::vm::Vm;

const WHO: [Who; 4] = [Who::Toro, Who::ToroLinux, Who::LinuxTrimmed, Who::LinuxCloud];
const CONNECTIONS: [usize; 5] = [1, 16, 128, 1024, 10_000];
/// What QEMU's own network carries.
const CONNECTIONS_USER_MAX: usize = 1024;
const MEMORY_MIB: u64 = 1024;
const ROUNDS: usize = 3;
const LENGTH: Duration = Duration::from_secs(5);
const FIGURES: [(&str, &str); 6] = [
    ("requests", "a second"),
    ("requests a CPU second of the VMM", "requests"),
    ("p50", "ms"),
    ("p99", "ms"),
    ("p99.9", "ms"),
    ("errors", "requests"),
];

/// Runs it, in a private network where that can be.
pub fn run(options: &Options) -> Result<Study> {
    let is_private = private::is_inside();
    let length = if options.smoke { Duration::from_secs(1) } else { LENGTH };
    let rounds = options.runs(ROUNDS);
    let network = if is_private { "a TAP interface" } else { "QEMU's own network" };
    let load = format!(
        "each connection asks again as soon as it is answered, for {length:?} after a warm-up of a quarter of that, {rounds} \
         times, over {network}; one processor and {MEMORY_MIB} MB; a page of 665 bytes; the client is on the same host"
    );
    let mut study = Study::new("throughput", load, options)?;
    let subjects = Subject::build(&WHO, options, options.machine, 1, MEMORY_MIB)?;
    let most = if is_private { usize::MAX } else { CONNECTIONS_USER_MAX };
    let ladder: Vec<usize> = CONNECTIONS.into_iter().filter(|count| *count <= most).collect();
    let ladder = if options.smoke { &ladder[..2] } else { &ladder[..] };
    subjects.iter().for_each(|subject| study.note_command(subject, options));
    // By subject, connections and figure.
    let mut seen = vec![vec![vec![Vec::new(); FIGURES.len()]; ladder.len()]; subjects.len()];
    let mut progress = Progress::new(rounds * subjects.len() * ladder.len(), length * 2);
    for round in 0..rounds {
        for place in order(subjects.len(), round) {
            let subject = &subjects[place];
            let started = private::start(subject, options, private::answers);
            let Some((vm, address)) = study.keep(subject.name(), "starting", started) else { continue };
            for (step, &count) in ladder.iter().enumerate() {
                progress.step(&format!("{}, {count} connections", subject.name()));
                let figures = one(&vm, address, count, length);
                let Some(figures) = study.keep(subject.name(), &format!("{count} connections"), figures) else { break };
                seen[place][step].iter_mut().zip(figures).for_each(|(all, figure)| all.push(figure));
            }
        }
    }
    drop(progress);
    for (step, count) in ladder.iter().enumerate() {
        let mut table = Table::new(format!("{count} connections"), &FIGURES);
        for (subject, seen) in subjects.iter().zip(&seen) {
            table.row(subject.name(), seen[step].iter().map(|all| Spread::of(all.iter().copied())).collect());
        }
        study.tables.push(table);
    }
    for (figure, title) in [(1, "Requests a CPU second of the VMM"), (0, "Requests a second"), (3, "p99, ms")] {
        for (subject, seen) in subjects.iter().zip(&seen) {
            let medians = ladder
                .iter()
                .zip(seen)
                .filter_map(|(count, seen)| Some((*count as f64, Spread::of(seen[figure].iter().copied())?.median)));
            let axes = ("connections".to_owned(), title.to_owned());
            let (panel, name) = (title.to_owned(), subject.name().to_owned());
            study.series.push(Series { panel, name, axes, points: medians.collect() });
        }
    }
    Ok(study)
}

fn one(vm: &Vm, address: SocketAddr, connections: usize, length: Duration) -> Result<[f64; 6]> {
    let mut clients = load::Clients::open(address, connections).context("opening connections")?;
    clients.run(length / 4)?;
    let before = Usage::of(vm.pid()).cpu;
    let load = clients.run(length)?;
    let cpu = Usage::of(vm.pid()).cpu - before;
    let answered = load.answered as f64;
    let [p50, p99, p999] = [0.5, 0.99, 0.999].map(|share| load.latency_ms(share));
    Ok([answered / load.seconds, answered / cpu.as_secs_f64(), p50, p99, p999, load.errors as f64])
}

/// Figures over connections.
pub fn draw(study: &Study, folder: &Path) -> Result<()> {
    let mut panels = plot::panels(&study.series, &|_| true);
    panels.iter_mut().for_each(|panel| panel.logarithmic = true);
    plot::curves(&folder.join("throughput.svg"), &panels, &study.host.line())
}
