//! `cargo xtask bench`: hands over to the benchmarks' own program, built for speed.

use anyhow::Result;

use crate::{packages, run};

pub(crate) fn bench(options: &[&str]) -> Result<()> {
    if !options.is_empty() {
        packages::ensure_qemu()?;
    }
    run::check(&mut benches(options))
}

/// The command that runs the benchmarks with `options`.
pub(crate) fn benches(options: &[&str]) -> std::process::Command {
    let mut command =
        run::cargo("", &["run", "--quiet", "--release", "-p", "toro-benches", "--bin", "toro-benches", "--"]);
    command.args(options);
    command
}
