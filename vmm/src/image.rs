//! Images: built from a package by cargo, or taken as they are.

use crate::child;
use crate::elf;
use crate::error::Error;
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use toro_abi::cmdline::{self, CommandLine};
use toro_abi::outcome::status;

/// The one list of flags that an image is built with: the guest workspace's own configuration, and the template of `toro new`.
pub const CARGO_CONFIG: &str = include_str!("../../guest/.cargo/config.toml");

/// What images are built for.
pub const TARGET: &str = "x86_64-unknown-linux-gnu";

/// Packages that bring the kernel with them; the first is the one for applications.
const LIBRARIES: [&str; 2] = ["toro-unikernel", "toro-kernel"];

/// Something to boot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Image {
    /// The program's name: its first argument.
    pub name: String,
    /// What the VMM loads.
    pub boot: PathBuf,
    /// The same with symbols, for reports.
    pub symbols: PathBuf,
}

impl Image {
    /// An ELF that is already built. Symbols are taken from it, or from `FILE.debug` beside it.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, Error> {
        let path = path.as_ref();
        elf::read(path)?;
        let mut debug = path.as_os_str().to_owned();
        debug.push(".debug");
        let debug = PathBuf::from(debug);
        Ok(Self {
            name: path.file_stem().unwrap_or_default().to_string_lossy().into_owned(),
            boot: path.into(),
            symbols: if debug.exists() { debug } else { path.into() },
        })
    }

    /// Whether `toro build` gave it arguments, which others would replace.
    pub fn has_embedded_arguments(&self) -> bool {
        let Ok(bytes) = std::fs::read(&self.boot) else { return false };
        elf::embedded_cmdline(&bytes).is_ok_and(|text| CommandLine::new(text).all(cmdline::ARG).next().is_some())
    }
}

/// How an image is built.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Profile {
    /// What ships.
    #[default]
    Release,
    /// Quick to build, with checks.
    Dev,
}

impl Profile {
    const fn name(self) -> &'static str {
        match self {
            Self::Release => "release",
            Self::Dev => "dev",
        }
    }

    const fn folder(self) -> &'static str {
        match self {
            Self::Release => "release",
            Self::Dev => "debug",
        }
    }
}

/// A cargo package whose program becomes an image.
#[derive(Clone, Debug)]
pub struct Package {
    /// Its `Cargo.toml`.
    pub manifest: PathBuf,
    /// Its name.
    pub name: String,
    /// The program that is built.
    pub program: String,
    /// `[package.metadata.toro]`, or null.
    pub metadata: Value,
    /// Whether it names the library itself, and not another crate that does.
    names_library: bool,
    target_folder: PathBuf,
}

impl Package {
    /// Reads a package directory.
    pub fn open(folder: impl AsRef<Path>) -> Result<Self, Error> {
        let folder = folder.as_ref();
        let shown = folder.display().to_string();
        let manifest = folder.join("Cargo.toml");
        if !folder.exists() {
            return Err(Error::new(format!("cannot run {shown}: no such file or directory"))
                .help("give a package directory or an image; `toro new NAME` makes a package")
                .with_status(status::NOT_FOUND));
        }
        if !folder.is_dir() {
            return Err(Error::new(format!("cannot run {shown}: it is neither a file nor a folder"))
                .help("give a package directory or an image; `toro new NAME` makes a package")
                .with_status(status::NOT_RUNNABLE));
        }
        if !manifest.exists() {
            return Err(Error::new(format!("cannot run {shown}: it has no Cargo.toml"))
                .help("give a package directory or an image; `toro new NAME` makes a package")
                .with_status(status::NOT_RUNNABLE));
        }
        let manifest = manifest
            .canonicalize()
            .map_err(|error| Error::new(format!("cannot read {}: {error}", manifest.display())))?;
        let output = metadata(&manifest, &["--no-deps"])?;
        if !output.status.success() {
            let why = String::from_utf8_lossy(&output.stderr);
            let why = why.trim();
            let why = why.strip_prefix("error: ").unwrap_or(why);
            return Err(Error::new(format!("cannot read the package {shown}: {why}")).with_status(status::NOT_RUNNABLE));
        }
        let metadata: Value = serde_json::from_slice(&output.stdout)
            .map_err(|error| Error::new(format!("cannot read what cargo says of {shown}: {error}")))?;
        Self::choose(&metadata, manifest)
    }

