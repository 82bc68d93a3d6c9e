//! A Linux program as it is meant: where it comes from, and the files that its guest has.

use crate::args::FileArgs;
use crate::ui;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use toro_abi::outcome::status;
use toro_vmm::{Error, Files, Machine, MemoryFile, Module, Package, linux};

/// Where programs are looked for, and what `PATH` says when nobody sets it.
const SEARCH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
/// The directory that a program begins in when nobody says which.
const WORKDIR: &str = "/";

/// A Linux program.
#[derive(Debug)]
pub(crate) struct Program {
    origin: Origin,
    /// Without the program as long as that is not built.
    files: Files,
    /// Where it is in the guest.
    path: String,
    /// What it sees as its name.
    first_argument: String,
    workdir: String,
}

/// Where a program comes from.
#[derive(Debug)]
enum Origin {
    /// Its root has it.
    Root(PathBuf),
    /// A file of the host.
    Host(PathBuf),
    /// A package, built first.
    Package(Package),
}

impl Program {
    /// The program `app` of the root that is given; `None` when none is, or it has no such program.
    pub(crate) fn in_root(app: &str, args: &FileArgs) -> Result<Option<Self>, Error> {
        let Some(root) = &args.root else { return Ok(None) };
        let (files, workdir) = gather(args)?;
        let Some(path) = files.find_program(app, &workdir, SEARCH) else { return Ok(None) };
        let shown = format!("{path} of {}", root.display());
        let (metadata, bytes) = files.read(&path)?.unwrap_or((toro_abi::module::Metadata::with_mode(0), Vec::new()));
        check(&shown, metadata.mode.into(), &bytes)?;
        let first_argument = app.to_owned();
        Ok(Some(Self { origin: Origin::Root(root.clone()), files, path, first_argument, workdir }))
    }

    /// A program that is a file of the host.
    pub(crate) fn on_host(file: &Path, args: &FileArgs) -> Result<Self, Error> {
        check_file(file)?;
        let (mut files, workdir) = gather(args)?;
        let path = files.add_program(file)?;
        Ok(Self { origin: Origin::Host(file.to_owned()), files, first_argument: path.clone(), path, workdir })
    }

    /// The program of a package.
    pub(crate) fn of_package(package: Package, args: &FileArgs) -> Result<Self, Error> {
        let (files, workdir) = gather(args)?;
        let path = Files::program_path(&package.program);
        Ok(Self { origin: Origin::Package(package), files, first_argument: path.clone(), path, workdir })
    }

    /// The package that it is built from.
    pub(crate) fn package(&self) -> Option<&Package> {
        if let Origin::Package(package) = &self.origin { Some(package) } else { None }
    }

    /// Builds it, if it has to be.
    pub(crate) fn build(&mut self) -> Result<(), Error> {
        if let Origin::Package(package) = &self.origin {
            package.build_program()?;
        }
        self.use_built()
    }

    /// Whether there is nothing to build, or it has been built before.
    pub(crate) fn is_built(&self) -> bool {
        self.package().is_none_or(|package| package.linux_program().exists())
    }

    /// Takes what is built already.
    pub(crate) fn use_built(&mut self) -> Result<(), Error> {
        if let Origin::Package(package) = &self.origin {
            let file = package.linux_program();
            check_file(&file)?;
            self.files.add_program(&file)?;
        }
        Ok(())
    }

    /// The last part of its path.
    pub(crate) fn name(&self) -> &str {
        self.path.rsplit('/').next().unwrap_or_default()
    }

    /// Where it is in the guest.
    pub(crate) fn path(&self) -> &str {
        &self.path
    }

    /// The directory of the guest that it begins in.
    pub(crate) fn workdir(&self) -> &str {
        &self.workdir
    }

    /// What its guest has.
    pub(crate) fn files(&self) -> &Files {
        &self.files
    }

    /// What its user calls it.
    pub(crate) fn shown(&self) -> String {
        match &self.origin {
            Origin::Root(root) => format!("{} of {}", self.path, root.display()),
            Origin::Host(file) => file.display().to_string(),
            Origin::Package(package) => package.linux_program().display().to_string(),
        }
    }

    /// What every program finds set.
    pub(crate) fn environment() -> Vec<(String, String)> {
        [("PATH", SEARCH), ("HOME", "/root")].map(|(name, value)| (name.to_owned(), value.to_owned())).into()
    }

    /// What it sees as its arguments, its name first.
    pub(crate) fn arguments(&self, arguments: &[String]) -> Vec<String> {
        std::iter::once(&self.first_argument).chain(arguments).cloned().collect()
    }

    /// Makes a machine one for this program.
    pub(crate) fn set(&self, machine: &mut Machine, arguments: &[String]) {
        machine.arguments = self.arguments(arguments);
        let (path, workdir) = (self.path.clone(), self.workdir.clone());
        machine.program = Some(linux::Program { path, workdir, strace: false, symbols: self.symbols() });
    }

