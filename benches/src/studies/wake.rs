//! How soon a guest answers after a silence: one request to each in turn, with all of them asleep before it.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use toro_counter::Counter;

use crate::artifact;
use crate::http::Client;
use crate::private::{self, Place};
use crate::study::spread::ratios;
use crate::study::subject::order;
use crate::study::{Options, Progress, Spread, Study, Subject, Table, Who, plot};
use crate::vm::{Counting, Vm};

const WHO: [Who; 4] = [Who::Toro, Who::ToroLinux, Who::LinuxTrimmed, Who::LinuxCloud];
const MEMORY_MIB: u64 = 256;
/// Requests to each.
const REQUESTS: usize = 400;
/// Requests to each whose instructions are counted.
const COUNTED: usize = 100;
/// Silences, in turn.
const SILENCES_MS: [u64; 5] = [100, 1000, 200, 500, 300];

/// Runs it.
pub fn run(options: &Options) -> Result<Study> {
    let (requests, counted) = if options.smoke { (6, 4) } else { (options.runs(REQUESTS), COUNTED) };
    let load = format!(
        "{requests} requests to each guest over a TAP interface of its own and a connection that stays, one at a time, in turns, \
         after silences of 100 to 1000 ms; one processor and {MEMORY_MIB} MB; instructions: {counted} requests to each alone, \
         counted from the silence to the answer"
    );
    let mut study = Study::new("wake", load, options)?;
    let subjects = Subject::build(&WHO, options, options.machine, 1, MEMORY_MIB)?;
    subjects.iter().for_each(|subject| study.note_command(subject, options));
    let plugin = artifact::plugin()?;
    let mut progress = Progress::new(subjects.len() + 1, Duration::from_secs(60));
    let instructions: Vec<Vec<f64>> = subjects
        .iter()
        .map(|subject| {
            progress.step(&format!("{}, counting", subject.name()));
            study.keep(subject.name(), "counting", count(subject, options, &plugin, counted)).unwrap_or_default()
        })
        .collect();
    progress.step("asking all of them");
    let mut up = Vec::new();
    for (number, subject) in subjects.iter().enumerate() {
        let started = start(subject, options, number);
        up.push(study.keep(subject.name(), "starting", started));
    }
    // By guest, ms.
    let mut seen = vec![Vec::new(); up.len()];
    for round in 0..requests {
        for place in order(up.len(), round) {
            let Some((_, client)) = &mut up[place] else { continue };
            std::thread::sleep(Duration::from_millis(SILENCES_MS[round % SILENCES_MS.len()] / subjects.len() as u64));
            let asked = Instant::now();
            if study.keep(subjects[place].name(), "asking", client.get().context("a request")).is_some() {
                seen[place].push(asked.elapsed().as_secs_f64() * 1e3);
            }
        }
    }
    drop(progress);
    let linux = subjects.iter().position(|subject| subject.who == Who::LinuxTrimmed);
    let columns = [
        ("half within", "ms"),
        ("99 % within", "ms"),
        ("in pairs, to linux-trimmed's: half", "times"),
        ("p99 to linux-trimmed's", "times"),
        ("until the answer", "instructions"),
        ("99 % within", "instructions"),
    ];
    let mut table = Table::new("after a silence", &columns);
    for ((subject, waited), spent) in subjects.iter().zip(&seen).zip(instructions) {
        let (all, spent) = (Spread::of(waited.iter().copied()), Spread::of(spent));
        let share = |spread: &Option<Spread>, share| spread.as_ref().and_then(|all| Spread::one(all.quantile(share)));
        let beside = linux.map(|linux| &seen[linux]);
        let pairs = beside.and_then(|beside| ratios(waited, beside));
        let late = beside.and_then(|beside| Spread::of(beside.iter().copied()));
        let late = late.zip(all.as_ref()).and_then(|(late, all)| Spread::one(all.quantile(0.99) / late.quantile(0.99)));
        let figures = vec![
            share(&all, 0.5),
            share(&all, 0.99),
            share(&pairs, 0.5),
            late,
            share(&spent, 0.5),
            share(&spent, 0.99),
        ];
        table.row(subject.name(), figures);
    }
    study.tables.push(table);
    Ok(study)
}

/// Starts a guest in a place of its own, with a connection that has served.
fn start(subject: &Subject, options: &Options, number: usize) -> Result<(Vm, Client)> {
    let place = Place::of(number)?;
    let vm = place.start(subject, options, None, private::answers)?;
    Ok((vm, served(place)?))
}

/// A connection that is over its beginning.
fn served(place: Place) -> Result<Client> {
    let mut client = Client::connect_to(place.server())?;
    for _ in 0..40 {
        client.get()?;
    }
    Ok(client)
}

/// Instructions from a silence to the answer, of each request.
fn count(subject: &Subject, options: &Options, plugin: &Path, requests: usize) -> Result<Vec<f64>> {
    let vm = Place::FIRST.start(subject, options, Some((plugin, &Counting::default())), private::answers)?;
    let mut client = served(Place::FIRST)?;
    let mut seen = Vec::new();
    for _ in 0..requests {
        std::thread::sleep(Duration::from_millis(SILENCES_MS[0]));
        let before = vm.counters()?.snapshot();
        client.get()?;
        let spent = vm.counters()?.snapshot() - &before;
        seen.push(spent.get(Counter::Instructions) as f64);
    }
    Ok(seen)
}

/// How soon half of the answers come, and nearly all.
pub fn draw(study: &Study, folder: &Path) -> Result<()> {
    let bars = plot::bars_of(&study.tables, &[(0, "half within"), (1, "99 % within")]);
    let title = "From a request to its answer, after a silence";
    plot::bars(&folder.join("wake.svg"), title, "ms", &["ms"], &bars, &study.host.line())
}