    /// Finds the package and its program in what `cargo metadata` says.
    fn choose(metadata: &Value, manifest: PathBuf) -> Result<Self, Error> {
        let fail = |why: String| {
            Error::new(format!("cannot run {}: {why}", manifest.display())).with_status(status::NOT_RUNNABLE)
        };
        let package = package_of(metadata, &manifest).ok_or_else(|| {
            fail("it is a workspace without a package of its own".into()).help("name one of its packages")
        })?;
        let name = package["name"].as_str().unwrap_or_default().to_owned();
        let programs: Vec<String> = list(&package["targets"])
            .iter()
            .filter(|target| list(&target["kind"]).iter().any(|kind| kind == "bin"))
            .filter_map(|target| target["name"].as_str().map(str::to_owned))
            .collect();
        let program = match (package["default_run"].as_str(), programs.as_slice()) {
            (Some(program), _) => program.to_owned(),
            (None, [program]) => program.clone(),
            (None, []) => {
                return Err(fail("the package has no program".into()).help("add src/main.rs"));
            }
            (None, several) => {
                return Err(fail(format!("the package has several programs: {}", several.join(", ")))
                    .help(format!("write `default-run = \"{}\"` below [package]", several[0])));
            }
        };
        Ok(Self {
            manifest,
            name,
            program,
            metadata: package["metadata"]["toro"].clone(),
            names_library: list(&package["dependencies"])
                .iter()
                .any(|dependency| is_library(&dependency["name"]) && dependency["kind"].is_null()),
            target_folder: PathBuf::from(metadata["target_directory"].as_str().unwrap_or("target")),
        })
    }

    /// Where its image is, or will be.
    pub fn image(&self, profile: Profile) -> Image {
        let symbols = self.target_folder.join(TARGET).join(profile.folder()).join(&self.program);
        Image { name: self.program.clone(), boot: symbols.with_extension("boot.elf"), symbols }
    }

    /// Builds it, with cargo's messages on standard error.
    pub fn build(&self, profile: Profile) -> Result<Image, Error> {
        self.check_library()?;
        self.run_cargo(self.build_command(profile)?)?;
        let image = self.image(profile);
        let bytes = elf::read(&image.symbols)?;
        let stripped =
            elf::strip(&bytes).map_err(|why| Error::new(format!("cannot use {}: {why}", image.symbols.display())))?;
        write_if_changed(&image.boot, &stripped)?;
        Ok(image)
    }

    /// Whether its program is linked with the kernel; else it is a Linux program.
    ///
    /// # Errors
    /// When cargo cannot be started.
    pub fn is_native(&self) -> Result<bool, Error> {
        if self.names_library {
            return Ok(true);
        }
        let output = metadata(&self.manifest, &["--filter-platform", TARGET])?;
        // What cargo has to complain of, it tells best when it builds.
        let metadata = serde_json::from_slice(&output.stdout);
        Ok(metadata.map_or(true, |metadata| uses_library(&metadata, &self.manifest)))
    }

    /// Where its program is, or will be, as [`Self::build_program`] makes it.
    pub fn linux_program(&self) -> PathBuf {
        self.target_folder.join(TARGET).join(Profile::Release.folder()).join(&self.program)
    }

    /// Builds its program as a Linux program that needs no library, with cargo's messages on standard error.
    ///
    /// # Errors
    /// When cargo fails.
    pub fn build_program(&self) -> Result<PathBuf, Error> {
        let mut command = self.cargo_build(Profile::Release);
        // Beside the flags that the package has for this target.
        command.args(["--config", &format!("target.{TARGET}.rustflags=[\"-Ctarget-feature=+crt-static\"]")]);
        self.run_cargo(command)?;
        Ok(self.linux_program())
    }

    /// Fails for a package without a kernel, of which the linker would say much that helps nobody.
    fn check_library(&self) -> Result<(), Error> {
        if self.is_native()? {
            return Ok(());
        }
        let manifest = self.manifest.display();
        let line = format!("toro = {{ package = \"{}\", path = .. }}", LIBRARIES[0]);
        Err(Error::new(format!("cannot build {}: it does not use the library `toro`, which is the kernel", self.name))
            .help(format!("`toro new NAME` makes a package that does; its line `{line}` is missing in {manifest}"))
            .with_status(status::NOT_RUNNABLE))
    }

