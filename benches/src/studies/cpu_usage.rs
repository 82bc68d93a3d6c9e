//! The experiment of 2018 with everything said: bursts of requests with pauses between, and the processor time that the VMM
//! uses, four times a second.
//!
//! Then the graphs showed a Toro that was at 100 % always, its improvement at 100 % while there was traffic, and a Linux
//! below both; how many requests, how often and how large was not said.

use std::time::Duration;

use anyhow::Result;

use crate::burst::{self, CONNECTIONS, Outcome, Window};
use crate::studies::energy::Energy;
use crate::study::spread::ratios;
use crate::study::subject::order;
use crate::study::{Options, Progress, Series, Spread, Study, Subject, Table, Who, plot};
use crate::vm::Vm;

/// As then: two processors, and 256 MB for each.
const CPUS: u32 = 2;
const MEMORY_MIB: u64 = 512;
const WHO: [Who; 5] = [Who::Toro, Who::ToroLinux, Who::ToroSpin, Who::LinuxTrimmed, Who::LinuxCloud];
/// Windows of each guest and rate, by default.
const ROUNDS: usize = 7;

fn windows(smoke: bool) -> [Window; 2] {
    let (burst, pause) = if smoke { (1.0, 1.0) } else { (3.0, 4.0) };
    [100.0, 400.0].map(|rate: f64| Window {
        rate,
        requests: (rate * burst) as u64,
        length: Duration::from_secs_f64(burst + pause),
    })
}

/// What was seen of one guest at one rate.
#[derive(Default)]
struct Seen {
    windows: Vec<Outcome>,
    joules: Vec<f64>,
}

/// Runs it.
pub fn run(options: &Options) -> Result<Study> {
    let windows = windows(options.smoke);
    let rounds = options.runs(ROUNDS);
    let subjects = Subject::build(&WHO, options, options.machine, CPUS, MEMORY_MIB)?;
    let load = format!(
        "{} requests at 100 a second and {} at 400, each a burst of {:?} every {:?}, over {CONNECTIONS} keep-alive \
         connections from the same host, {rounds} times; {CPUS} processors and {MEMORY_MIB} MB for each guest, a page of \
         665 bytes; CPU is that of the VMM's process, by schedstat, 100 % is one processor",
        windows[0].requests,
        windows[1].requests,
        windows[0].burst(),
        windows[0].length,
    );
    let mut study = Study::new("cpu-usage", load, options)?;
    let mut running = Vec::new();
    for subject in &subjects {
        study.note_command(subject, options);
        let started = start(subject, options);
        if let Some(vm) = study.keep(subject.name(), "starting", started) {
            running.push((subject, vm, [Seen::default(), Seen::default()]));
        }
    }
    let each = windows[0].length + Duration::from_secs(1);
    let mut progress = Progress::new(rounds * windows.len() * running.len(), each);
    let energy = Energy::find();
    for round in 0..rounds {
        for (number, window) in windows.iter().enumerate() {
            for place in order(running.len(), round) {
                let (subject, vm, seen) = &mut running[place];
                progress.step(&format!("{} at {} a second", subject.name(), window.rate));
                let before = energy.as_ref().and_then(Energy::joules);
                // One that never sleeps would take a processor from all others: it runs in its own windows only.
                let outcome = vm.run(subject.who == Who::ToroSpin, || burst::run(vm.port, vm.pid(), window));
                let after = energy.as_ref().and_then(Energy::joules);
                if let Some(outcome) = study.keep(subject.name(), "a burst", outcome) {
                    seen[number].windows.push(outcome);
                    seen[number].joules.extend(before.zip(after).map(|(before, after)| after - before));
                }
            }
        }
    }
    drop(progress);
    for (number, window) in windows.iter().enumerate() {
        let all: Vec<(Who, &Seen)> = running.iter().map(|(subject, _, seen)| (subject.who, &seen[number])).collect();
        study.tables.push(table(window, &all));
        study.tables.push(against_linux(window, &all));
        study.series.extend(all.iter().map(|(who, seen)| series(*who, window, seen)));
    }
    if energy.is_none() {
        println!("joules: not readable on this host (/sys/class/powercap)");
    }
    Ok(study)
}

fn start(subject: &Subject, options: &Options) -> Result<Vm> {
    let vm = Vm::start_as(&subject.guest, options.machine, None, Subject::change(options))?;
    vm.ready()?;
    if subject.who == Who::ToroSpin {
        vm.pause()?;
    }
    Ok(vm)
}

