//! A start, step by step: VMM, firmware and loading, kernel, application, the first answer; in time, in CPU, in instructions and
//! in exits; on each machine, and for Toro with more processors and more memory.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use toro_counter::Counter;
use toro_vmm::abi::control::Control;
use toro_vmm::{MachineType, Stat};

use crate::artifact;
use crate::http::{self, Style};
use crate::linux::INIT;
use crate::study::subject::order;
use crate::study::{Options, Progress, Spread, Study, Subject, Table, Who, plot};
use crate::vm::{Counting, Vm};

const WHO: [Who; 5] = [Who::Empty, Who::Toro, Who::ToroLinux, Who::LinuxTrimmed, Who::LinuxCloud];
const MEMORY_MIB: u64 = 256;
const RUNS: usize = 11;
const RUNS_MATRIX: usize = 5;
const ANSWER_LIMIT: Duration = Duration::from_secs(20);
/// Of a start.
const STEPS: [&str; 5] = ["VMM", "firmware, loading", "kernel", "application", "first answer"];
/// Linux is started on the two machines that differ most; each takes seconds.
const MACHINES_OF_LINUX: [MachineType; 2] = [MachineType::Microvm, MachineType::Q35];

/// One start, in ms, and the CPU time of the VMM until its end, s.
struct Start {
    steps: [f64; 5],
    cpu_s: f64,
}

/// Starts of one guest on one machine.
struct Case {
    subject: Subject,
    machine: MachineType,
    starts: Vec<Start>,
}

impl Case {
    fn name(&self) -> String {
        format!("{}, {}", self.subject.name(), self.machine.name())
    }
}

/// Runs it.
pub fn run(options: &Options) -> Result<Study> {
    let runs = options.runs(RUNS);
    let load = format!(
        "from the start of the VMM's process to the answer to one request, on one processor with {MEMORY_MIB} MB, {runs} times; \
         a Linux kernel's steps are those that its first program and its server say, and the firmware's time in it is the \
         empty guest's; instructions and exits are counted in runs of their own"
    );
    let mut study = Study::new("boot", load, options)?;
    let machines = if options.smoke { &MachineType::ALL[..1] } else { &MachineType::ALL[..] };
    let mut cases = Vec::new();
    for &machine in machines {
        let wanted = WHO.into_iter().filter(|who| !who.is_linux() || MACHINES_OF_LINUX.contains(&machine));
        for subject in Subject::build(&wanted.collect::<Vec<_>>(), options, machine, 1, MEMORY_MIB)? {
            let case = Case { subject, machine, starts: Vec::new() };
            study.commands.push((case.name(), case.subject.command(options, machine)));
            cases.push(case);
        }
    }
    let mut progress = Progress::new(cases.len() * runs, Duration::from_secs(1));
    for round in 0..runs {
        for place in order(cases.len(), round) {
            let case = &cases[place];
            progress.step(&case.name());
            let firmware_ms = firmware_ms(&cases, case.machine);
            let start = start(&case.subject, case.machine, options, firmware_ms);
            if let Some(start) = study.keep(&cases[place].name(), "a start", start) {
                cases[place].starts.push(start);
            }
        }
    }
    drop(progress);
    study.tables.push(times(&cases));
    counts(&mut study, &cases)?;
    matrix(&mut study, options, machines)?;
    Ok(study)
}

/// How long firmware takes on a machine, by the empty guest, as far as that has been seen.
fn firmware_ms(cases: &[Case], machine: MachineType) -> f64 {
    let empty = cases.iter().find(|case| case.machine == machine && case.subject.who == Who::Empty);
    let seen = empty.and_then(|case| Spread::of(case.starts.iter().map(|start| start.steps[1])));
    seen.map_or(0.0, |spread| spread.median)
}

fn start(subject: &Subject, machine: MachineType, options: &Options, firmware_ms: f64) -> Result<Start> {
    let vm = Vm::start_as(&subject.guest, machine, None, Subject::change(options))?;
    let ms = |moment: Instant| (moment - vm.started()).as_secs_f64() * 1e3;
    let made_ms = ms(Instant::now());
    let init_ms = if subject.who.is_linux() {
        vm.says(INIT)?;
        ms(Instant::now())
    } else {
        0.0
    };
    vm.ready()?;
    let ready_ms = ms(Instant::now());
    if !subject.guest.serves_http() {
        let steps = [made_ms, (ready_ms - made_ms).max(0.0), 0.0, 0.0, 0.0];
        return Ok(Start { steps, cpu_s: vm.cpu().all });
    }
    http::requests(vm.port, Style::Close, 1).context("the first request")?;
    let answered_ms = ms(Instant::now());
    let cpu_s = vm.cpu().all;
    let [entry_ms, main_ms, listening_ms] =
        if subject.who.is_linux() { [made_ms + firmware_ms, init_ms, ready_ms] } else { of_toro(&vm)? };
    let ends = [made_ms, entry_ms, main_ms, listening_ms, answered_ms];
    let mut before = 0.0;
    let steps = ends.map(|end| {
        let step = (end - before).max(0.0);
        before = before.max(end);
        step
    });
    Ok(Start { steps, cpu_s })
}

/// When the kernel was entered, `main` began and the program listened, ms. Where both clocks meet is what the guest said first.
fn of_toro(vm: &Vm) -> Result<[f64; 3]> {
    let stats = vm.statistics(ANSWER_LIMIT)?;
    let told = |name: &str| {
        let of_machine = |stat: &&Stat| stat.core.is_none() && stat.name == name;
        let value = stats.iter().find(of_machine).and_then(|stat| stat.value.parse::<f64>().ok());
        value.map(|ns| ns / 1e6).with_context(|| format!("the guest does not say {name}"))
    };
    let spoke = vm.control_after(|control| matches!(control, Control::Boot { .. }))?.as_secs_f64() * 1e3;
    let entry_ms = spoke - told("spoke_ns")?;
    let listening_ms = vm.listening_after()?.as_secs_f64() * 1e3;
    Ok([entry_ms, entry_ms + told("main_ns")?, listening_ms])
}

