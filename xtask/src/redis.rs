//! A static redis-server, built from Debian's sources: a large program that nobody wrote for Toro. The tests run it, the
//! benchmarks measure it, where it is.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::{debian, run};

const SOURCES: &str = "\
deb-src [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] http://deb.debian.org/debian bookworm main
";
/// What is built; `redis-benchmark` and `redis-cli` are for the host's side.
const PROGRAMS: [&str; 3] = ["redis-server", "redis-benchmark", "redis-cli"];

/// Builds it, unless it is there, into the user's cache: `~/.cache/toro/redis`.
pub(crate) fn ensure() -> Result<PathBuf> {
    let folder = debian::cache()?.join("redis");
    if PROGRAMS.iter().all(|program| folder.join(program).exists()) {
        return Ok(folder);
    }
    let archive = debian::source("redis", SOURCES, "redis")?;
    println!("building redis in {}", folder.display());
    let sources = folder.join("source");
    std::fs::create_dir_all(&sources).with_context(|| sources.display().to_string())?;
    run::check(Command::new("tar").arg("-xf").arg(&archive).args(["--strip-components=1", "-C"]).arg(&sources))?;
    build(&sources)?;
    for program in PROGRAMS {
        let built = sources.join("src").join(program);
        std::fs::rename(&built, folder.join(program)).with_context(|| built.display().to_string())?;
    }
    std::fs::remove_dir_all(&sources).with_context(|| sources.display().to_string())?;
    Ok(folder)
}

fn build(sources: &Path) -> Result<()> {
    let mut make = Command::new("make");
    make.current_dir(sources.join("src"));
    make.args(["-s", "-j2", "MALLOC=libc", "USE_SYSTEMD=no", "BUILD_TLS=no", "LDFLAGS=-static", "WARN=-w"])
        .args(PROGRAMS);
    let output = make.output().context("cannot start make")?;
    if !output.status.success() {
        bail!("make failed:\n{}", String::from_utf8_lossy(&output.stderr));
    }
    Ok(())
}