/// CPU of each window's burst, and of its pause: the median of its samples.
fn shares(window: &Window, seen: &Seen) -> (Vec<f64>, Vec<f64>) {
    let median = |samples: Vec<f64>| Spread::of(samples).map_or(f64::NAN, |spread| spread.median);
    let halves = seen.windows.iter().map(|outcome| outcome.halves(window));
    halves.map(|(burst, pause)| (median(burst), median(pause))).unzip()
}

fn per_request(window: &Window, seen: &Seen) -> Vec<f64> {
    seen.windows.iter().map(|outcome| outcome.burst_cpu.as_secs_f64() * 1e3 / window.requests as f64).collect()
}

fn table(window: &Window, all: &[(Who, &Seen)]) -> Table {
    let columns = [
        ("CPU in a burst", "%"),
        ("CPU in a pause", "%"),
        ("CPU a request", "ms"),
        ("p50", "ms"),
        ("p99", "ms"),
        ("answered", "requests"),
        ("errors", "requests"),
        ("energy a window", "J"),
    ];
    let mut table = Table::new(format!("{} requests a second", window.rate), &columns);
    for (who, seen) in all {
        let (burst, pause) = shares(window, seen);
        let latency = |share| {
            let each = seen.windows.iter().filter_map(|outcome| Spread::of(outcome.latencies_ms.iter().copied()));
            Spread::of(each.map(|latencies| latencies.quantile(share)))
        };
        let sum = |count: &dyn Fn(&Outcome) -> u64| Spread::one(seen.windows.iter().map(count).sum::<u64>() as f64);
        table.row(
            who.name(),
            vec![
                Spread::of(burst),
                Spread::of(pause),
                Spread::of(per_request(window, seen)),
                latency(0.5),
                latency(0.99),
                sum(&|outcome| outcome.latencies_ms.len() as u64),
                sum(&|outcome| outcome.errors),
                Spread::of(seen.joules.iter().copied()),
            ],
        );
    }
    table
}

/// Toro's windows beside each Linux's, pair by pair.
fn against_linux(window: &Window, all: &[(Who, &Seen)]) -> Table {
    let columns = [("CPU in a burst, median", "times"), ("CPU in a burst, p90", "times"), ("CPU a request", "times")];
    let mut table =
        Table::new(format!("Toro to Linux in pairs of windows, {} requests a second", window.rate), &columns);
    for (ours, toro) in all.iter().filter(|(who, _)| matches!(who, Who::Toro | Who::ToroLinux)) {
        for (theirs, linux) in all.iter().filter(|(who, _)| who.is_linux()) {
            let burst = ratios(&shares(window, toro).0, &shares(window, linux).0);
            let p90 = burst.as_ref().and_then(|burst| Spread::one(burst.quantile(0.9)));
            let request = ratios(&per_request(window, toro), &per_request(window, linux));
            table.row(format!("{} / {}", ours.name(), theirs.name()), vec![burst, p90, request]);
        }
    }
    table
}

fn panel_name(window: &Window) -> String {
    format!("{} requests a second, {:?} of every {:?}", window.rate, window.burst(), window.length)
}

/// All windows of a guest, as if they had been without a break.
fn series(who: Who, window: &Window, seen: &Seen) -> Series {
    let length = window.length.as_secs_f64();
    let windows = seen.windows.iter().enumerate();
    let points = windows.flat_map(|(number, outcome)| {
        outcome.samples.iter().map(move |(at, percent)| (at + number as f64 * length, *percent))
    });
    let axes = ("time, s".to_owned(), "CPU of the VMM, %".to_owned());
    Series { panel: panel_name(window), name: who.name().to_owned(), axes, points: points.collect() }
}

/// All guests over time.
pub fn draw(study: &Study, folder: &std::path::Path) -> Result<()> {
    let all = |_: &Series| true;
    let panels = plot::panels(&study.series, &all);
    plot::curves(&folder.join("cpu-usage.svg"), &panels, &study.host.line())?;
    // The one that spins makes the others hard to tell apart.
    let but_spin = |series: &Series| series.name != Who::ToroSpin.name();
    let panels = plot::panels(&study.series, &but_spin);
    plot::curves(&folder.join("cpu-usage-without-spin.svg"), &panels, &study.host.line())
}
