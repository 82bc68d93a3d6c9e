//! A flood of first segments from addresses that are nobody's: whether connections that are open go on, and new ones succeed.

use std::net::{SocketAddr, SocketAddrV4};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use toro_tests::flood;

use crate::hold;
use crate::http::Client;
use crate::private::{self, Place};
use crate::study::{Options, Progress, Spread, Study, Subject, Table, Who, plot};

const WHO: [Who; 4] = [Who::Toro, Who::ToroLinux, Who::LinuxTrimmed, Who::LinuxCloud];
const MEMORY_MIB: u64 = 256;
const A_SECOND: u64 = 100_000;
const LENGTH: Duration = Duration::from_secs(20);
/// Connections that are open before.
const OPEN: usize = 16;
/// Between two requests over them, and between two new ones.
const PAUSE: Duration = Duration::from_millis(20);
/// Longest wait for a guest to say what it has counted.
const ASK_LIMIT: Duration = Duration::from_secs(20);
const FIGURES: [(&str, &str); 9] = [
    ("first segments", "a second"),
    ("of them reached the VMM", "a second"),
    ("over open connections", "answers"),
    ("failed", "requests"),
    ("99 % within", "ms"),
    ("new connections", "answers"),
    ("failed", "connections"),
    ("99 % within", "ms"),
    ("of them by a cookie", "connections"),
];

/// Runs it.
pub fn run(options: &Options) -> Result<Study> {
    let length = if options.smoke { Duration::from_secs(2) } else { LENGTH };
    let runs = options.runs(3);
    let load = format!(
        "{A_SECOND} first segments a second for {length:?}, {runs} times, from made-up addresses behind the gateway, over a TAP \
         interface; meanwhile a request every {PAUSE:?} over one of {OPEN} connections that were open before, and a new connection \
         with a request {PAUSE:?} after the one before; one processor and {MEMORY_MIB} MB"
    );
    let mut study = Study::new("flood", load, options)?;
    let subjects = Subject::build(&WHO, options, options.machine, 1, MEMORY_MIB)?;
    let mut table = Table::new("under a flood", &FIGURES);
    let mut progress = Progress::new(subjects.len() * runs, length * 2);
    for subject in &subjects {
        study.note_command(subject, options);
        let mut seen = [const { Vec::new() }; FIGURES.len()];
        for _ in 0..runs {
            progress.step(subject.name());
            if let Some(figures) = study.keep(subject.name(), "a flood", one(subject, options, length)) {
                seen.iter_mut().zip(figures).for_each(|(all, figure)| all.push(figure));
            }
        }
        table.row(subject.name(), seen.into_iter().map(Spread::of).collect());
    }
    study.tables.push(table);
    Ok(study)
}

/// How long answers took, ms, and how many requests had none.
#[derive(Default)]
struct Answers {
    waited_ms: Vec<f64>,
    failed: u64,
}

impl Answers {
    fn note(&mut self, asked: Instant, result: std::io::Result<crate::http::Response>) {
        match result {
            Ok(answer) if answer.status == 200 => self.waited_ms.push(asked.elapsed().as_secs_f64() * 1e3),
            _ => self.failed += 1,
        }
    }

    /// Count, failures, and what 99 % did not exceed.
    fn figures(&self) -> [f64; 3] {
        let late = Spread::of(self.waited_ms.iter().copied()).map_or(f64::NAN, |all| all.quantile(0.99));
        [self.waited_ms.len() as f64, self.failed as f64, late]
    }
}

fn one(subject: &Subject, options: &Options, length: Duration) -> Result<[f64; FIGURES.len()]> {
    let place = Place::FIRST;
    let vm = place.start(subject, options, None, private::answers)?;
    let SocketAddr::V4(to) = place.server() else { unreachable!("its places are of IPv4") };
    let mut clients = hold::connect(to.into(), OPEN)?;
    let reached = reached(place)?;
    let ((open, new), flood) = flood::during(to, A_SECOND, || ask(&mut clients, to, length)).context("no flood")?;
    let seconds = flood.length.as_secs_f64();
    let reached = (self::reached(place)? - reached) as f64 / seconds;
    let is_toro = subject.who.is_toro();
    let cookies = if is_toro { vm.network_count("cookies_accepted", ASK_LIMIT)? as f64 } else { f64::NAN };
    // Over, and all is as before.
    for client in &mut clients {
        client.get_ok().context("an open connection afterwards")?;
    }
    let ([open, open_failed, open_late], [new, new_failed, new_late]) = (open.figures(), new.figures());
    let sent = flood.segments as f64 / seconds;
    Ok([sent, reached, open, open_failed, open_late, new, new_failed, new_late, cookies])
}

/// Asks over open connections, and over new ones.
fn ask(clients: &mut [Client], to: SocketAddrV4, length: Duration) -> (Answers, Answers) {
    let (start, is_over) = (Instant::now(), AtomicBool::new(false));
    std::thread::scope(|scope| {
        let is_over = &is_over;
        let newcomers = scope.spawn(move || {
            let mut answers = Answers::default();
            while !is_over.load(Relaxed) {
                let asked = Instant::now();
                answers.note(asked, Client::connect_to(to.into()).and_then(Client::get_and_close));
                std::thread::sleep(PAUSE);
            }
            answers
        });
        let mut open = Answers::default();
        for number in 0.. {
            if start.elapsed() > length {
                break;
            }
            let asked = Instant::now();
            open.note(asked, clients[number % OPEN].get());
            std::thread::sleep(PAUSE);
        }
        is_over.store(true, Relaxed);
        (open, newcomers.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
    })
}

/// Frames that the VMM has taken from the interface.
fn reached(place: Place) -> Result<u64> {
    // Eight counts of what came, then what went, the packets second.
    const PACKETS: usize = 9;
    let text = std::fs::read_to_string("/proc/net/dev").context("/proc/net/dev")?;
    let line = text.lines().find_map(|line| line.trim().strip_prefix(&format!("{}:", place.tap())));
    let count = line.and_then(|line| line.split_whitespace().nth(PACKETS)?.parse().ok());
    count.with_context(|| format!("{} is not in /proc/net/dev", place.tap()))
}

/// How late answers are.
pub fn draw(study: &Study, folder: &Path) -> Result<()> {
    let bars = plot::bars_of(&study.tables, &[(4, "open"), (7, "new")]);
    let title = "99 % of the answers within, under 100,000 first segments a second";
    plot::bars(&folder.join("flood.svg"), title, "ms", &["ms"], &bars, &study.host.line())
}
