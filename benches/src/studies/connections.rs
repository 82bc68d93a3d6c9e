//! What many open connections cost: a request beside ten thousand of them, fifty thousand on which nothing comes, and how
//! interrupts and exits are shared when many ask at once.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use toro_counter::Counter;
use toro_vmm::usage::Usage;

use crate::artifact;
use crate::hold::{self, Held};
use crate::http::Client;
use crate::load::Clients;
use crate::measure::at_rest;
use crate::private::{self, Place};
use crate::study::{Options, Progress, Spread, Study, Subject, Table, Who, plot};
use crate::vm::{Counting, Vm};

const WHO: [Who; 4] = [Who::Toro, Who::ToroLinux, Who::LinuxTrimmed, Who::LinuxCloud];
/// Connections of which each asks in its turn.
const OPEN: usize = 10_000;
/// A thread and its stack for each is the native server's way.
const OPEN_MIB: u64 = 1024;
/// Connections on which nothing comes, and the memory for them; the native server has a thread for each, which is more.
const IDLE: usize = 50_000;
const IDLE_MIB: u64 = 256;
const IDLE_WHO: [Who; 3] = [Who::ToroLinux, Who::LinuxTrimmed, Who::LinuxCloud];
/// Connections of which all ask at once.
const AT_ONCE: [usize; 4] = [1, 16, 64, 256];

/// How much is done.
struct Extent {
    open: usize,
    idle: usize,
    /// From the last packet to the beginning of the count, and the count.
    settle: Duration,
    length: Duration,
    load: Duration,
    runs: usize,
}

/// Runs it.
pub fn run(options: &Options) -> Result<Study> {
    let seconds = Duration::from_secs;
    let extent = if options.smoke {
        Extent { open: 40, idle: 60, settle: seconds(2), length: seconds(2), load: seconds(1), runs: 1 }
    } else {
        let runs = options.runs(3);
        Extent { open: OPEN, idle: IDLE, settle: seconds(15), length: seconds(30), load: seconds(3), runs }
    };
    let load = format!(
        "over a TAP interface, with one processor; instructions are those of the guest, all of them. One after the other: {} \
         requests over the only connection, over one of {0}, and over each of {0} in its turn, {OPEN_MIB} MB, {} guests of each \
         kind. Idle: {} connections with {IDLE_MIB} MB, counted for {:?} from {:?} after the last packet. At once: each \
         connection asks again when it is answered, for {:?}",
        extent.open, extent.runs, extent.idle, extent.length, extent.settle, extent.load
    );
    let mut study = Study::new("connections", load, options)?;
    let plugin = artifact::plugin()?;
    open(&mut study, options, &extent, &plugin)?;
    idle(&mut study, options, &extent, &plugin)?;
    at_once(&mut study, options, &extent, &plugin)?;
    Ok(study)
}

fn start(subject: &Subject, options: &Options, counting: Option<(&Path, &Counting)>) -> Result<Vm> {
    Place::FIRST.start(subject, options, counting, private::answers)
}

fn connect(count: usize) -> Result<Vec<Client>> {
    hold::connect(Place::FIRST.server(), count)
}

fn open(study: &mut Study, options: &Options, extent: &Extent, plugin: &Path) -> Result<()> {
    let columns = [
        ("the only connection", "instructions a request"),
        ("one of many", "instructions a request"),
        ("each in its turn", "instructions a request"),
        ("each in its turn, to the only one", "times"),
    ];
    let mut table = Table::new(format!("{} open connections", extent.open), &columns);
    let subjects = Subject::build(&WHO, options, options.machine, 1, OPEN_MIB)?;
    let mut progress = Progress::new(subjects.len() * extent.runs, Duration::from_secs(30));
    for subject in &subjects {
        study.note_command(subject, options);
        let mut seen = [const { Vec::new() }; 4];
        for _ in 0..extent.runs {
            progress.step(&format!("{}, {} connections", subject.name(), extent.open));
            let costs = beside_others(subject, options, extent.open, plugin);
            if let Some([only, one, each]) = study.keep(subject.name(), &table.title, costs) {
                seen.iter_mut().zip([only, one, each, each / only]).for_each(|(all, cost)| all.push(cost));
            }
        }
        table.row(subject.name(), seen.into_iter().map(Spread::of).collect());
    }
    study.tables.push(table);
    Ok(())
}

/// Instructions a request: over the only connection, over one of many, and over each of these.
fn beside_others(subject: &Subject, options: &Options, count: usize, plugin: &Path) -> Result<[f64; 3]> {
    let vm = start(subject, options, Some((plugin, &Counting::default())))?;
    let mut clients = connect(1)?;
    in_turn(&vm, &mut clients, count / 10)?;
    let only = in_turn(&vm, &mut clients, count)?;
    clients.extend(connect(count - 1)?);
    let one = in_turn(&vm, &mut clients[..1], count)?;
    let each = in_turn(&vm, &mut clients, count)?;
    Ok([only, one, each])
}

