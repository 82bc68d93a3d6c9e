//! `cargo xtask soak`: every machine with every QEMU, then the long version of the machine tests' request test.

use anyhow::Result;

use crate::{machines, run};

/// Requests of the whole run unless a number is given.
const REQUESTS: &str = "10000000";

pub(crate) fn soak(options: &[&str]) -> Result<()> {
    machines::machines(&[])?;
    let requests = options.first().copied().unwrap_or(REQUESTS);
    let mut command = run::cargo(
        "",
        &[
            "test",
            "--release",
            "-p",
            "toro-tests",
            "--",
            "--ignored",
            "--exact",
            "soak::nothing_is_lost",
            "--nocapture",
        ],
    );
    command.env("TORO_SOAK_REQUESTS", requests);
    run::check(&mut command)
}