    fn build_command(&self, profile: Profile) -> Result<Command, Error> {
        let mut command = self.cargo_build(profile);
        command
            // No unwinder in the guest. Everything else of the profile is the package's own choice.
            .args(["--config", &format!("profile.{}.panic=\"abort\"", profile.name())])
            .env("CARGO_ENCODED_RUSTFLAGS", rust_flags(CARGO_CONFIG)?.join("\x1f"));
        Ok(command)
    }

    /// `cargo build` of the program.
    fn cargo_build(&self, profile: Profile) -> Command {
        let mut command = cargo(&self.manifest);
        command
            .args(["build", "--target", TARGET, "--profile", profile.name(), "--bin", &self.program])
            .arg("--manifest-path")
            .arg(&self.manifest)
            .stdout(Stdio::null());
        if !std::io::IsTerminal::is_terminal(&std::io::stderr()) {
            command.arg("--quiet");
        }
        command
    }

    fn run_cargo(&self, mut command: Command) -> Result<(), Error> {
        child::end_with_caller(&mut command);
        let status = command.status().map_err(no_cargo)?;
        if status.success() {
            return Ok(());
        }
        Err(Error::new(format!("cannot build {}: cargo failed, as told above", self.name)))
    }
}

/// What `cargo metadata` says of a package.
fn metadata(manifest: &Path, options: &[&str]) -> Result<Output, Error> {
    let mut command = cargo(manifest);
    command.args(["metadata", "--format-version=1"]).args(options).arg("--manifest-path").arg(manifest);
    command.stderr(Stdio::piped()).output().map_err(no_cargo)
}

/// The items of a list; none of what is no list.
fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

/// What `cargo metadata` has of the package itself.
fn package_of<'a>(metadata: &'a Value, manifest: &Path) -> Option<&'a Value> {
    let is_ours = |package: &&Value| package["manifest_path"].as_str().is_some_and(|path| Path::new(path) == manifest);
    list(&metadata["packages"]).iter().find(is_ours)
}

fn is_library(name: &Value) -> bool {
    LIBRARIES.iter().any(|library| name == library)
}

/// Whether the library is among all that a package is built with, however many crates lie between.
fn uses_library(metadata: &Value, manifest: &Path) -> bool {
    let (packages, nodes) = (list(&metadata["packages"]), list(&metadata["resolve"]["nodes"]));
    let mut reached: Vec<&Value> = package_of(metadata, manifest).map(|package| &package["id"]).into_iter().collect();
    let mut done = 0;
    while let Some(&id) = reached.get(done) {
        done += 1;
        if packages.iter().any(|package| package["id"] == *id && is_library(&package["name"])) {
            return true;
        }
        let node = nodes.iter().find(|node| node["id"] == *id);
        for dependency in node.map_or(&[][..], |node| list(&node["deps"])) {
            // Neither a build script nor a test is linked into the program.
            let is_linked = list(&dependency["dep_kinds"]).iter().any(|kind| kind["kind"].is_null());
            if is_linked && !reached.contains(&&dependency["pkg"]) {
                reached.push(&dependency["pkg"]);
            }
        }
    }
    false
}

/// Cargo, run where the package is, so that its own `rust-toolchain.toml` and configuration hold, and without what a
/// surrounding cargo may have set for its own build.
fn cargo(manifest: &Path) -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.current_dir(manifest.parent().unwrap_or(Path::new("/")));
    command.stdin(Stdio::null());
    for name in [
        "RUSTFLAGS",
        "RUSTC_WRAPPER",
        "RUSTC_WORKSPACE_WRAPPER",
        "CARGO_BUILD_TARGET",
        "CARGO_ENCODED_RUSTFLAGS",
        "CARGO_MAKEFLAGS",
        "MAKEFLAGS",
    ] {
        command.env_remove(name);
    }
    for (name, _) in std::env::vars_os() {
        let text = name.to_string_lossy();
        if ["CARGO_PROFILE_", "CARGO_PKG_", "CARGO_CFG_", "CARGO_FEATURE_"]
            .iter()
            .any(|prefix| text.starts_with(prefix))
        {
            command.env_remove(&name);
        }
    }
    command
}

