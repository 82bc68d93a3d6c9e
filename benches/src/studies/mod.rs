//! The studies, one file each.

pub mod all;
pub mod boot;
pub mod bulk;
pub mod churn;
pub mod connections;
pub mod cpu_usage;
pub mod density;
mod energy;
pub mod flood;
pub mod footprint;
pub mod idle;
pub mod loss;
pub mod redis;
pub mod request;
pub mod throughput;
pub mod wake;

use anyhow::{Result, bail};

use crate::linux::{self, Kernel};
use crate::private;
use crate::study::{Options, Who};

/// Their names.
pub const NAMES: [&str; 14] = [
    "cpu-usage",
    "idle",
    "boot",
    "request",
    "throughput",
    "bulk",
    "connections",
    "churn",
    "flood",
    "loss",
    "wake",
    "redis",
    "footprint",
    "density",
];

/// Runs one and tells what came of it. Whether all could be measured.
pub fn run(name: &str, options: &Options) -> Result<bool> {
    match name {
        "cpu-usage" => cpu_usage::run(options)?.tell(options, cpu_usage::draw),
        "idle" => idle::run(options)?.tell(options, idle::draw),
        "boot" => boot::run(options)?.tell(options, boot::draw),
        "request" => request::run(options)?.tell(options, request::draw),
        "throughput" => in_private(options, || throughput::run(options)?.tell(options, throughput::draw)),
        "redis" => in_private(options, || redis::run(options)?.tell(options, redis::draw)),
        "connections" => alone(options, || connections::run(options)?.tell(options, connections::draw)),
        "churn" => alone(options, || churn::run(options)?.tell(options, churn::draw)),
        "flood" => alone(options, || flood::run(options)?.tell(options, flood::draw)),
        "loss" => alone(options, || loss::run(options)?.tell(options, loss::draw)),
        "wake" => alone(options, || wake::run(options)?.tell(options, wake::draw)),
        "bulk" => bulk::run(options)?.tell(options, bulk::draw),
        "footprint" => footprint::run(options)?.tell(options, footprint::draw),
        "density" => density::run(options)?.tell(options, density::draw),
        _ => bail!("there is no study {name}: there are {}", NAMES.join(", ")),
    }
}

/// Runs a study that has to have a network of its own; where there can be none, it is left out, which is said, and nothing was
/// measured.
fn alone(options: &Options, study: impl FnOnce() -> Result<bool>) -> Result<bool> {
    let left_out = || {
        eprintln!("note: so this study is left out");
        Ok(options.smoke)
    };
    inside(options, study, |_| left_out())
}

/// Runs a study in a network of its own; where there can be none, in QEMU's.
fn in_private(options: &Options, study: impl FnOnce() -> Result<bool>) -> Result<bool> {
    inside(options, study, |study| {
        eprintln!("note: so QEMU's is used");
        study()
    })
}

/// Runs a study in a network of its own, by running this program once more; `otherwise`, where there can be none.
fn inside<S: FnOnce() -> Result<bool>>(
    options: &Options,
    study: S,
    otherwise: impl FnOnce(S) -> Result<bool>,
) -> Result<bool> {
    if private::is_inside() {
        private::set_up()?;
        return study();
    }
    // What must be downloaded is downloaded here, where there is a network.
    for (who, kernel) in [(Who::LinuxCloud, Kernel::Cloud), (Who::LinuxTrimmed, Kernel::Trimmed)] {
        if !options.without.contains(&who) {
            linux::guest(&kernel, options.machine)?;
        }
    }
    if let Some(status) = private::run_inside()? {
        return Ok(status.success());
    }
    otherwise(study)
}
