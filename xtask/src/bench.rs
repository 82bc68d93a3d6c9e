//! `cargo xtask bench`: hands over to the benchmarks' own program, built for speed.

use std::process::Stdio;

use anyhow::{Context, Result, bail};

use crate::{packages, run};

pub(crate) fn bench(options: &[&str]) -> Result<()> {
    if !options.is_empty() {
        packages::ensure_qemu()?;
    }
    run::check(&mut benches(&["--release"], options))
}

/// The check of the counts, for which a build without optimisation will do: counts do not depend on the client's speed.
pub(crate) fn check_counts() -> Result<()> {
    run::check(&mut benches(&[], &["quick", "--counts", "--check"]))
}

/// The shortest runs of the studies that need no Linux kernel: that they work, and no figure.
pub(crate) fn smoke() -> Result<()> {
    let without = ["--smoke", "--without", "linux-trimmed", "--without", "linux-cloud"];
    for study in ["idle", "cpu-usage", "footprint", "connections", "churn", "flood", "loss", "wake"] {
        run::check(&mut benches(&[], &[&[study], &without[..]].concat()))?;
    }
    without_figure(&without)
}

/// A study whose guests cannot be started says so of each, has no figure, and fails.
fn without_figure(without: &[&str]) -> Result<()> {
    let mut command = benches(&[], &[&["footprint", "--accel", "tcg"], without].concat());
    let output = command.env("TORO_QEMU", "false").stderr(Stdio::null()).output().context("cannot run the benches")?;
    let said = String::from_utf8_lossy(&output.stdout);
    let is_said =
        ["toro", "toro-linux", "empty"].iter().all(|guest| said.contains(&format!("{guest}, memory: no figure:")));
    let row = said.lines().find(|line| line.starts_with("toro ")).unwrap_or_default();
    let has_figure = row.contains(|c: char| c.is_ascii_digit());
    if output.status.code() != Some(1) || !is_said || has_figure {
        bail!("a study whose guests do not start ends with {} and says:\n{said}", output.status);
    }
    Ok(())
}

fn benches(profile: &[&str], options: &[&str]) -> std::process::Command {
    let program = ["-p", "toro-benches", "--bin", "toro-benches", "--"];
    run::cargo("", &[&["run", "--quiet"], profile, &program, options].concat())
}
