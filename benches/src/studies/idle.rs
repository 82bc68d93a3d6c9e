//! What a guest costs that has nothing to do: listening, and with a thousand connections on which nothing comes.
//!
//! All run at the same time, so that each second of the host is everybody's. Counting begins when no packet has come for a
//! quarter of a minute. Toro says itself what woke it; to ask is one wake-up, which is told apart.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use toro_vmm::Stat;
use toro_vmm::usage::Usage;

use crate::hold;
use crate::http::Client;
use crate::study::spread::differences;
use crate::study::{Options, Progress, Spread, Study, Subject, Table, Who, plot};
use crate::vm::Vm;

const CPUS: u32 = 1;
const MEMORY_MIB: u64 = 256;
/// Pairs, by default.
const ROUNDS: usize = 5;
/// Connections of those that have some.
const CONNECTIONS: usize = 1000;
/// Longest wait for a guest to say what it has counted.
const ANSWER_LIMIT: Duration = Duration::from_secs(20);

/// A guest, and how many connections it has.
struct Case {
    subject: Subject,
    connections: usize,
    name: String,
    seen: Vec<Seen>,
    woken_by: Vec<Vec<(String, u64)>>,
}

/// CPU of a VMM in percent of one processor.
struct Seen {
    all: f64,
    vcpu: f64,
}

/// Runs it.
pub fn run(options: &Options) -> Result<Study> {
    let (settle, length) = if options.smoke { (2, 3) } else { (15, 60) };
    let (settle, length) = (Duration::from_secs(settle), Duration::from_secs(length));
    let rounds = options.runs(ROUNDS);
    let connections = if options.smoke { 20 } else { CONNECTIONS };
    let load = format!(
        "nothing for {length:?}, counted from {settle:?} after the last packet, {rounds} times; all guests at once, each with \
         {CPUS} processor and {MEMORY_MIB} MB; CPU is that of the VMM's process, by schedstat, 100 % is one processor"
    );
    let mut study = Study::new("idle", load, options)?;
    let wanted = [Who::Empty, Who::Toro, Who::ToroLinux, Who::LinuxTrimmed, Who::LinuxCloud];
    let mut cases = Vec::new();
    for subject in Subject::build(&wanted, options, options.machine, CPUS, MEMORY_MIB)? {
        study.note_command(&subject, options);
        let with = |connections| match connections {
            0 => subject.name().to_owned(),
            _ => format!("{}, {connections} connections", subject.name()),
        };
        let counts = if subject.who == Who::Empty { &[0][..] } else { &[0, connections] };
        cases.extend(counts.iter().map(|&connections| Case {
            subject: subject.clone(),
            connections,
            name: with(connections),
            seen: Vec::new(),
            woken_by: Vec::new(),
        }));
    }
    let mut progress = Progress::new(rounds, settle + length + Duration::from_secs(15));
    for round in 0..rounds {
        progress.step(&format!("round {}", round + 1));
        one_round(&mut study, &mut cases, options, settle, length);
    }
    drop(progress);
    study.tables.push(cpu_table(&cases));
    study.tables.push(wake_table(&cases));
    Ok(study)
}

/// A guest that is up.
struct Up<'a> {
    case: &'a mut Case,
    vm: Vm,
    /// Held open.
    _clients: Vec<Client>,
}

fn one_round(study: &mut Study, cases: &mut [Case], options: &Options, settle: Duration, length: Duration) {
    let mut up = Vec::new();
    for case in cases {
        let started = start(case, options);
        let name = case.name.clone();
        if let Some((vm, clients)) = study.keep(&name, "starting", started) {
            up.push(Up { case, vm, _clients: clients });
        }
    }
    // A guest that has served and rests: whatever it had to do after the last packet is done.
    std::thread::sleep(settle);
    let mut before = Vec::new();
    for guest in &up {
        let stats = guest.case.subject.who.is_toro().then(|| guest.vm.statistics(ANSWER_LIMIT));
        before.push(stats.and_then(|stats| study.keep(&guest.case.name, "asking", stats)));
    }
    let start = Instant::now();
    let first: Vec<Usage> = up.iter().map(|guest| Usage::of(guest.vm.pid())).collect();
    std::thread::sleep(length);
    let last: Vec<Usage> = up.iter().map(|guest| Usage::of(guest.vm.pid())).collect();
    let seconds = start.elapsed().as_secs_f64();
    for (guest, (first, last)) in up.iter_mut().zip(first.iter().zip(&last)) {
        let share = |before: Duration, after: Duration| (after - before).as_secs_f64() / seconds * 100.0;
        guest.case.seen.push(Seen { all: share(first.cpu, last.cpu), vcpu: share(first.vcpu, last.vcpu) });
    }
    for (guest, before) in up.iter_mut().zip(before) {
        let Some(before) = before else { continue };
        let after = guest.vm.statistics(ANSWER_LIMIT);
        if let Some(after) = study.keep(&guest.case.name, "asking again", after) {
            guest.case.woken_by.push(since(&before, &after));
        }
    }
}

