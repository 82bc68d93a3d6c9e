//! Which functions a request spends its instructions in: executions of each address, named by the image's symbols.

use std::collections::HashMap;
use std::fmt::Write;
use std::path::Path;

use anyhow::Result;
use toro_vmm::MachineType;
use toro_vmm::symbolize::Symbolizer;

use crate::http::{Requests, Style};
use crate::measure::{self, at_rest};
use crate::vm::{Counting, Guest, Vm};

const WARM_REQUESTS: u64 = 40;
const REQUESTS: u64 = 300;
/// Lines of each table.
const LINES: usize = 45;

/// Instructions a request, by function, and again by function before inlining.
pub fn requests(guest: &Guest, plugin: &Path, style: Style) -> Result<String> {
    let counting = Counting { profile: true, ..Counting::default() };
    let vm = Vm::start(guest, MachineType::Microvm, Some((plugin, &counting)))?;
    vm.ready()?;
    let mut requests = Requests::new(vm.port, style)?;
    requests.send(WARM_REQUESTS)?;
    at_rest(&vm)?;
    let before = vm.profile()?.executed();
    requests.send(REQUESTS)?;
    at_rest(&vm)?;
    let mut spent = vm.profile()?.executed();
    for (address, count) in before {
        spent.entry(address).and_modify(|executed| *executed -= count);
    }
    let base = vm.image_base()?;
    let symbolizer = Symbolizer::new(&guest.image.symbols);
    let (mut outer, mut inner) = (HashMap::<String, u64>::new(), HashMap::<String, u64>::new());
    for (address, count) in spent.into_iter().filter(|(_, count)| *count > 0) {
        let names = symbolizer.names(address.wrapping_sub(base)).unwrap_or_default();
        let name = |name: Option<&String>| name.map_or_else(|| format!("{address:#x}"), |name| without_line(name));
        *outer.entry(name(names.last())).or_default() += count;
        *inner.entry(name(names.first())).or_default() += count;
    }
    let exits = measure::request_cost(guest, MachineType::Q35, plugin, true, style, REQUESTS)?.accesses;
    let exits: String = exits.into_iter().map(|(name, count)| format!("{count:>9.2}  {name}\n")).collect();
    Ok(format!("device accesses on q35\n{exits}\nby function\n{}\nby inlined function\n{}", table(outer), table(inner)))
}

/// "function (file:12)" without the line, so that a function is one row.
fn without_line(name: &str) -> String {
    name.rsplit_once(':')
        .filter(|(_, line)| line.ends_with(')'))
        .map_or(name.to_owned(), |(start, _)| format!("{start})"))
}

fn table(counts: HashMap<String, u64>) -> String {
    let total: u64 = counts.values().sum();
    let mut rows: Vec<(String, u64)> = counts.into_iter().collect();
    rows.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
    let each = |count: u64| count as f64 / REQUESTS as f64;
    let mut text = format!("{:>9.1}  in all\n", each(total));
    for (name, count) in rows.into_iter().take(LINES) {
        // Writing to a string cannot fail.
        writeln!(text, "{:>9.1}  {name}", each(count)).unwrap_or_default();
    }
    text
}
