//! The measurements, each one guest or a few: what was started, what was done to it, what was read.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use toro_counter::{Counter, Snapshot};
use toro_vmm::{Machine, MachineType};

use crate::http::{self, Client, Requests, Style};
use crate::load::{self, Load};
use crate::vm::{Counting, CpuSeconds, Guest, Vm};

/// Requests sent before a request is measured, so that every path has run.
const WARM_REQUESTS: u64 = 40;
/// A guest whose count did not move for so long has come to rest.
const REST: Duration = Duration::from_millis(40);
/// Longest wait for rest; a guest that ticks never rests.
const REST_LIMIT: Duration = Duration::from_secs(2);
/// After the last request, timers of its connection may still run out; after that a guest is idle.
const SETTLE: Duration = Duration::from_secs(3);

/// Guest instructions from reset to the answer to the first request.
#[derive(Clone, Copy, Debug)]
pub struct BootCounts {
    /// All of them.
    pub first_200: u64,
    /// The same with `rep` iterations left out.
    pub first_200_without_rep: u64,
}

/// Boots once and asks one request.
pub fn boot_counts(guest: &Guest, machine: MachineType, plugin: &Path) -> Result<BootCounts> {
    let vm = Vm::start(guest, machine, Some((plugin, &Counting::default())))?;
    vm.ready()?;
    http::requests(vm.port, Style::Close, 1).context("first request")?;
    let counts = vm.counters()?.snapshot();
    Ok(BootCounts {
        first_200: counts.get(Counter::Instructions),
        first_200_without_rep: counts.instructions_without_rep(),
    })
}

/// Instructions of the first processor from the image's entry to `main`, without a network device.
pub fn entry_to_main(guest: &Guest, machine: MachineType, plugin: &Path, watches: [u64; 2]) -> Result<u64> {
    let processors = (guest.cpus > 1).then_some("0");
    let counting = Counting { watches: watches.to_vec(), processors, ..Counting::default() };
    let vm = Vm::start(guest, machine, Some((plugin, &counting)))?;
    vm.ready()?;
    let counters = vm.counters()?;
    let entry = counters.watch(0).context("the image's entry was never reached")?;
    let main = counters.watch(1).context("main was never reached")?;
    Ok(main.instructions - entry.instructions)
}

/// Instructions of all processors from reset to the guest's end.
pub fn whole_run(guest: &Guest, machine: MachineType, plugin: &Path) -> Result<u64> {
    let counting = Counting { processors: Some("all"), ..Counting::default() };
    let vm = Vm::start(guest, machine, Some((plugin, &counting)))?;
    vm.ready()?;
    Ok(vm.counters()?.snapshot().get(Counter::Instructions))
}

/// What one request costs.
#[derive(Clone, Debug)]
pub struct RequestCost {
    /// Instructions on average, from the first answer to rest after the last.
    pub instructions: f64,
    /// Instructions from one answer to the next that a tenth of the requests did not exceed. A busy host splits what would
    /// arrive together, so the average moves with it; this hardly does.
    pub instructions_tenth: f64,
    /// Exits to the VMM on average; device memory is in it when the plugin watched it.
    pub vmm_exits: f64,
    /// Port accesses, and loads and stores of each device, when the plugin watched them; on average.
    pub accesses: BTreeMap<String, f64>,
}

/// Runs of a request phase.
const PHASES: usize = 5;

/// Sends `count` requests one after the other.
pub fn request_cost(
    guest: &Guest,
    machine: MachineType,
    plugin: &Path,
    devices: bool,
    style: Style,
    count: u64,
) -> Result<RequestCost> {
    let vm = Vm::start(guest, machine, Some((plugin, &Counting { devices, ..Counting::default() })))?;
    vm.ready()?;
    let mut requests = Requests::new(vm.port, style)?;
    requests.send(WARM_REQUESTS).context("warm-up")?;
    cheapest(&vm, count, &mut |count| requests.send(count))
}

/// A keep-alive request for six bytes out of the key-value example's table.
pub fn small_request_cost(store: &Guest, machine: MachineType, plugin: &Path, count: u64) -> Result<RequestCost> {
    let vm = Vm::start(store, machine, Some((plugin, &Counting::default())))?;
    vm.ready()?;
    let mut client = Client::connect(vm.port)?;
    client.put("/greeting", "hello\n").context("storing")?;
    let mut get = |count: u64| (0..count).try_for_each(|_| client.get_path("/greeting").map(drop));
    get(WARM_REQUESTS)?;
    cheapest(&vm, count, &mut get)
}

/// Sends phases of `count` requests and takes the cheapest phase, since a busy host can only add to it.
fn cheapest(vm: &Vm, count: u64, send: &mut dyn FnMut(u64) -> std::io::Result<()>) -> Result<RequestCost> {
    let mut runs = Vec::new();
    for _ in 0..PHASES {
        let before = at_rest(vm)?;
        let mut between = Vec::new();
        let mut last = before.clone();
        for _ in 0..count {
            send(1).with_context(|| format!("{count} requests"))?;
            let now = vm.counters()?.snapshot();
            between.push(now.clone() - &last);
            last = now;
        }
        runs.push(per_request(&(at_rest(vm)? - &before), &between));
    }
    runs.sort_by(|a, b| a.instructions.total_cmp(&b.instructions));
    let tenth = runs.iter().map(|run| run.instructions_tenth).fold(f64::INFINITY, f64::min);
    Ok(RequestCost { instructions_tenth: tenth, ..runs.swap_remove(0) })
}

