//! Builds the Linux personality for `src/linux.rs` to embed, so that whoever runs Linux programs compiles no kernel: in the
//! guest's workspace, by its own configuration, with the profile of this build.

use std::path::{Path, PathBuf};
use std::process::Command;

const TARGET: &str = "x86_64-unknown-linux-gnu";
/// What the image is made of, from the root of the repository. The workspace's `target` is not among it.
const SOURCES: [&str; 8] = [
    "guest/.cargo/config.toml",
    "guest/Cargo.lock",
    "guest/Cargo.toml",
    "guest/api",
    "guest/kernel",
    "guest/linux",
    "crates",
    "vmm/build.rs",
];

fn main() {
    if std::env::var_os("CARGO_FEATURE_LINUX").is_none() {
        println!("cargo::rerun-if-changed=build.rs");
        return;
    }
    if let Err(why) = build() {
        println!("cargo::error={why}");
    }
}

fn build() -> Result<(), String> {
    let folder = |name: &str| std::env::var_os(name).map(PathBuf::from).ok_or(format!("cargo did not set {name}"));
    let (manifest, out) = (folder("CARGO_MANIFEST_DIR")?, folder("OUT_DIR")?);
    let root = manifest.parent().ok_or("this package is not in its repository")?;
    for source in SOURCES {
        println!("cargo::rerun-if-changed={}", root.join(source).display());
    }
    let is_release = std::env::var("PROFILE").is_ok_and(|profile| profile == "release");
    let (profile, subfolder) = if is_release { ("release", "release") } else { ("dev", "debug") };
    let guest = root.join("guest");
    let status = cargo(&guest, profile).status().map_err(|error| format!("cannot start cargo: {error}"))?;
    if !status.success() {
        return Err("cannot build the Linux personality (guest/linux); cargo says why above".into());
    }
    let image = guest.join("target").join(TARGET).join(subfolder).join("linux");
    std::fs::copy(&image, out.join("linux.elf"))
        .map_err(|error| format!("cannot copy {}: {error}", image.display()))?;
    Ok(())
}

/// Cargo in the guest's workspace, as if nothing was around it: what the cargo of this build has set is for this build.
fn cargo(guest: &Path, profile: &str) -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command
        .current_dir(guest)
        .args(["build", "--quiet", "--locked", "--package", "toro-linux", "--bin", "linux", "--target", TARGET])
        .args(["--profile", profile, "--target-dir", "target"]);
    for (name, _) in std::env::vars_os() {
        let text = name.to_string_lossy();
        let is_of_this_build =
            ["CARGO_", "RUSTFLAGS", "RUSTC_", "RUSTDOCFLAGS", "MAKEFLAGS", "DEP_", "OPT_LEVEL", "DEBUG"]
                .iter()
                .any(|prefix| text.starts_with(prefix));
        // What says where cargo keeps what it downloads, and by what way.
        let is_of_cargo = ["CARGO_HOME", "CARGO_NET_", "CARGO_HTTP_", "CARGO_REGISTRIES_", "CARGO_SOURCE_"]
            .iter()
            .any(|prefix| text.starts_with(prefix));
        if is_of_this_build && !is_of_cargo {
            command.env_remove(&name);
        }
    }
    command
}
