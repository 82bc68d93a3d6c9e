//! What single operations cost: the test guest `costs`, and the Linux program of that name, print nanoseconds, and under
//! `-icount` one is one instruction.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use toro_vmm::{Accelerator, Image, Machine, MachineType, Network};

use crate::vm::{Guest, Kind};
use crate::{artifact, linux};

/// Instructions of each operation by its name, of all cores together.
pub struct Costs(BTreeMap<String, f64>);

/// Longest wait for the guest, on a busy host.
const LIMIT: Duration = Duration::from_secs(120);

impl Costs {
    /// Runs the guest on two cores, which QEMU executes in turn.
    pub fn take() -> Result<Costs> {
        let machine =
            Machine::new(image("costs")?).accelerator(Accelerator::Tcg).network(Network::None).memory(64 << 20);
        Costs::told_by(machine.cpus(2))
    }

    /// Runs the Linux program on one core.
    pub fn take_linux() -> Result<Costs> {
        let image = linux::personality("costs")?;
        let kind = Kind::ToroLinux { program: linux::costs()?, arguments: Vec::new() };
        Costs::told_by(Guest { kind, ..Guest::ours(image, false) }.machine(MachineType::Microvm)?)
    }

    fn told_by(machine: Machine) -> Result<Costs> {
        let machine = machine.raw_cmdline("tsc_khz=1000000").vmm_arguments(["-icount", "shift=0,sleep=off"]);
        let exit = machine.start().map_err(|error| anyhow::anyhow!("{error}"))?.wait(LIMIT);
        ensure!(exit.status() == 0, "the guest `costs` ended with status {}: {}", exit.status(), exit.log_text());
        let text = exit.stdout_text();
        let line = |line: &str| {
            let (name, count) = line.rsplit_once(": ")?;
            Some((name.to_owned(), count.parse().ok()?))
        };
        Ok(Costs(text.lines().filter_map(line).collect()))
    }

    /// What this operation costs.
    pub fn of(&self, name: &str) -> Result<f64> {
        self.0.get(name).copied().with_context(|| format!("the guest `costs` does not measure {name:?}"))
    }
}

/// A guest of the tests, built as what ships.
pub fn image(name: &str) -> Result<Image> {
    let folder = artifact::root().join("guest");
    let path = artifact::build(&folder, &["--quiet", "-p", "toro-test-guests", "--bin", name], None, name)?;
    Image::open(path).map_err(|error| anyhow::anyhow!("{error}"))
}