fn per_request(spent: &Snapshot, between: &[Snapshot]) -> RequestCost {
    let each = |value: u64| value as f64 / between.len() as f64;
    let mut one_by_one: Vec<u64> = between.iter().map(|spent| spent.get(Counter::Instructions)).collect();
    one_by_one.sort_unstable();
    RequestCost {
        instructions: each(spent.get(Counter::Instructions)),
        instructions_tenth: one_by_one[one_by_one.len() / 10] as f64,
        vmm_exits: each(spent.vmm_exits()),
        accesses: accesses(spent).into_iter().map(|(name, count)| (name, each(count))).collect(),
    }
}

fn accesses(spent: &Snapshot) -> Vec<(String, u64)> {
    let ports = [Counter::PortIn, Counter::PortOut].map(|port| (port.name().to_owned(), spent.get(port)));
    let devices = spent.devices().iter().flat_map(|(name, accesses)| {
        [(format!("{name} read"), accesses.reads), (format!("{name} write"), accesses.writes)]
    });
    ports.into_iter().chain(devices).filter(|(_, count)| *count > 0).collect()
}

/// The counters once they stand still.
pub(crate) fn at_rest(vm: &Vm) -> Result<Snapshot> {
    let end = Instant::now() + REST_LIMIT;
    let counters = vm.counters()?;
    let mut last = counters.snapshot();
    let mut since = Instant::now();
    while since.elapsed() < REST && Instant::now() < end {
        std::thread::sleep(Duration::from_millis(2));
        let now = counters.snapshot();
        if now.get(Counter::Instructions) != last.get(Counter::Instructions) {
            since = Instant::now();
        }
        last = now;
    }
    Ok(last)
}

/// Wake-ups a second (`hlt` and `mwait` instructions) of a guest that has served a few requests, and then stands for
/// `length`.
pub fn idle_wakeups(guest: &Guest, machine: MachineType, plugin: &Path, length: Duration) -> Result<f64> {
    let vm = Vm::start(guest, machine, Some((plugin, &Counting::default())))?;
    vm.ready()?;
    http::requests(vm.port, Style::KeepAlive, 5)?;
    std::thread::sleep(SETTLE);
    let before = at_rest(&vm)?;
    let start = Instant::now();
    std::thread::sleep(length);
    let spent = vm.counters()?.snapshot() - &before;
    let wakeups = spent.sleeps();
    Ok(wakeups as f64 / start.elapsed().as_secs_f64())
}

/// CPU of QEMU in percent while the guest stands for `length`, without the plugin.
pub fn idle_cpu_percent(guest: &Guest, machine: MachineType, length: Duration) -> Result<f64> {
    let vm = Vm::start(guest, machine, None)?;
    vm.ready()?;
    if guest.serves_http() {
        http::requests(vm.port, Style::KeepAlive, 5)?;
    }
    std::thread::sleep(SETTLE);
    let (before, start) = (vm.cpu(), Instant::now());
    std::thread::sleep(length);
    Ok((vm.cpu().all - before.all) / start.elapsed().as_secs_f64() * 100.0)
}

/// CPU seconds of QEMU from its start to the first answer; for the empty guest, to its sign of life.
pub fn cpu_to_first_200(guest: &Guest, machine: MachineType) -> Result<f64> {
    let vm = Vm::start(guest, machine, None)?;
    vm.ready()?;
    if guest.serves_http() {
        http::requests(vm.port, Style::Close, 1)?;
    }
    Ok(vm.cpu().all)
}

/// Load and what it cost QEMU.
#[derive(Clone, Debug)]
pub struct LoadCost {
    /// What the clients saw.
    pub load: Load,
    /// CPU seconds of QEMU.
    pub cpu: CpuSeconds,
}

impl LoadCost {
    /// Answers for each CPU second of QEMU.
    pub fn requests_per_cpu_second(&self) -> f64 {
        self.load.answered as f64 / self.cpu.all
    }

    /// CPU time of the virtual processor for each answer, in microseconds.
    pub fn vcpu_us_per_request(&self) -> f64 {
        self.cpu.vcpu / self.load.answered as f64 * 1e6
    }
}

/// Keep-alive load after a warm-up of a quarter of `length`.
pub fn load(guest: &Guest, machine: MachineType, connections: usize, length: Duration) -> Result<LoadCost> {
    let vm = Vm::start(guest, machine, None)?;
    vm.ready()?;
    load::run(vm.port, connections, length / 4)?;
    let before = vm.cpu();
    let load = load::run(vm.port, connections, length)?;
    let after = vm.cpu();
    let cpu = CpuSeconds { all: after.all - before.all, vcpu: after.vcpu - before.vcpu };
    Ok(LoadCost { load, cpu })
}

/// The smallest memory, in MiB, with which the guest serves, tried upwards from 2 to `largest`.
pub fn smallest_memory(guest: &Guest, machine: MachineType, largest: u64) -> Option<u64> {
    (2..=largest).find(|&memory_mib| {
        let guest = Guest { memory_mib, ..guest.clone() };
        serves(&guest, machine, |machine| machine).is_ok()
    })
}

/// Starts it on a machine that is changed first, and asks it for something; whether it answers.
pub fn serves(guest: &Guest, machine: MachineType, change: impl FnOnce(Machine) -> Machine) -> Result<()> {
    let vm = Vm::start_as(guest, machine, None, change)?.limit(Duration::from_secs(8));
    vm.ready()?;
    http::requests(vm.port, Style::KeepAlive, 20)?;
    http::requests(vm.port, Style::Close, 20)?;
    Ok(())
}
