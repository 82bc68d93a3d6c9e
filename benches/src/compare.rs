//! Side by side with a Linux guest, interleaved in one run so that both meet the same host.

use std::path::Path;
use std::time::Duration;

use anyhow::Result;

use crate::http::Style;
use crate::measure;
use crate::report::number;
use crate::vm::Guest;
use toro_vmm::MachineType;

const REQUESTS: u64 = 300;
const RUNS: usize = 3;
const CONNECTIONS: usize = 16;

/// One line of the comparison: a figure for each guest, in their order.
pub struct Line {
    what: &'static str,
    unit: &'static str,
    values: Vec<Result<f64>>,
}

/// Measures every row for every guest. Where several runs are made, the guests take turns.
pub fn run(guests: &[Guest], machine: MachineType, plugin: &Path) -> Vec<Line> {
    let each = |what, unit, measure: &dyn Fn(&Guest) -> Result<f64>| {
        eprintln!("  {what}");
        Line { what, unit, values: guests.iter().map(measure).collect() }
    };
    let in_turns = |what, unit, measure: &dyn Fn(&Guest) -> Result<f64>| {
        eprintln!("  {what}");
        let mut runs: Vec<Vec<Result<f64>>> = guests.iter().map(|_| Vec::new()).collect();
        for _ in 0..RUNS {
            for (guest, runs) in guests.iter().zip(&mut runs) {
                runs.push(measure(guest));
            }
        }
        Line { what, unit, values: runs.into_iter().map(median).collect() }
    };
    let cost = |guest: &Guest, devices, style| measure::request_cost(guest, machine, plugin, devices, style, REQUESTS);
    vec![
        each("reset to first 200", "instructions", &|guest| {
            Ok(measure::boot_counts(guest, machine, plugin)?.first_200 as f64)
        }),
        in_turns("CPU of QEMU to first 200", "s", &|guest| measure::cpu_to_first_200(guest, machine)),
        each("wake-ups when idle", "a second", &|guest| {
            measure::idle_wakeups(guest, machine, plugin, Duration::from_secs(5))
        }),
        each("CPU of QEMU when idle", "%", &|guest| measure::idle_cpu_percent(guest, machine, Duration::from_secs(10))),
        each("a keep-alive request", "instructions", &|guest| Ok(cost(guest, false, Style::KeepAlive)?.instructions)),
        each("a connection and request", "instructions", &|guest| Ok(cost(guest, false, Style::Close)?.instructions)),
        each("device exits a keep-alive request", "exits", &|guest| Ok(cost(guest, true, Style::KeepAlive)?.vmm_exits)),
        in_turns("requests per CPU second of QEMU", "requests", &|guest| {
            let cost = measure::load(guest, machine, CONNECTIONS, Duration::from_secs(4))?;
            Ok(cost.requests_per_cpu_second())
        }),
    ]
}

fn median(runs: Vec<Result<f64>>) -> Result<f64> {
    let mut values = runs.into_iter().collect::<Result<Vec<f64>>>()?;
    values.sort_by(f64::total_cmp);
    Ok(values[values.len() / 2])
}

/// The lines as a table.
pub fn table(guests: &[Guest], lines: &[Line]) -> String {
    let mut text = format!("{:36}{:16}", "", "unit");
    for guest in guests {
        text.push_str(&format!("{:>18}", guest.name));
    }
    text.push('\n');
    for line in lines {
        text.push_str(&format!("{:36}{:16}", line.what, line.unit));
        for value in &line.values {
            let value = value.as_ref().map_or_else(|_| "failed".to_owned(), |value| number(*value));
            text.push_str(&format!("{value:>18}"));
        }
        text.push('\n');
        for (guest, value) in guests.iter().zip(&line.values) {
            if let Err(error) = value {
                text.push_str(&format!("    {}: {error:#}\n", guest.name));
            }
        }
    }
    text
}
