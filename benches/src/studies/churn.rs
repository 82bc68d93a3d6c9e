//! A server that stays up: connections one after another, and requests over a few, without an end; what a second does, and what is
//! left at the end.
//!
//! What the host does meanwhile moves the rate. So each second is measured by the guest's work, too: answers a CPU second of the
//! VMM, and guest instructions an answer.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use toro_counter::Counter;
use toro_vmm::usage::Usage;

use crate::artifact;
use crate::http::Client;
use crate::load::Clients;
use crate::measure::at_rest;
use crate::private::{self, Place};
use crate::study::{Options, Progress, Series, Spread, Study, Subject, Table, Who, plot};
use crate::vm::{Counting, Vm};

const WHO: [Who; 2] = [Who::Toro, Who::ToroLinux];
const MEMORY_MIB: u64 = 64;
/// So often: connections one after another, then requests.
const ROUNDS: usize = 10;
const CONNECTIONS: u64 = 100_000;
const REQUESTS: u64 = 1_000_000;
/// Over so many connections, that stay.
const AT_ONCE: usize = 16;
const SECOND: Duration = Duration::from_secs(1);
/// A connection that takes so long has not waited for the host's processors, but for something that was lost.
const STALL: Duration = Duration::from_secs(5);
/// Longest wait for a guest to say what it has counted, and for the last of its connections to be over.
const LIMIT: Duration = Duration::from_secs(90);

/// What a second did.
struct Second {
    answers: f64,
    wall: f64,
    cpu: f64,
    instructions: f64,
}

/// The seconds of one kind of work, and what went wrong in them.
#[derive(Default)]
struct Work {
    answers: u64,
    errors: u64,
    stalls: u64,
    /// In which seconds, counted from the first, and how many.
    stalled: Vec<(usize, u64)>,
    seconds: Vec<Second>,
}

/// A guest under work.
struct Server(Vm);

/// Bytes of its network, and of its VMM.
type Memory = (u64, u64);

/// Runs it.
pub fn run(options: &Options) -> Result<Study> {
    let (connections, requests) = if options.smoke { (200, 2000) } else { (CONNECTIONS, REQUESTS) };
    let rounds = options.runs(ROUNDS);
    let load = format!(
        "{rounds} times {connections} connections one after another, each with a request, every other one ended by the server, and \
         then {requests} requests over {AT_ONCE} connections, each of which asks again when it is answered; a connection is late with its \
         request after {STALL:?}, a request over one that stays after 2 s; over a TAP interface, one processor and {MEMORY_MIB} MB; \
         instructions are counted, which takes time of its own"
    );
    let mut study = Study::new("churn", load, options)?;
    let subjects = Subject::build(&WHO, options, options.machine, 1, MEMORY_MIB)?;
    let plugin = artifact::plugin()?;
    let columns = [
        ("answers", "in all"),
        ("none, or a broken one", "requests"),
        ("late", "requests"),
        ("rate", "a second"),
        ("least second to the median one", "%"),
        ("by CPU of the VMM", "%"),
        ("by instructions of the guest", "%"),
    ];
    let mut tables = [
        Table::new("connections one after another", &columns),
        Table::new(format!("requests over {AT_ONCE} connections"), &columns),
    ];
    let columns =
        [("network of the guest", "bytes, at first"), ("", "at the end"), ("VMM", "KiB, at first"), ("", "at the end")];
    let mut memory = Table::new("memory", &columns);
    let mut progress = Progress::new(subjects.len() * rounds, Duration::from_secs(120));
    for subject in &subjects {
        study.note_command(subject, options);
        let mut work = [Work::default(), Work::default()];
        let end = churn(subject, options, &plugin, rounds, (connections, requests), &mut work, &mut progress);
        let Some([first, last]) = study.keep(subject.name(), "churn", end) else { continue };
        for (table, work) in tables.iter_mut().zip(&work) {
            table.row(subject.name(), work.figures());
            study.series.push(work.series(subject.name(), &table.title));
        }
        let figures = [first.0, last.0, first.1 >> 10, last.1 >> 10];
        memory.row(subject.name(), figures.map(|figure| Spread::one(figure as f64)).to_vec());
    }
    drop(progress);
    study.tables.extend(tables);
    study.tables.push(memory);
    Ok(study)
}

fn churn(
    subject: &Subject,
    options: &Options,
    plugin: &Path,
    rounds: usize,
    (connections, requests): (u64, u64),
    [one_by_one, at_once]: &mut [Work; 2],
    progress: &mut Progress,
) -> Result<[Memory; 2]> {
    let counting = Counting::default();
    let server = Server(Place::FIRST.start(subject, options, Some((plugin, &counting)), private::answers)?);
    // A warm-up, so that tables have their size, and connections that ended lie ready to be used again.
    server.connections(connections / 10, &mut Work::default())?;
    server.requests(requests / 100, &mut Work::default())?;
    let first = server.memory()?;
    for round in 0..rounds {
        progress.step(&format!("{}, round {}", subject.name(), round + 1));
        server.connections(connections, one_by_one)?;
        server.requests(requests, at_once)?;
    }
    let last = server.memory()?;
    ensure!(last.0 <= first.0, "its network had {} bytes at first, and has {} at the end", first.0, last.0);
    for (name, work) in [("connections", &*one_by_one), ("requests", &*at_once)] {
        let Work { errors, stalls, stalled, .. } = work;
        ensure!(
            *errors == 0 && *stalls == 0,
            "{name}: {errors} errors, {stalls} stalls (second, how many): {stalled:?}"
        );
    }
    Ok([first, last])
}

