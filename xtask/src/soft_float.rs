//! `cargo xtask soft-float`: boots an image that computes without SSE, by KVM, where KVM emulates ring 0.
//!
//! Such a host executes the guest's kernel instruction by instruction and knows no SSE, so ordinary images cannot boot
//! there. This one is the same source built for `x86_64-unknown-none`, whose library stock toolchains do not bring:
//! Debian's compiler for web browsers builds it. A check by hand, on hosts like that; never a part of the tests.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

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
const GUESTS: [(&str, &str); 2] = [("hello", "Hello, world, from Toro"), ("machine", " cores run")];
/// Network cards by lines and by messages.
const CARDS: [(&str, &str); 2] =
    [("microvm", "virtio-net-device,netdev=net"), ("microvm,pcie=on", "virtio-net-pci,romfile=,netdev=net")];
/// Longest wait for a page.
const LIMIT: Duration = Duration::from_secs(60);

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
    for (machine, card) in CARDS {
        serve(&folder.join("http_server"), machine, card)?;
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
    command.args(GUESTS.iter().flat_map(|(guest, _)| ["--bin", guest])).args(["--bin", "http_server"]);
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

/// The command that boots `image`, behind `words` that come before QEMU's name.
fn qemu(words: &[&str], image: &Path, machine: &str, cores: u32) -> Command {
    let words = [words, &["qemu-system-x86_64", "-nodefaults", "-no-user-config", "-display", "none"]].concat();
    let mut command = Command::new(words[0]);
    command.args(&words[1..]).arg("-no-reboot");
    command.args(["-accel", "kvm", "-cpu", "host", "-m", "64M", "-serial", "stdio", "-machine", machine]);
    command.args(["-global", "virtio-mmio.force-legacy=false", "-smp", &cores.to_string()]);
    command.arg("-kernel").arg(image);
    command
}

fn boot(image: &Path, said: &str, machine: &str, arguments: &[&str], cores: u32) -> Result<()> {
    let mut command = qemu(&["timeout", "60"], image, machine, cores);
    command.args(arguments);
    let output = command.output().context("cannot run QEMU")?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let Some(line) = text.lines().find(|line| line.ends_with(said)) else {
        bail!("{}: {}\n{text}\n{}", run::show(&command), output.status, String::from_utf8_lossy(&output.stderr));
    };
    println!("{machine}, {cores} vCPUs: {line}");
    Ok(())
}

/// Fetches a page from the web server, on two cores.
fn serve(image: &Path, machine: &str, card: &str) -> Result<()> {
    let address = TcpListener::bind("127.0.0.1:0")?.local_addr()?;
    let mut command = qemu(&[], image, machine, 2);
    command.args(["-netdev", &format!("user,id=net,hostfwd=tcp:{address}-:80"), "-device", card]);
    let mut guest =
        command.args(["-append", "ip=10.0.2.15/24"]).stdout(Stdio::null()).spawn().context("cannot run QEMU")?;
    let page = fetch(address, &mut guest);
    // It has served, or has ended by itself; either way it is of no more use.
    guest.kill().and_then(|()| guest.wait()).with_context(|| run::show(&command))?;
    let page = page.with_context(|| run::show(&command))?;
    let status = page.lines().next().unwrap_or_default().to_owned();
    if !status.ends_with("200 OK") {
        bail!("{}: {status}", run::show(&command));
    }
    println!("{machine}, 2 vCPUs, {card}: {status}");
    Ok(())
}

/// Asks until the guest listens; QEMU itself takes every connection, and ends those that lead nowhere.
fn fetch(address: SocketAddr, guest: &mut Child) -> Result<String> {
    let end = Instant::now() + LIMIT;
    while Instant::now() < end {
        let mut answer = String::new();
        if let Ok(mut stream) = TcpStream::connect(address) {
            stream.set_read_timeout(Some(LIMIT))?;
            let request = stream.write_all(b"GET / HTTP/1.1\r\nHost: guest\r\nConnection: close\r\n\r\n");
            let read = request.and_then(|()| stream.read_to_string(&mut answer));
            if read.is_ok() && !answer.is_empty() {
                return Ok(answer);
            }
        }
        if let Some(status) = guest.try_wait()? {
            bail!("the guest has ended: {status}");
        }
    }
    bail!("the guest does not serve");
}
