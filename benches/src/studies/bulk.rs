//! What a megabyte costs that is sent, and one that is received, in counted instructions of the guest.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use toro_counter::Counter;
use toro_vmm::MachineType;

use crate::artifact;
use crate::measure;
use crate::study::{Options, Progress, Spread, Study, Subject, Table, Who, plot};
use crate::vm::{Counting, Vm};

/// The same server on all; Toro's own example knows no bulk.
const WHO: [Who; 3] = [Who::ToroLinux, Who::LinuxTrimmed, Who::LinuxCloud];
const MIB: usize = 16;
/// What comes before, so that windows and buffers have their size.
const WARM_MIB: usize = 2;
const LIMIT: Duration = Duration::from_secs(60);
const FIGURES: [(&str, &str); 2] = [("sent", "instructions a MiB"), ("received", "instructions a MiB")];

/// What the guest does with the bytes.
#[derive(Clone, Copy)]
pub(super) enum Direction {
    Sent,
    Received,
}

/// Runs it.
pub fn run(options: &Options) -> Result<Study> {
    let (mib, runs) = if options.smoke { (1, 1) } else { (MIB, options.runs(3)) };
    let load = format!(
        "{mib} MiB over one connection and QEMU's own network, which has no offloads, after {WARM_MIB} over another, {runs} \
         guests of each kind, with one processor and 256 MB; the same server program in each"
    );
    let mut study = Study::new("bulk", load, options)?;
    let plugin = artifact::plugin()?;
    let machine = options.machine;
    let subjects = Subject::build(&WHO, options, machine, 1, 256)?;
    let mut progress = Progress::new(subjects.len() * runs, Duration::from_secs(60));
    let mut table = Table::new(machine.name(), &FIGURES);
    for subject in &subjects {
        study.note_command(subject, options);
        let mut seen = [Vec::new(), Vec::new()];
        for _ in 0..runs {
            progress.step(subject.name());
            let costs = one(subject, machine, &plugin, mib);
            if let Some(costs) = study.keep(subject.name(), "bulk", costs) {
                seen.iter_mut().zip(costs).for_each(|(all, cost)| all.push(cost));
            }
        }
        table.row(subject.name(), seen.into_iter().map(Spread::of).collect());
    }
    drop(progress);
    study.tables.push(table);
    Ok(study)
}

/// Instructions a MiB, sent and received.
fn one(subject: &Subject, machine: MachineType, plugin: &Path, mib: usize) -> Result<[f64; 2]> {
    let vm = Vm::start(&subject.guest, machine, Some((plugin, &Counting::default())))?;
    vm.ready()?;
    let mut costs = [0.0; 2];
    for (direction, cost) in [Direction::Sent, Direction::Received].into_iter().zip(&mut costs) {
        let server = SocketAddr::from((Ipv4Addr::LOCALHOST, vm.port));
        carry(server, direction, WARM_MIB)?;
        let before = measure::at_rest(&vm)?;
        carry(server, direction, mib)?;
        let spent = measure::at_rest(&vm)? - &before;
        *cost = spent.get(Counter::Instructions) as f64 / mib as f64;
    }
    Ok(costs)
}

/// Has so many MiB sent by the guest, or received.
pub(super) fn carry(server: SocketAddr, direction: Direction, mib: usize) -> Result<()> {
    let mut stream = TcpStream::connect(server).context("connecting")?;
    stream.set_read_timeout(Some(LIMIT))?;
    stream.set_write_timeout(Some(LIMIT))?;
    let chunk = vec![0; 1 << 20];
    match direction {
        Direction::Sent => write!(stream, "GET /bulk/{mib} HTTP/1.1\r\nHost: toro\r\n\r\n")?,
        Direction::Received => {
            write!(stream, "POST /bulk HTTP/1.1\r\nHost: toro\r\nContent-Length: {}\r\n\r\n", mib << 20)?;
            for _ in 0..mib {
                stream.write_all(&chunk).context("sending")?;
            }
        }
    }
    let (mut bytes, mut buffer) = (0, chunk);
    loop {
        match stream.read(&mut buffer).context("receiving")? {
            0 => break,
            read => bytes += read,
        }
    }
    let least = if matches!(direction, Direction::Sent) { mib << 20 } else { 1 };
    ensure!(bytes >= least, "the guest ended after {bytes} bytes");
    Ok(())
}

/// Instructions of each.
pub fn draw(study: &Study, folder: &Path) -> Result<()> {
    let bars = plot::bars_of(&study.tables, &[(0, FIGURES[0].0), (1, FIGURES[1].0)]);
    let title = "Guest instructions of a MiB";
    plot::bars(&folder.join("bulk.svg"), title, "instructions", &["instructions"], &bars, &study.host.line())
}
