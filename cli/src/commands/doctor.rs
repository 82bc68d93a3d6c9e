//! `toro doctor`: what this machine has for building and running images, line by line.

use crate::ui::Page;
use std::path::Path;
use std::process::{Command, Stdio};
use toro_abi::outcome::status;
use toro_vmm::image::TARGET;
use toro_vmm::{Accelerator, Error, probe, qemu};

/// The oldest Rust that builds images.
const RUST_MIN: (u64, u64) = (1, 95);

/// Checks everything, and fails when something that is needed is missing.
pub(crate) fn doctor() -> Result<u8, Error> {
    let program = qemu::program(None);
    let qemu = check_qemu(&program);
    let has_qemu = qemu.is_ok();
    let mut needed = vec![("cargo", check_rust("cargo")), ("rustc", check_rust("rustc"))];
    needed.push(("linker", check_linker()));
    needed.push(("qemu", qemu));
    if has_qemu {
        needed.push(("user network", check_user_network(&program)));
    }
    let mut optional = Vec::new();
    if has_qemu {
        optional.push(("kvm", check_kvm(&program)));
    }
    optional.push(("tap", check_tap()));

    let mut page = Page::default();
    let mut is_well = true;
    for (what, result) in &needed {
        is_well &= result.is_ok();
        tell(&mut page, "fail", what, result);
    }
    for (what, result) in &optional {
        tell(&mut page, "slow", what, result);
    }
    page.print()?;
    Ok(if is_well { 0 } else { status::TOOL })
}

fn tell(page: &mut Page, bad: &str, what: &str, result: &Result<String, Error>) {
    match result {
        Ok(fact) => page.line(format_args!("  ok {what}: {fact}")),
        Err(error) => {
            page.line(format_args!("{} {what}: {}", if what == "tap" { "  no" } else { bad }, error.message()));
            if let Some(cure) = error.cure() {
                page.line(format_args!("     help: {cure}"));
            }
        }
    }
}

fn output(program: &Path, arguments: &[&str]) -> Result<String, Error> {
    let output = Command::new(program).args(arguments).stdin(Stdio::null()).output();
    let output = output.map_err(|error| Error::new(format!("cannot start {}: {error}", program.display())))?;
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

fn check_rust(tool: &str) -> Result<String, Error> {
    let cure = "install Rust from https://rustup.rs, or `rustup update stable`";
    let text = output(Path::new(tool), &["--version"]).map_err(|error| error.help(cure))?;
    let mut numbers = text.split(|c: char| !c.is_ascii_digit()).filter_map(|word| word.parse::<u64>().ok());
    let version = (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0));
    if version < RUST_MIN {
        return Err(Error::new(format!("{text}: 1.95 or later is needed")).help(cure));
    }
    Ok(text)
}

/// The linker and the standard library for the target come with rustup's toolchains, not with every distribution's.
fn check_linker() -> Result<String, Error> {
    let sysroot = output(Path::new("rustc"), &["--print", "sysroot"])?;
    let host = output(Path::new("rustc"), &["--print", "host-tuple"])?;
    let below = |target: &str, file: &str| Path::new(&sysroot).join("lib/rustlib").join(target).join(file);
    if !below(TARGET, "lib").is_dir() {
        return Err(
            Error::new(format!("there is no core library for {TARGET}")).help(format!("rustup target add {TARGET}"))
        );
    }
    let linker = below(&host, "bin/rust-lld");
    if !linker.is_file() {
        return Err(Error::new(format!("{} is missing", linker.display()))
            .help("use a toolchain from https://rustup.rs: it brings its own linker"));
    }
    Ok(linker.display().to_string())
}

fn check_qemu(program: &Path) -> Result<String, Error> {
    let version = qemu::version(program)?;
    qemu::check_version(program, version)?;
    let note = qemu::untried(version).map(|note| format!(" (note: {note})")).unwrap_or_default();
    Ok(format!("{} is version {}.{}{note}", program.display(), version.0, version.1))
}

fn check_user_network(program: &Path) -> Result<String, Error> {
    let backends = output(program, &["-netdev", "help"])?;
    if backends.lines().any(|line| line.trim() == "user") {
        return Ok("built into QEMU".into());
    }
    Err(Error::new("this QEMU was built without it").help("install one with slirp, or use --net tap:NAME"))
}

fn check_kvm(program: &Path) -> Result<String, Error> {
    let choice = probe::choose(program)?;
    match (choice.accelerator, choice.reason) {
        (Accelerator::Kvm, _) => Ok("works".into()),
        (_, Some(reason)) => Err(reason),
        (_, None) => Err(Error::new("not used")),
    }
}

fn check_tap() -> Result<String, Error> {
    let device = std::fs::OpenOptions::new().read(true).write(true).open("/dev/net/tun");
    let cure = "only --net tap:NAME needs it: sudo ip tuntap add tap0 mode tap user $USER";
    device
        .map(|_| "/dev/net/tun can be opened".into())
        .map_err(|error| Error::new(format!("/dev/net/tun: {error}")).help(cure))
}