fn times(cases: &[Case]) -> Table {
    let columns: Vec<(&str, &str)> = STEPS
        .iter()
        .map(|step| (*step, "ms"))
        .chain([("all", "ms"), ("CPU", "s"), ("CPU above an empty guest", "s")])
        .collect();
    let mut table = Table::new("from the start of the VMM to the first answer", &columns);
    for case in cases {
        let cpu = |case: &Case| case.starts.iter().map(|start| start.cpu_s).collect::<Vec<f64>>();
        let empty = cases.iter().find(|other| other.machine == case.machine && other.subject.who == Who::Empty);
        let above = empty.and_then(|empty| crate::study::spread::differences(&cpu(case), &cpu(empty)));
        let mut figures: Vec<Option<Spread>> =
            (0..STEPS.len()).map(|step| Spread::of(case.starts.iter().map(|start| start.steps[step]))).collect();
        figures.push(Spread::of(case.starts.iter().map(|start| start.steps.iter().sum())));
        figures.push(Spread::of(cpu(case)));
        figures.push(above.filter(|_| case.subject.who != Who::Empty));
        table.row(case.name(), figures);
    }
    table
}

fn counts(study: &mut Study, cases: &[Case]) -> Result<()> {
    let columns = [
        ("when it listens", "instructions"),
        ("to the first answer", "instructions"),
        ("a rep counted as one", "instructions"),
        ("to the first answer", "exits"),
    ];
    let mut table = Table::new("counted, from reset", &columns);
    let plugin = artifact::plugin()?;
    let mut progress = Progress::new(cases.len(), Duration::from_secs(4));
    for case in cases {
        progress.step(&format!("counting, {}", case.name()));
        let count = |devices| {
            let counting = Counting { devices, ..Counting::default() };
            let vm = Vm::start(&case.subject.guest, case.machine, Some((&plugin, &counting)))?;
            vm.ready()?;
            let listening = vm.counters()?.snapshot();
            if case.subject.guest.serves_http() {
                http::requests(vm.port, Style::Close, 1)?;
            }
            Ok((listening, vm.counters()?.snapshot()))
        };
        let counted = study.keep(&case.name(), "counting", count(false));
        let exits = study.keep(&case.name(), "counting exits", count(true));
        let one = |value: u64| Spread::one(value as f64);
        let first = counted.as_ref();
        table.row(
            case.name(),
            vec![
                first.and_then(|(listening, _)| one(listening.get(Counter::Instructions))),
                first.and_then(|(_, answered)| one(answered.get(Counter::Instructions))),
                first.and_then(|(_, answered)| one(answered.instructions_without_rep())),
                exits.and_then(|(_, answered)| one(answered.vmm_exits())),
            ],
        );
    }
    study.tables.push(table);
    Ok(())
}

/// Toro on every machine, with processors and memory.
fn matrix(study: &mut Study, options: &Options, machines: &[MachineType]) -> Result<()> {
    let sizes: &[(u32, u64)] = if options.smoke { &[(2, 64)] } else { &[(1, 64), (1, 1024), (4, 64), (4, 1024)] };
    let name = |(cpus, mib): &(u32, u64)| format!("{cpus} processors, {mib} MB");
    let names: Vec<String> = sizes.iter().map(name).collect();
    let columns: Vec<(&str, &str)> = names.iter().map(|name| (name.as_str(), "ms")).collect();
    let mut table = Table::new("Toro, from the start of the VMM to the first answer", &columns);
    let runs = options.runs(RUNS_MATRIX);
    let mut progress = Progress::new(machines.len() * sizes.len() * runs, Duration::from_millis(300));
    for &machine in machines {
        let mut figures = Vec::new();
        for &(cpus, mib) in sizes {
            let mut all = Vec::new();
            for subject in Subject::build(&[Who::Toro], options, machine, cpus, mib)? {
                for _ in 0..runs {
                    progress.step(&format!("{}, {}", machine.name(), name(&(cpus, mib))));
                    let start = start(&subject, machine, options, 0.0);
                    let start = study.keep(machine.name(), &name(&(cpus, mib)), start);
                    all.extend(start.map(|start| start.steps.iter().sum::<f64>()));
                }
            }
            figures.push(Spread::of(all));
        }
        table.row(machine.name(), figures);
    }
    study.tables.push(table);
    Ok(())
}

/// Steps of each start, and instructions.
pub fn draw(study: &Study, folder: &Path) -> Result<()> {
    let foot = study.host.line();
    let [times, counted, ..] = study.tables.as_slice() else { return Ok(()) };
    let steps = times.rows.iter().map(|(name, figures)| {
        let parts = figures[..STEPS.len()].iter().map(|figure| figure.as_ref().map_or(0.0, |spread| spread.median));
        plot::Bar { name: name.clone(), parts: parts.collect() }
    });
    let title = "From the start of the VMM to the first answer (medians)";
    plot::bars(&folder.join("boot.svg"), title, "ms", &STEPS, &steps.collect::<Vec<_>>(), &foot)?;
    let rows = counted.rows.iter().filter_map(|(name, figures)| Some((name, figures.get(1)?.as_ref()?.median)));
    let bars: Vec<plot::Bar> = rows.map(|(name, value)| plot::Bar { name: name.clone(), parts: vec![value] }).collect();
    let title = "Guest instructions from reset to the first answer";
    plot::bars(&folder.join("boot-instructions.svg"), title, "instructions", &["instructions"], &bars, &foot)
}
