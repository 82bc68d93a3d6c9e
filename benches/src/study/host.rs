//! The host that a study ran on.

use std::fs;
use std::process::Command;

use anyhow::{Context, Result};
use serde::Serialize;

use super::Options;
use toro_vmm::qemu;

/// What whoever reads a figure must know of the machine.
#[derive(Clone, Debug, Serialize)]
pub struct Host {
    /// The processor's name.
    pub processor: String,
    /// How many there are.
    pub processors: usize,
    /// Memory, MiB.
    pub memory_mib: u64,
    /// The hypervisor that this host is itself a guest of, if any.
    pub hypervisor: Option<String>,
    /// Its kernel.
    pub kernel: String,
    /// QEMU, as it calls itself.
    pub qemu: String,
    /// What executed the guests.
    pub accelerator: &'static str,
    /// Processes that wanted to run, on average, in the minute before the study.
    pub load: f64,
    /// The commit of these sources.
    pub commit: String,
    /// When, UTC.
    pub date: String,
}

impl Host {
    /// This host, now.
    pub fn look(options: &Options) -> Result<Host> {
        let cpuinfo = fs::read_to_string("/proc/cpuinfo")?;
        let field = |name: &str| {
            let line = cpuinfo.lines().find(|line| line.starts_with(name))?;
            line.split(':').nth(1).map(|value| value.trim().to_owned())
        };
        let meminfo = fs::read_to_string("/proc/meminfo")?;
        let memory_kib = meminfo.split_whitespace().nth(1).and_then(|kib| kib.parse::<u64>().ok());
        let output = |program: &std::path::Path, arguments: &[&str]| {
            let output = Command::new(program).args(arguments).output().ok()?;
            let text = String::from_utf8_lossy(&output.stdout).into_owned();
            output.status.success().then(|| text.lines().next().unwrap_or_default().trim().to_owned())
        };
        let root = crate::artifact::root();
        let root = root.to_string_lossy();
        Ok(Host {
            processor: field("model name").unwrap_or_else(|| "unknown".to_owned()),
            processors: std::thread::available_parallelism().map_or(1, std::num::NonZero::get),
            memory_mib: memory_kib.context("no memory in /proc/meminfo")? >> 10,
            hypervisor: output("systemd-detect-virt".as_ref(), &["--vm"]).or_else(|| {
                let flags = field("flags")?;
                flags.split(' ').any(|flag| flag == "hypervisor").then(|| "unnamed".to_owned())
            }),
            kernel: fs::read_to_string("/proc/sys/kernel/osrelease")?.trim().to_owned(),
            qemu: output(&qemu::program(None), &["--version"]).unwrap_or_else(|| "unknown".to_owned()),
            accelerator: options.accelerator.name(),
            load: load()?,
            commit: output("git".as_ref(), &["-C", &root, "describe", "--always", "--dirty"])
                .unwrap_or_else(|| "unknown".to_owned()),
            date: output("date".as_ref(), &["-u", "+%Y-%m-%d %H:%M"]).unwrap_or_else(|| "unknown".to_owned()),
        })
    }

    /// In one line, for the foot of a picture.
    pub fn line(&self) -> String {
        let Host { processor, processors, qemu, accelerator, date, commit, .. } = self;
        let qemu = qemu.strip_prefix("QEMU emulator version ").unwrap_or(qemu);
        let qemu = qemu.split(' ').next().unwrap_or(qemu);
        format!("{processors} x {processor}, QEMU {qemu} ({accelerator}), {commit}, {date} UTC")
    }
}

fn load() -> Result<f64> {
    let text = fs::read_to_string("/proc/loadavg")?;
    text.split(' ').next().and_then(|load| load.parse().ok()).context("no load in /proc/loadavg")
}
