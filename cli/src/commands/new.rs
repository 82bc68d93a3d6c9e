//! `toro new`: a package that `toro run` and plain `cargo build` both build.

use crate::args::NewArgs;
use crate::ui;
use std::path::{Path, PathBuf};
use toro_vmm::Error;
use toro_vmm::image::CARGO_CONFIG;

const MANIFEST: &str = include_str!("../../template/Cargo.toml.in");
const MAIN: &str = include_str!("../../template/main.rs.in");

/// Makes the package.
pub(crate) fn new(args: &NewArgs) -> Result<u8, Error> {
    // A directory that is there may be named in any way, as `.`.
    let folder = &args.name.canonicalize().unwrap_or_else(|_| args.name.clone());
    let name = folder.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    check_name(name)?;
    let library = library(args.library.as_deref())?;
    let failed = |path: &Path, error: std::io::Error| Error::new(format!("cannot make {}: {error}", path.display()));
    if folder.read_dir().is_ok_and(|mut entries| entries.next().is_some()) {
        return Err(Error::new(format!("cannot make {}: the directory is not empty", folder.display()))
            .help("choose another name"));
    }
    let files = [
        ("Cargo.toml", MANIFEST.replace("{name}", name).replace("{library}", &toml_string(&library))),
        ("src/main.rs", MAIN.to_owned()),
        (".cargo/config.toml", CARGO_CONFIG.to_owned()),
        (".gitignore", "/target\n".to_owned()),
    ];
    let was_there = folder.exists();
    let make = |(file, text): &(&str, String)| {
        let path = folder.join(file);
        let parent = path.parent().unwrap_or(folder);
        std::fs::create_dir_all(parent).map_err(|error| failed(parent, error))?;
        std::fs::write(&path, text).map_err(|error| failed(&path, error))
    };
    // What cannot be removed was not made; the first error says why.
    files.iter().try_for_each(make).inspect_err(|_| {
        let tops = ["Cargo.toml", ".gitignore"].map(|file| std::fs::remove_file(folder.join(file)));
        let folders = ["src", ".cargo"].map(|below| std::fs::remove_dir_all(folder.join(below)));
        let whole = (!was_there).then(|| std::fs::remove_dir(folder));
        drop((tops, folders, whole));
    })?;
    ui::say(format_args!("made {0}; `toro run {0}` runs it", args.name.display()));
    Ok(0)
}

/// What cargo refuses as the name of a program: crates of the compiler, keywords, and folders below `target`.
const RESERVED: [&str; 64] = [
    "alloc",
    "core",
    "proc-macro",
    "proc_macro",
    "std",
    "test",
    "build",
    "deps",
    "examples",
    "incremental",
    "main",
    "toro", //
    "Self",
    "abstract",
    "as",
    "async",
    "await",
    "become",
    "box",
    "break",
    "const",
    "continue",
    "crate",
    "do",
    "dyn",
    "else",
    "enum",
    "extern",
    "false",
    "final",
    "fn",
    "for",
    "gen",
    "if",
    "impl",
    "in",
    "let",
    "loop",
    "macro",
    "match",
    "mod",
    "move",
    "mut",
    "override",
    "priv",
    "pub",
    "ref",
    "return",
    "self",
    "static",
    "struct",
    "super",
    "trait",
    "true",
    "try",
    "type",
    "typeof",
    "unsafe",
    "unsized",
    "use",
    "virtual",
    "where",
    "while",
    "yield",
];

/// Names that cargo takes, and that no package has that comes with the library.
fn check_name(name: &str) -> Result<(), Error> {
    let starts_well = name.starts_with(|c: char| c.is_ascii_alphabetic());
    let is_plain = name.chars().all(|c| c.is_ascii_alphanumeric() || c == '-' || c == '_');
    if RESERVED.contains(&name) {
        return Err(Error::new(format!("cannot make a package named `{name}`: the name is reserved"))
            .help(format!("choose another, for example my-{name}")));
    }
    if name.starts_with("toro-") || name.starts_with("toro_") {
        return Err(Error::new(format!("cannot make a package named `{name}`: the library's packages are named so"))
            .help("choose one that does not begin with `toro-`"));
    }
    if starts_well && is_plain {
        return Ok(());
    }
    Err(Error::new(format!("cannot make a package named `{name}`"))
        .help("a name has letters, digits, - and _, and starts with a letter"))
}

/// The folder of the library's package.
fn library(given: Option<&Path>) -> Result<String, Error> {
    let built_from = Path::new(env!("CARGO_MANIFEST_DIR")).join("../guest/api");
    let folder = given.map_or(built_from, PathBuf::from);
    let found = folder.canonicalize().ok().filter(|folder| folder.join("Cargo.toml").is_file());
    let found = found.ok_or_else(|| {
        Error::new(format!("cannot find the library `toro` in {}", folder.display()))
            .help("--library DIR names the folder guest/api of Toro's sources")
    })?;
    found.into_os_string().into_string().map_err(|path| Error::new(format!("cannot use {path:?}: it is not UTF-8")))
}

/// A basic string of TOML.
fn toml_string(text: &str) -> String {
    let escaped = text.chars().flat_map(|c| match c {
        '"' | '\\' => vec!['\\', c],
        c if c.is_control() => format!("\\u{:04x}", u32::from(c)).chars().collect(),
        c => vec![c],
    });
    format!("\"{}\"", escaped.collect::<String>())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_of_cargo() {
        assert!(check_name("my-app_2").is_ok());
        for name in [
            "",
            "2app",
            "a b",
            "a/b",
            "ä",
            "toro",
            "-a",
            "build",
            "deps",
            "examples",
            "incremental",
            "yield",
            "toro-abi",
        ] {
            assert!(check_name(name).is_err(), "{name}");
        }
    }

    #[test]
    fn paths_are_quoted() {
        assert_eq!(toml_string("/a \"b\"\\c"), r#""/a \"b\"\\c""#);
    }
}
