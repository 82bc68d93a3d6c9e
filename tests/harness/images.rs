//! Images of the test guests and examples, built once in a run.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;

use toro_vmm::Image;

use crate::Spec;

/// Built programs by name.
type Programs = BTreeMap<String, PathBuf>;

/// A program of `tests/guests`, built for testing: debug assertions are on.
pub fn guest(name: &str) -> Spec {
    static BUILT: OnceLock<Result<Programs, String>> = OnceLock::new();
    let programs = BUILT.get_or_init(|| build("guest", &["-p", "toro-test-guests", "--bins"]));
    Spec::new(name, image(programs, name))
}

/// A program of `guest/examples`, built as it ships.
pub fn example(name: &str) -> Spec {
    static BUILT: OnceLock<Result<Programs, String>> = OnceLock::new();
    let arguments = ["--release", "--workspace", "--exclude", "toro-test-guests", "--bins"];
    let programs = BUILT.get_or_init(|| build("guest", &arguments));
    Spec::new(name, image(programs, name))
}

fn image(programs: &Result<Programs, String>, name: &str) -> Image {
    let programs = programs.as_ref().unwrap_or_else(|error| panic!("{error}"));
    let path = programs.get(name).unwrap_or_else(|| {
        let names: Vec<&str> = programs.keys().map(String::as_str).collect();
        panic!("no guest {name}; there are: {}", names.join(", "))
    });
    Image::open(path).unwrap_or_else(|error| panic!("{error}"))
}

/// The program `toro`.
pub(crate) fn tool() -> PathBuf {
    let programs = build("", &["-p", "toro-cli"]).unwrap_or_else(|error| panic!("{error}"));
    programs.get("toro").cloned().unwrap_or_else(|| panic!("cargo built no `toro`"))
}

/// What runs Linux programs, built for testing: debug assertions are on. `TORO_LINUX_IMAGE` names another.
pub(crate) fn personality() -> Image {
    static BUILT: OnceLock<Result<Programs, String>> = OnceLock::new();
    if let Some(path) = std::env::var_os(toro_vmm::linux::IMAGE_VARIABLE).filter(|path| !path.is_empty()) {
        return Image::open(path).unwrap_or_else(|error| panic!("{error}"));
    }
    let programs = BUILT.get_or_init(|| build("guest", &["-p", "toro-linux", "--bin", "linux"]));
    image(programs, "linux")
}

/// Builds in a workspace of the repository; the programs that came of it.
fn build(workspace: &str, arguments: &[&str]) -> Result<Programs, String> {
    build_in(&Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(workspace), arguments)
}

/// Builds in a folder.
pub(crate) fn build_in(folder: &Path, arguments: &[&str]) -> Result<Programs, String> {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.current_dir(folder).args(["build", "--quiet", "--message-format=json-render-diagnostics"]);
    command.args(arguments).stdin(Stdio::null()).stderr(Stdio::piped());
    // What cargo told this program about its own package must not reach another build.
    for (name, _) in std::env::vars_os() {
        let text = name.to_string_lossy();
        if text.starts_with("CARGO_PKG_") || text.starts_with("CARGO_MANIFEST") {
            command.env_remove(name);
        }
    }
    let output = command.output().map_err(|error| format!("cannot run cargo: {error}"))?;
    if !output.status.success() {
        let why = String::from_utf8_lossy(&output.stderr);
        return Err(format!("cargo build {} failed:\n{why}", arguments.join(" ")));
    }
    let text = String::from_utf8_lossy(&output.stdout);
    let messages = text.lines().filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok());
    let programs = messages.filter_map(|message| {
        let path = PathBuf::from(message["executable"].as_str()?);
        Some((message["target"]["name"].as_str()?.to_owned(), path))
    });
    Ok(programs.collect())
}
