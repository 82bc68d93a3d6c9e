//! What goes through a bad wire, there and back: one frame of a hundred is lost, and each is on its way for a while.
//!
//! All guests at once, each behind a relay of its own (`tests/harness/bad_wire.rs`) that draws from the same seed.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Result, anyhow};
use toro_tests::bad_wire::{self, Weather};

use super::bulk::{Direction, carry};
use crate::private::{self, Place};
use crate::study::spread::ratios;
use crate::study::{Options, Progress, Spread, Study, Subject, Table, Who, plot};

/// The same server on all, as for bulk.
const WHO: [Who; 3] = [Who::ToroLinux, Who::LinuxTrimmed, Who::LinuxCloud];
const MEMORY_MIB: u64 = 256;
const MIB: usize = 8;
const ROUNDS: usize = 9;
/// Of a thousand frames, in each direction.
const LOST: u64 = 10;
/// Of each frame: half of a round trip.
const DELAY: Duration = Duration::from_millis(25);
const FIGURES: [(&str, &str); 4] = [
    ("sent", "KiB a second"),
    ("received", "KiB a second"),
    ("sent, in pairs, to linux-trimmed's", "times"),
    ("received, in pairs, to linux-trimmed's", "times"),
];

/// Runs it.
pub fn run(options: &Options) -> Result<Study> {
    let (mib, rounds) = if options.smoke { (1, 1) } else { (MIB, options.runs(ROUNDS)) };
    let load = format!(
        "{mib} MiB over one connection, {rounds} times in each direction, over a wire that loses {} % of all frames and delivers \
         the others after {DELAY:?}, so a round trip takes {:?}; a relay with the same seed for each guest, all guests at once, \
         with one processor and {MEMORY_MIB} MB; the same server program in each; the other end is this host's Linux, whose way \
         of sending is {}",
        LOST / 10,
        DELAY * 2,
        std::fs::read_to_string("/proc/sys/net/ipv4/tcp_congestion_control")?.trim()
    );
    let mut study = Study::new("loss", load, options)?;
    let subjects = Subject::build(&WHO, options, options.machine, 1, MEMORY_MIB)?;
    let places = (0..subjects.len()).map(Place::of).collect::<Result<Vec<_>>>()?;
    subjects.iter().for_each(|subject| study.note_command(subject, options));
    // By guest and direction.
    let mut seen = vec![[Vec::new(), Vec::new()]; subjects.len()];
    let mut progress = Progress::new(rounds, Duration::from_secs(60));
    for round in 0..rounds {
        progress.step(&format!("round {}", round + 1));
        let seed = 0x5eed + 2 * round as u64;
        let results: Vec<Result<[f64; 2]>> = std::thread::scope(|scope| {
            let one = |(subject, place)| scope.spawn(move || one(subject, place, options, seed, mib));
            let threads: Vec<_> = subjects.iter().zip(places.iter().copied()).map(one).collect();
            let failed = |_| Err(anyhow!("the relay failed"));
            threads.into_iter().map(|thread| thread.join().unwrap_or_else(failed)).collect()
        });
        for ((subject, result), seen) in subjects.iter().zip(results).zip(&mut seen) {
            if let Some(rates) = study.keep(subject.name(), "over a bad wire", result) {
                seen.iter_mut().zip(rates).for_each(|(all, rate)| all.push(rate));
            }
        }
    }
    drop(progress);
    let linux = subjects.iter().position(|subject| subject.who == Who::LinuxTrimmed);
    let mut table = Table::new("over a bad wire", &FIGURES);
    for (subject, rates) in subjects.iter().zip(&seen) {
        let beside = |direction: usize| linux.and_then(|linux| ratios(&rates[direction], &seen[linux][direction]));
        let [sent, received] = rates.clone().map(Spread::of);
        table.row(subject.name(), vec![sent, received, beside(0), beside(1)]);
    }
    study.tables.push(table);
    Ok(study)
}

/// KiB a second, sent and received.
fn one(subject: &Subject, place: Place, options: &Options, seed: u64, mib: usize) -> Result<[f64; 2]> {
    let (vm, wire) = place.start_on_wire(subject, options)?;
    let weather = Weather { seed, lost: LOST, doubled: 0, damaged: 0, held_up: 0, delay: DELAY };
    let rates = bad_wire::between(wire, &place.tap(), weather, || {
        private::reach(place.server(), private::answers)?;
        let mut rates = [0.0; 2];
        for (direction, rate) in [Direction::Sent, Direction::Received].into_iter().zip(&mut rates) {
            let start = Instant::now();
            carry(place.server(), direction, mib)?;
            *rate = (mib << 10) as f64 / start.elapsed().as_secs_f64();
        }
        Ok(rates)
    });
    drop(vm);
    rates
}

/// What each got through.
pub fn draw(study: &Study, folder: &Path) -> Result<()> {
    let bars = plot::bars_of(&study.tables, &[(0, FIGURES[0].0), (1, FIGURES[1].0)]);
    let title = "What goes through a wire that loses 1 % and takes 50 ms, there and back";
    plot::bars(&folder.join("loss.svg"), title, "KiB a second", &["KiB a second"], &bars, &study.host.line())
}
