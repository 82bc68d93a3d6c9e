//! Builds with cargo what a measurement runs, and finds the result.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

/// The repository's root.
pub fn root() -> PathBuf {
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR"));
    manifest.parent().unwrap_or(manifest).to_owned()
}

/// Runs `cargo build --release` in `directory` and returns the file whose name is `file`.
///
/// The host's and the guest's workspace differ in target and linker, so what cargo exported to us for
/// the one must not leak into the other.
pub fn build(directory: &Path, arguments: &[&str], rustflags: Option<&str>, file: &str) -> Result<PathBuf> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    command.current_dir(directory).args(["build", "--release", "--message-format=json-render-diagnostics"]);
    command.args(arguments).stderr(Stdio::inherit());
    for (name, _) in std::env::vars_os() {
        let text = name.to_string_lossy();
        if text.starts_with("CARGO_PKG_") || text.starts_with("CARGO_MANIFEST") || text == "RUSTFLAGS" {
            command.env_remove(name);
        }
    }
    if let Some(flags) = rustflags {
        command.env("RUSTFLAGS", flags);
    }
    let output = command.output().context("cannot run cargo")?;
    if !output.status.success() {
        bail!("cargo build {} failed in {}", arguments.join(" "), directory.display());
    }
    String::from_utf8_lossy(&output.stdout)
        .lines()
        .filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok())
        .flat_map(|message| message["filenames"].as_array().cloned().unwrap_or_default())
        .filter_map(|name| name.as_str().map(PathBuf::from))
        .find(|path| path.file_name().is_some_and(|name| name == file))
        .with_context(|| format!("cargo build {} made no {file}", arguments.join(" ")))
}

/// The counter plugin.
pub fn plugin() -> Result<PathBuf> {
    build(&root(), &["--quiet", "-p", "toro-counter"], None, "libtoro_counter.so")
}