impl Server {
    /// Connections one after another, each with a request.
    fn connections(&self, count: u64, work: &mut Work) -> Result<()> {
        let mut left = count;
        while left > 0 {
            self.second(work, |work| {
                let (start, mut answered) = (Instant::now(), 0);
                while left > 0 && start.elapsed() < SECOND {
                    let asked = Instant::now();
                    let result = Client::connect_to(Place::FIRST.server()).and_then(|mut client| match left % 2 {
                        0 => client.get(),
                        _ => client.get_and_close(),
                    });
                    let is_answer = result.is_ok_and(|answer| answer.status == 200);
                    work.errors += u64::from(!is_answer);
                    work.stalls += u64::from(asked.elapsed() > STALL);
                    answered += u64::from(is_answer);
                    left -= 1;
                }
                Ok((answered, start.elapsed(), left > 0))
            })?;
        }
        Ok(())
    }

    /// Requests over connections that stay.
    fn requests(&self, count: u64, work: &mut Work) -> Result<()> {
        let mut clients = Clients::open(Place::FIRST.server(), AT_ONCE).context("opening connections")?;
        let mut left = count;
        while left > 0 {
            self.second(work, |work| {
                let load = clients.run(SECOND)?;
                work.errors += load.errors;
                work.stalls += load.stalls;
                left = left.saturating_sub(load.answered.max(1));
                Ok((load.answered, Duration::from_secs_f64(load.seconds), true))
            })?;
        }
        Ok(())
    }

    /// Notes what `doing` did in a second: answers, time, and whether it was a whole one.
    fn second(&self, work: &mut Work, doing: impl FnOnce(&mut Work) -> Result<(u64, Duration, bool)>) -> Result<()> {
        let (cpu, counts) = (Usage::of(self.0.pid()).cpu, self.0.counters()?.snapshot());
        let stalls = work.stalls;
        let (answers, wall, is_whole) = doing(work)?;
        if work.stalls > stalls {
            work.stalled.push((work.seconds.len(), work.stalls - stalls));
        }
        work.answers += answers;
        if is_whole {
            let cpu = (Usage::of(self.0.pid()).cpu - cpu).as_secs_f64();
            let instructions = (self.0.counters()?.snapshot() - &counts).get(Counter::Instructions) as f64;
            work.seconds.push(Second { answers: answers as f64, wall: wall.as_secs_f64(), cpu, instructions });
        }
        Ok(())
    }

    /// What it has once no connection is left.
    fn memory(&self) -> Result<Memory> {
        let end = Instant::now() + LIMIT;
        while ["connections", "handshakes"]
            .into_iter()
            .map(|name| self.0.network_count(name, LIMIT))
            .sum::<Result<u64>>()?
            > 0
        {
            ensure!(Instant::now() < end, "connections are left, {LIMIT:?} after the last of them ended");
            std::thread::sleep(Duration::from_millis(200));
        }
        at_rest(&self.0)?;
        let network = self.0.network_count("memory_bytes", LIMIT)?;
        Ok((network, Usage::of(self.0.pid()).resident_bytes))
    }
}

impl Work {
    fn figures(&self) -> Vec<Option<Spread>> {
        let rate = |by: &dyn Fn(&Second) -> f64| Spread::of(self.seconds.iter().map(|one| one.answers / by(one)));
        let least = |by: &dyn Fn(&Second) -> f64| {
            let all = rate(by)?;
            Spread::one(all.low / all.median * 100.0)
        };
        vec![
            Spread::one(self.answers as f64),
            Spread::one(self.errors as f64),
            Spread::one(self.stalls as f64),
            rate(&|one| one.wall).and_then(|all| Spread::one(all.median)),
            least(&|one| one.wall),
            least(&|one| one.cpu),
            least(&|one| one.instructions),
        ]
    }

    fn series(&self, name: &str, title: &str) -> Series {
        let mut at = 0.0;
        let point = |one: &Second| {
            at += one.wall;
            (at, one.answers / one.cpu)
        };
        let points = self.seconds.iter().map(point).collect();
        let axes = ("seconds".to_owned(), "answers a CPU second of the VMM".to_owned());
        Series { panel: title.to_owned(), name: name.to_owned(), axes, points }
    }
}

/// Each second.
pub fn draw(study: &Study, folder: &Path) -> Result<()> {
    plot::curves(&folder.join("churn.svg"), &plot::panels(&study.series, &|_| true), &study.host.line())
}
