//! `cargo xtask bench`: hands over to the benchmarks' own program, built for speed.

use anyhow::Result;

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

fn benches(profile: &[&str], options: &[&str]) -> std::process::Command {
    let program = ["-p", "toro-benches", "--bin", "toro-benches", "--"];
    run::cargo("", &[&["run", "--quiet"], profile, &program, options].concat())
}
