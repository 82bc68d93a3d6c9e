//! The trimmed Linux kernel: Debian's source, built with the configuration beside this file.
//!
//! Built once, and kept in the user's cache (`~/.cache/toro/linux`), under the configuration's hash: who changes that gets
//! another kernel.

use std::fs;
use std::hash::{DefaultHasher, Hasher};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use super::{find, run};

const CONFIGURATION: &str = include_str!("trimmed.config");
/// What building a kernel takes, as Debian's packages.
const TOOLS: [&str; 8] = ["gcc", "make", "flex", "bison", "bc", "libelf-dev", "libssl-dev", "xz-utils"];

/// The kernel, built if it has to be.
pub(super) fn kernel() -> Result<PathBuf> {
    let folder = cache()?.join("linux");
    let mut hasher = DefaultHasher::new();
    hasher.write(CONFIGURATION.as_bytes());
    let kernel = folder.join(format!("vmlinux-{:016x}", hasher.finish()));
    if !kernel.exists() {
        build(&folder, &kernel)
            .context("cannot build the trimmed Linux kernel; `--without linux-trimmed` leaves it out")?;
    }
    Ok(kernel)
}

fn cache() -> Result<PathBuf> {
    let set = |name| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let base = set("XDG_CACHE_HOME").or_else(|| Some(set("HOME")?.join(".cache")));
    Ok(base.context("there is no cache folder: set HOME")?.join("toro"))
}

fn build(folder: &Path, kernel: &Path) -> Result<()> {
    fs::create_dir_all(folder)?;
    install_tools()?;
    let tree = folder.join("source");
    if !tree.join("Makefile").exists() {
        unpack(folder, &tree)?;
    }
    let configuration = folder.join("trimmed.config");
    fs::write(&configuration, CONFIGURATION)?;
    let make = |arguments: &[&str]| {
        let mut command = Command::new("make");
        command.current_dir(&tree).args(arguments).env("KCONFIG_ALLCONFIG", &configuration);
        command
    };
    run(&mut make(&["allnoconfig"]))?;
    check_applied(&fs::read_to_string(tree.join(".config"))?)?;
    let jobs = std::thread::available_parallelism().map_or(2, std::num::NonZero::get);
    eprintln!("building Linux with {jobs} jobs, once: this takes minutes");
    run(&mut make(&["-j", &jobs.to_string(), "vmlinux"]))?;
    // Without what only a debugger reads; QEMU copies the whole file.
    let aside = kernel.with_extension("new");
    run(Command::new("strip").arg("-o").arg(&aside).arg(tree.join("vmlinux")))?;
    fs::rename(aside, kernel)?;
    // More than a gigabyte, which nobody wants to keep for one file.
    fs::remove_dir_all(&tree)?;
    Ok(())
}

/// What kbuild does not know, or cannot have, it drops without a word.
fn check_applied(applied: &str) -> Result<()> {
    let wanted = CONFIGURATION.lines().filter(|line| line.starts_with("CONFIG_"));
    let missing: Vec<&str> = wanted.filter(|line| !applied.lines().any(|there| there == *line)).collect();
    if !missing.is_empty() {
        bail!("this source does not take {}", missing.join(", "));
    }
    Ok(())
}

fn install_tools() -> Result<()> {
    let is_missing = |tool: &&&str| {
        let status = Command::new("dpkg-query").args(["-W", "-f", "${Status}", tool]).output();
        !status.is_ok_and(|output| output.stdout.ends_with(b"ok installed"))
    };
    let missing: Vec<&str> = TOOLS.iter().filter(is_missing).copied().collect();
    if missing.is_empty() {
        return Ok(());
    }
    eprintln!("installing {}", missing.join(" "));
    let mut install = Command::new("apt-get");
    install.args(["install", "-y", "-q", "--no-install-recommends"]).args(&missing);
    let by_hand = || format!("install them by hand: sudo apt-get install {}", missing.join(" "));
    run(install.env("DEBIAN_FRONTEND", "noninteractive")).map(drop).with_context(by_hand)
}

fn unpack(folder: &Path, tree: &Path) -> Result<()> {
    let depends = run(Command::new("apt-cache").args(["depends", "linux-source"]))?;
    let name = depends.lines().find_map(|line| line.trim().strip_prefix("Depends: "));
    let name = name.context("apt-cache knows no linux-source")?;
    eprintln!("downloading {name}");
    run(Command::new("apt-get").args(["download", name]).current_dir(folder))?;
    let package = folder.join("package");
    run(Command::new("dpkg-deb").arg("-x").args([&find(folder, name)?, &package]))?;
    let archive = find(&package.join("usr/src"), "linux-source")?;
    fs::create_dir_all(tree)?;
    run(Command::new("tar").arg("-xf").arg(&archive).args(["--strip-components=1", "-C"]).arg(tree))?;
    fs::remove_dir_all(&package)?;
    Ok(fs::remove_file(find(folder, name)?)?)
}