fn start(case: &Case, options: &Options) -> Result<(Vm, Vec<Client>)> {
    // A server that gives connections up has a timer of its own.
    let change = Subject::change(options);
    let change = |machine| change(machine).environment("IDLE_SECONDS", "0");
    let vm = if case.subject.who == Who::Toro {
        Vm::start_as(&case.subject.guest, options.machine, None, change)?
    } else {
        Vm::start_as(&case.subject.guest, options.machine, None, Subject::change(options))?
    };
    vm.ready()?;
    let clients = hold::connect(SocketAddr::from((Ipv4Addr::LOCALHOST, vm.port)), case.connections)?;
    if case.connections == 0 && case.subject.guest.serves_http() {
        Client::connect(vm.port)?.get_and_close().context("a request")?;
    }
    Ok((vm, clients))
}

/// What woke the guest between two answers: interrupts by device, and the timer by whose deadline it was.
fn since(before: &[Stat], after: &[Stat]) -> Vec<(String, u64)> {
    let number = |stat: &Stat| stat.value.parse::<u64>().unwrap_or(0);
    let causes = after.iter().filter(|stat| {
        stat.core == Some(0) && (stat.name.starts_with("interrupt.") || stat.name.starts_with("timer."))
    });
    let of_before = |name: &str| before.iter().find(|stat| stat.core == Some(0) && stat.name == name).map_or(0, number);
    causes.map(|stat| (stat.name.clone(), number(stat) - of_before(&stat.name))).collect()
}

fn cpu_table(cases: &[Case]) -> Table {
    let columns = [
        ("CPU of the VMM", "%"),
        ("above an empty guest", "% points"),
        ("of it the virtual processor", "%"),
        ("the VMM's main loop", "%"),
    ];
    let mut table = Table::new("doing nothing", &columns);
    let all = |case: &Case| case.seen.iter().map(|seen| seen.all).collect::<Vec<f64>>();
    let empty = cases.iter().find(|case| case.subject.who == Who::Empty).map(all);
    for case in cases {
        let above = empty.as_ref().and_then(|empty| differences(&all(case), empty));
        table.row(
            &case.name,
            vec![
                Spread::of(all(case)),
                above.filter(|_| case.subject.who != Who::Empty),
                Spread::of(case.seen.iter().map(|seen| seen.vcpu)),
                Spread::of(case.seen.iter().map(|seen| seen.all - seen.vcpu)),
            ],
        );
    }
    table
}

fn wake_table(cases: &[Case]) -> Table {
    let asked = cases.iter().filter(|case| !case.woken_by.is_empty());
    let names: Vec<&str> = asked
        .clone()
        .next()
        .and_then(|case| case.woken_by.first())
        .map(|causes| causes.iter().map(|(name, _)| name.as_str()).collect())
        .unwrap_or_default();
    let columns: Vec<(&str, &str)> = names.iter().map(|name| (*name, "times")).collect();
    let title = "what woke Toro, as it says itself; the UART's interrupts are the question";
    let mut table = Table::new(title, &columns);
    for case in asked {
        let figures = names.iter().map(|name| {
            let counts = case.woken_by.iter().flatten().filter(|(cause, _)| cause == name);
            Spread::of(counts.map(|(_, count)| *count as f64))
        });
        table.row(&case.name, figures.collect());
    }
    table
}

/// CPU of each.
pub fn draw(study: &Study, folder: &std::path::Path) -> Result<()> {
    let title = "CPU of the VMM while its guest has nothing to do";
    let bars: Vec<plot::Bar> = study
        .tables
        .first()
        .into_iter()
        .flat_map(|table| &table.rows)
        .filter_map(|(name, figures)| {
            let figure = |column: usize| figures.get(column).and_then(Option::as_ref).map(|spread| spread.median);
            Some(plot::Bar { name: name.clone(), parts: vec![figure(2)?, figure(3)?] })
        })
        .collect();
    let names = ["virtual processor", "main loop of the VMM"];
    plot::bars(&folder.join("idle.svg"), title, "% of one processor", &names, &bars, &study.host.line())
}