fn in_turn(vm: &Vm, clients: &mut [Client], requests: usize) -> Result<f64> {
    let before = at_rest(vm)?;
    let count = clients.len();
    for number in 0..requests {
        clients[number % count].get_ok().with_context(|| format!("request {number} over {count} connections"))?;
    }
    let spent = at_rest(vm)? - &before;
    Ok(spent.get(Counter::Instructions) as f64 / requests as f64)
}

fn idle(study: &mut Study, options: &Options, extent: &Extent, plugin: &Path) -> Result<()> {
    let columns = [
        ("memory of the VMM", "KiB a connection"),
        ("wake-ups", "a second"),
        ("instructions", "a second"),
        ("a request afterwards", "instructions"),
    ];
    let mut table = Table::new(format!("{} connections on which nothing comes", extent.idle), &columns);
    let subjects = Subject::build(&IDLE_WHO, options, options.machine, 1, IDLE_MIB)?;
    let mut progress = Progress::new(subjects.len(), Duration::from_secs(120));
    for subject in &subjects {
        progress.step(&format!("{}, {} connections", subject.name(), extent.idle));
        let figures = with_nothing(subject, options, extent, plugin);
        let figures = study.keep(subject.name(), &table.title, figures);
        table.row(subject.name(), figures.map_or(vec![None; 4], |figures| figures.map(Spread::one).to_vec()));
    }
    study.tables.push(table);
    Ok(())
}

fn with_nothing(subject: &Subject, options: &Options, extent: &Extent, plugin: &Path) -> Result<[f64; 4]> {
    let vm = start(subject, options, Some((plugin, &Counting::default())))?;
    drop(connect(10)?);
    let empty = Usage::of(vm.pid()).resident_bytes;
    let mut held = Held::open(Place::FIRST.server(), extent.idle)?;
    std::thread::sleep(extent.settle);
    let (full, before) = (Usage::of(vm.pid()).resident_bytes, vm.counters()?.snapshot());
    std::thread::sleep(extent.length);
    let spent = vm.counters()?.snapshot() - &before;
    let wakeups = spent.sleeps();
    let seconds = extent.length.as_secs_f64();
    // All of them are still there.
    let before = at_rest(&vm)?;
    held.ask()?;
    let asked = at_rest(&vm)? - &before;
    let cost = asked.get(Counter::Instructions) as f64 / extent.idle as f64;
    let each_kib = (full.saturating_sub(empty) >> 10) as f64 / extent.idle as f64;
    Ok([each_kib, wakeups as f64 / seconds, spent.get(Counter::Instructions) as f64 / seconds, cost])
}

fn at_once(study: &mut Study, options: &Options, extent: &Extent, plugin: &Path) -> Result<()> {
    let columns =
        [("instructions", "a request"), ("exits", "a request"), ("interrupts", "a request"), ("sleeps", "a request")];
    let subjects = Subject::build(&WHO, options, options.machine, 1, IDLE_MIB)?;
    let ladder = if options.smoke { &AT_ONCE[..2] } else { &AT_ONCE };
    let mut tables: Vec<Table> = ladder.iter().map(|count| Table::new(format!("{count} at once"), &columns)).collect();
    let mut progress = Progress::new(subjects.len() * ladder.len(), extent.load * 2);
    for subject in &subjects {
        let vm = start(subject, options, Some((plugin, &Counting { devices: true, ..Counting::default() })));
        let Some(vm) = study.keep(subject.name(), "starting", vm) else { continue };
        for (&count, table) in ladder.iter().zip(&mut tables) {
            progress.step(&format!("{}, {count} at once", subject.name()));
            let figures = study.keep(subject.name(), &table.title, under_load(&vm, count, extent.load));
            table.row(subject.name(), figures.map_or(vec![None; 4], |figures| figures.map(Spread::one).to_vec()));
        }
    }
    study.tables.extend(tables);
    Ok(())
}

fn under_load(vm: &Vm, connections: usize, length: Duration) -> Result<[f64; 4]> {
    let mut clients = Clients::open(Place::FIRST.server(), connections)?;
    clients.run(length / 4)?;
    let before = at_rest(vm)?;
    let load = clients.run(length)?;
    let spent = at_rest(vm)? - &before;
    ensure!(load.errors == 0, "{} errors", load.errors);
    let each = |count: u64| count as f64 / load.answered as f64;
    Ok([spent.get(Counter::Instructions), spent.vmm_exits(), spent.get(Counter::Iret), spent.sleeps()].map(each))
}

/// Instructions of a request, alone and beside others.
pub fn draw(study: &Study, folder: &Path) -> Result<()> {
    let mut bars = Vec::new();
    if let Some(table) = study.tables.first() {
        for (name, figures) in &table.rows {
            for ((what, _), figure) in table.columns.iter().zip(figures).take(3) {
                if let Some(spread) = figure {
                    bars.push(plot::Bar { name: format!("{name}, {what}"), parts: vec![spread.median] });
                }
            }
        }
    }
    let title = "Guest instructions of a request, beside open connections";
    plot::bars(&folder.join("connections.svg"), title, "instructions", &["instructions"], &bars, &study.host.line())
}
