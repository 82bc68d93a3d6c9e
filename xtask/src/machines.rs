//! `cargo xtask machines`: the matrix of machines, by the QEMU that is installed and by QEMU 10.
//!
//! Debian 12 brings QEMU 7.2, and version 10 among its backports. `TORO_QEMU` names the one that tests use.

use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use anyhow::{Context, Result};

use crate::{debian, run};

const BACKPORTS: &str = "\
deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] http://deb.debian.org/debian bookworm-backports main
";
const PACKAGES: [&str; 3] = ["qemu-system-x86", "qemu-system-data", "seabios"];
/// Started with its own firmware, not the system's.
const PROGRAM: &str = r#"#!/bin/sh
root=$(dirname "$(readlink -f "$0")")/usr
exec "$root/bin/qemu-system-x86_64" -L "$root/share/qemu" -L "$root/share/seabios" "$@"
"#;

pub(crate) fn machines(options: &[&str]) -> Result<()> {
    let tests = if options.is_empty() { &["machines::", "boot::", "linux_entry::"] } else { options };
    let test = |program: Option<PathBuf>| {
        let arguments = ["test", "-q", "-p", "toro-tests", "--", "--nocapture"];
        let mut command = run::cargo("", &[&arguments, tests].concat());
        command.envs(program.map(|program| ("TORO_QEMU", program)));
        run::check(&mut command)
    };
    test(None)?;
    match newer() {
        Ok(program) => {
            println!("again, with {}", program.display());
            test(Some(program))
        }
        Err(error) => {
            println!("skipped: QEMU 10: {error:#}");
            Ok(())
        }
    }
}

/// QEMU 10, fetched when it is not there yet.
fn newer() -> Result<PathBuf> {
    let root = debian::unpacked("qemu-10", Some(BACKPORTS), &PACKAGES, &[])?;
    let program = root.join("qemu-system-x86_64");
    std::fs::write(&program, PROGRAM).with_context(|| program.display().to_string())?;
    std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755))?;
    Ok(program)
}
