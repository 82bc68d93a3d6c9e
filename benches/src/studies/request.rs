//! What one request costs in counted instructions and device exits, on a connection that stays and on one of its own.

use std::path::Path;

use anyhow::Result;
use toro_vmm::MachineType;

use crate::artifact;
use crate::http::Style;
use crate::measure;
use crate::study::{Options, Progress, Spread, Study, Subject, Table, Who, plot};

const WHO: [Who; 4] = [Who::Toro, Who::ToroLinux, Who::LinuxTrimmed, Who::LinuxCloud];
const MACHINES: [MachineType; 2] = [MachineType::Microvm, MachineType::Q35];
const STYLES: [(Style, &str); 2] =
    [(Style::KeepAlive, "a keep-alive request"), (Style::Close, "a connection and request")];
/// Requests of a phase, of which the cheapest of five counts.
const REQUESTS: u64 = 300;

/// Runs it.
pub fn run(options: &Options) -> Result<Study> {
    let requests = if options.smoke { 20 } else { REQUESTS };
    let runs = options.runs(3);
    let load = format!(
        "{requests} requests one after the other, by one client, five times in a row, of which the cheapest counts; {runs} \
         guests of each kind, with one processor and 256 MB; instructions are those of the guest, all of them; exits are \
         accesses to ports and device memory"
    );
    let mut study = Study::new("request", load, options)?;
    let plugin = artifact::plugin()?;
    let machines = if options.smoke { &MACHINES[..1] } else { &MACHINES };
    let mut progress = None;
    for &machine in machines {
        let subjects = Subject::build(&WHO, options, machine, 1, 256)?;
        let steps = machines.len() * subjects.len() * STYLES.len();
        let progress = progress.get_or_insert_with(|| Progress::new(steps, std::time::Duration::from_secs(60)));
        let columns = [
            ("keep-alive", "instructions"),
            ("its cheapest tenth", "instructions"),
            ("keep-alive", "exits"),
            ("connection", "instructions"),
            ("its cheapest tenth", "instructions"),
            ("connection", "exits"),
        ];
        let mut table = Table::new(machine.name(), &columns);
        for subject in &subjects {
            study.commands.push((format!("{}, {}", subject.name(), machine.name()), subject.command(options, machine)));
            let mut figures = Vec::new();
            for (style, name) in STYLES {
                progress.step(&format!("{}, {name}, {}", subject.name(), machine.name()));
                figures.extend(one(&mut study, subject, machine, &plugin, style, name, requests, runs));
            }
            table.row(subject.name(), figures);
        }
        study.tables.push(table);
    }
    Ok(study)
}

/// Average, tenth and exits.
#[expect(clippy::too_many_arguments, reason = "each is one word of what is measured")]
fn one(
    study: &mut Study,
    subject: &Subject,
    machine: MachineType,
    plugin: &Path,
    style: Style,
    name: &str,
    requests: u64,
    runs: usize,
) -> [Option<Spread>; 3] {
    let (mut average, mut tenth, mut exits) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..runs {
        // The counter is a plugin of the translator.
        let cost = |devices| measure::request_cost(&subject.guest, machine, plugin, devices, style, requests);
        if let Some(cost) = study.keep(subject.name(), name, cost(false)) {
            average.push(cost.instructions);
            tenth.push(cost.instructions_tenth);
        }
    }
    let devices = measure::request_cost(&subject.guest, machine, plugin, true, style, requests);
    exits.extend(study.keep(subject.name(), name, devices).map(|cost| cost.vmm_exits));
    [average, tenth, exits].map(Spread::of)
}

/// Instructions of each.
pub fn draw(study: &Study, folder: &Path) -> Result<()> {
    let mut bars = Vec::new();
    for (column, what) in [(0, "keep-alive"), (3, "connection")] {
        for table in &study.tables {
            for (name, figures) in &table.rows {
                if let Some(spread) = figures.get(column).and_then(Option::as_ref) {
                    let name = format!("{name}, {what}, {}", table.title);
                    bars.push(plot::Bar { name, parts: vec![spread.median] });
                }
            }
        }
    }
    let title = "Guest instructions of one request";
    plot::bars(&folder.join("request.svg"), title, "instructions", &["instructions"], &bars, &study.host.line())
}