fn no_cargo(error: std::io::Error) -> Error {
    Error::new(format!("cannot start cargo: {error}")).help("install Rust from https://rustup.rs")
}

/// The flags that a cargo configuration has for [`TARGET`].
fn rust_flags(config: &str) -> Result<Vec<String>, Error> {
    let broken = |why: &str| Error::new(format!("the built-in cargo configuration is damaged: {why}"));
    let config: toml::Table = config.parse().map_err(|error: toml::de::Error| broken(error.message()))?;
    let flags = config.get("target").and_then(|targets| targets.get(TARGET)).and_then(|target| target.get("rustflags"));
    let flags = flags.and_then(toml::Value::as_array).ok_or_else(|| broken("no rustflags"))?;
    Ok(flags.iter().filter_map(|flag| flag.as_str().map(str::to_owned)).collect())
}

/// Leaves a file alone that is right already: another run may be booting it. Otherwise the new one replaces it in one step.
fn write_if_changed(path: &Path, bytes: &[u8]) -> Result<(), Error> {
    if std::fs::read(path).is_ok_and(|there| there == bytes) {
        return Ok(());
    }
    let aside = path.with_extension(format!("{}.tmp", std::process::id()));
    std::fs::write(&aside, bytes)
        .and_then(|()| std::fs::rename(&aside, path))
        .map_err(|error| Error::new(format!("cannot write {}: {error}", path.display())))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn the_flags_are_those_of_the_guest_workspace() {
        let flags = rust_flags(CARGO_CONFIG).unwrap();
        assert!(flags.iter().any(|flag| flag == "-Clink-arg=-Ttoro.ld"), "{flags:?}");
        assert!(flags.iter().any(|flag| flag == "-Cforce-frame-pointers=yes"));
        assert!(rust_flags("[build]").is_err());
    }

    fn choose(programs: &[&str], default_run: Value) -> Result<Package, Error> {
        let targets: Vec<Value> = programs.iter().map(|name| json!({"kind": ["bin"], "name": name})).collect();
        let package = json!({
            "name": "app", "manifest_path": "/app/Cargo.toml", "targets": targets, "default_run": default_run,
            "metadata": {"toro": {"memory": "8M"}},
        });
        Package::choose(&json!({"packages": [package], "target_directory": "/t"}), "/app/Cargo.toml".into())
    }

    #[test]
    fn the_program_of_a_package_is_chosen() {
        let package = choose(&["app"], Value::Null).unwrap();
        let image = package.image(Profile::Release);
        assert_eq!(image.symbols, Path::new("/t/x86_64-unknown-linux-gnu/release/app"));
        assert_eq!(package.metadata["memory"], "8M");
        assert_eq!(choose(&["a", "b"], json!("b")).unwrap().program, "b");
    }

    #[test]
    fn a_package_that_does_not_say_what_to_run_is_refused() {
        assert!(choose(&["a", "b"], Value::Null).unwrap_err().message().contains("several programs: a, b"));
        assert!(choose(&[], Value::Null).unwrap_err().message().contains("no program"));
    }

    #[test]
    fn the_library_is_found_behind_other_crates_and_not_in_tests() {
        let uses = |kind: Value| {
            let package =
                |name: &str| json!({"name": name, "id": name, "manifest_path": format!("/{name}/Cargo.toml")});
            let node = |id: &str, to: &[&str], kind: &Value| {
                let edge = |to: &&str| json!({"pkg": to, "dep_kinds": [{"kind": kind}]});
                json!({"id": id, "deps": to.iter().map(edge).collect::<Vec<_>>()})
            };
            let metadata = json!({
                "packages": [package("app"), package("between"), package("toro-kernel")],
                "resolve": {"nodes": [
                    node("app", &["between"], &Value::Null), node("between", &["app", "toro-kernel"], &kind), node("toro-kernel", &[], &kind),
                ]},
            });
            uses_library(&metadata, Path::new("/app/Cargo.toml"))
        };
        assert!(uses(Value::Null) && !uses(json!("dev")) && !uses(json!("build")));
    }

    #[test]
    fn what_is_not_there_is_not_found() {
        assert_eq!(Package::open("/nonexistent/app").unwrap_err().status(), 127);
        assert_eq!(Package::open("/").unwrap_err().status(), 126);
    }
}
