//! `cargo xtask soft-float`: boots an image that computes without SSE, by KVM, where KVM emulates ring 0.
//!
//! Such a host executes the guest's kernel instruction by instruction and knows no SSE, so ordinary images cannot boot
//! there. This one is the same source built for `x86_64-unknown-none`, whose library stock toolchains do not bring:
//! Debian's compiler for web browsers builds it. A check by hand, on hosts like that; never a part of the tests.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::debian;
use crate::run::{self, cargo};

const TARGET: &str = "x86_64-unknown-none";
/// Machines without SeaBIOS, which takes 15 s when it is emulated.
const MACHINES: [(&str, &[&str]); 5] = [
    ("microvm", &[]),
    ("microvm,acpi=off,pic=off,pit=off,rtc=off", &[]),
    ("microvm,pcie=on", &[]),
    ("q35", &["-bios", "qboot.rom"]),
    ("pc", &["-bios", "qboot.rom"]),
];
/// What boots, and what it says on that many processors.
const GUESTS: [(&str, &str); 2] = [("hello", "Hello, world, from Toro\n"), ("machine", " cores run\n")];

pub(crate) fn soft_float() -> Result<()> {
    let packages = ["rustc-web", "rust-web-src", "libstd-rust-web-dev"];
    let compiler = debian::unpacked("rustc-web", None, &packages, &["libstd-rust-web", "libllvm"])?;
    build(&compiler)?;
    let folder = target_folder().join(TARGET).join("release");
    for (machine, arguments) in MACHINES {
        for cores in [1, 4] {
            for (guest, said) in GUESTS {
                boot(&folder.join(guest), said, machine, arguments, cores)?;
            }
        }
    }
    Ok(())
}

/// Where cargo puts it; apart from what other checks build.
fn target_folder() -> PathBuf {
    let set = std::env::var_os("CARGO_TARGET_DIR").map(PathBuf::from);
    set.unwrap_or_else(|| run::root().join("guest/target")).join("soft-float")
}

fn build(compiler: &Path) -> Result<()> {
    let mut command = cargo("guest", &["build", "--quiet", "--release", "--target", TARGET]);
    command.args(GUESTS.iter().flat_map(|(guest, _)| ["--bin", guest]));
    command.args(["-Zbuild-std=core,alloc", "--config", "profile.release.panic=\"abort\""]);
    command.env("RUSTC", compiler.join("usr/bin/rustc"));
    command.env("LD_LIBRARY_PATH", compiler.join("usr/lib/x86_64-linux-gnu"));
    command.env("RUSTC_BOOTSTRAP", "1");
    command.env("CARGO_ENCODED_RUSTFLAGS", flags()?.join("\x1f"));
    command.env("CARGO_TARGET_DIR", target_folder());
    run::check(&mut command)
}

/// The flags of every image, with the stock toolchain's linker, which the other does not bring.
fn flags() -> Result<Vec<String>> {
    let output = Command::new("rustc").args(["--print", "sysroot"]).output().context("cannot run rustc")?;
    let sysroot = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    let linker = format!("{sysroot}/lib/rustlib/x86_64-unknown-linux-gnu/bin/rust-lld");
    let file = run::root().join("guest/.cargo/config.toml");
    let text = std::fs::read_to_string(&file).with_context(|| file.display().to_string())?;
    let rustflags = text.split("rustflags = [").nth(1).and_then(|rest| rest.split(']').next());
    let rustflags = rustflags.with_context(|| format!("{}: no rustflags", file.display()))?;
    let words = rustflags.split('"').skip(1).step_by(2);
    Ok(words.map(|flag| flag.replace("-Clinker=rust-lld", &format!("-Clinker={linker}"))).collect())
}

fn boot(image: &Path, said: &str, machine: &str, arguments: &[&str], cores: u32) -> Result<()> {
    let mut command = Command::new("timeout");
    command.args(["60", "qemu-system-x86_64", "-nodefaults", "-no-user-config", "-display", "none", "-no-reboot"]);
    command.args(["-accel", "kvm", "-cpu", "host", "-m", "64M", "-serial", "stdio", "-machine", machine]);
    command.args(["-smp", &cores.to_string()]).args(arguments).arg("-kernel").arg(image).args(["-append", "log=info"]);
    let output = command.output().context("cannot run QEMU")?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let Some(line) = text.replace('\r', "").lines().map(|line| format!("{line}\n")).find(|line| line.ends_with(said))
    else {
        bail!("{}: {}\n{text}\n{}", run::show(&command), output.status, String::from_utf8_lossy(&output.stderr));
    };
    println!("{machine}, {cores} vCPUs: {}", line.trim_end());
    Ok(())
}