    /// Its file; nothing where there is none to be had, since that is for names in reports alone.
    fn symbols(&self) -> Option<Module> {
        match &self.origin {
            Origin::Host(file) => Some(Module::File(file.clone())),
            Origin::Package(package) => Some(Module::File(package.linux_program())),
            Origin::Root(root) => {
                let there = root.join(self.path.trim_start_matches('/'));
                if there.symlink_metadata().is_ok_and(|metadata| metadata.is_file()) {
                    return Some(Module::File(there));
                }
                let (_metadata, bytes) = self.files.read(&self.path).ok()??;
                MemoryFile::holding("toro-program", &bytes).ok().map(Module::Memory)
            }
        }
    }

    /// Packs its files, and tells what is not among them.
    pub(crate) fn pack(&self) -> Result<Module, Error> {
        self.tell_skipped();
        self.files.module().map(Module::Memory)
    }

    /// Tells what of its root or volumes it does not get.
    pub(crate) fn tell_skipped(&self) {
        let skipped = self.files.skipped();
        match skipped {
            [] => {}
            [only] => ui::note(format_args!("the guest does not get {only}"), None),
            [first, others @ ..] => {
                ui::note(format_args!("the guest does not get {first} and {} others of its kind", others.len()), None);
            }
        }
    }
}

/// The files that are given, and the directory to begin in.
fn gather(args: &FileArgs) -> Result<(Files, String), Error> {
    let mut files = Files::new();
    if let Some(root) = &args.root {
        files.add_root(root)?;
    }
    for volume in &args.volume {
        let (from, to) = parse_volume(volume)?;
        files.add_volume(from, to)?;
    }
    if let Some(workdir) = &args.workdir {
        if !workdir.starts_with('/') {
            return Err(
                Error::new(format!("cannot begin in {workdir}: it does not begin with `/`")).help("-w /DIRECTORY")
            );
        }
        files.make_directory(workdir)?;
    }
    Ok((files, args.workdir.clone().unwrap_or_else(|| WORKDIR.into())))
}

/// Reads `HOST:GUEST` or `HOST:GUEST:ro`.
fn parse_volume(text: &str) -> Result<(&Path, &str), Error> {
    let wrong = |why: &str| Error::new(format!("cannot use volume `{text}`: {why}"));
    let cure = "-v HOST:GUEST or -v HOST:GUEST:ro, for example -v ./site:/www";
    let (from, to, access) = match text.split(':').collect::<Vec<_>>()[..] {
        [from, to] => (from, to, "ro"),
        [from, to, access] => (from, to, access),
        _ => return Err(wrong("it needs a path of the host and one of the guest").help(cure)),
    };
    match access {
        _ if from.is_empty() => Err(wrong("it names nothing of the host").help(cure)),
        _ if !to.starts_with('/') => Err(wrong("the guest's path does not begin with `/`").help(cure)),
        "ro" => Ok((Path::new(from), to)),
        "rw" => Err(wrong("its files are packed when the guest starts, and what it would write cannot come back")
            .help("leave `:rw` out; elsewhere a guest can write, in its memory")),
        other => Err(wrong(&format!("`{other}` is no way to use it")).help(cure)),
    }
}

fn check_file(file: &Path) -> Result<(), Error> {
    let shown = file.display().to_string();
    let fail =
        |error: std::io::Error| Error::new(format!("cannot run {shown}: {error}")).with_status(status::NOT_RUNNABLE);
    let mode = std::fs::metadata(file).map_err(fail)?.permissions().mode();
    check(&shown, mode, &std::fs::read(file).map_err(fail)?)
}

/// Whether a file is a program that can be run.
fn check(shown: &str, mode: u32, bytes: &[u8]) -> Result<(), Error> {
    linux::check(shown, bytes)?;
    if mode & 0o111 == 0 {
        let why = format!("cannot run {shown}: its mode {:o} does not let anybody execute it", mode & 0o7777);
        return Err(Error::new(why).help("chmod +x makes it a program").with_status(status::NOT_RUNNABLE));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn volumes_are_read_as_docker_reads_them() {
        assert_eq!(parse_volume("./site:/www"), Ok((Path::new("./site"), "/www")));
        assert_eq!(parse_volume("a b:/c:ro"), Ok((Path::new("a b"), "/c")));
        let error = parse_volume("data:/data:rw").unwrap_err();
        assert!(error.message().contains("packed when the guest starts") && error.cure().is_some(), "{error}");
        for text in ["", "site", ":/www", "site:www", "site:/www:wr", "a:/b:ro:z", "site:"] {
            let error = parse_volume(text).unwrap_err();
            assert!(error.message().contains(&format!("`{text}`")) && error.cure().is_some(), "{error}");
        }
    }

    #[test]
    fn what_is_no_program_is_told_before_anything_else() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("server");
        std::fs::write(&file, "#!/bin/sh\n").unwrap();
        let error = Program::on_host(&file, &FileArgs::default()).unwrap_err();
        assert!(error.message().ends_with("server: it is a script for /bin/sh") && error.status() == 126, "{error}");
        let error = check("server", 0o100_644, &std::fs::read("/bin/true").unwrap()).unwrap_err();
        assert!(error.message().contains("linked dynamically"), "the kind counts before the mode: {error}");
    }
}
