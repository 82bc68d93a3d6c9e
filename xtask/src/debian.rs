//! Packages of Debian, unpacked beside the system instead of installed into it: older and newer programs to test with.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::run;

/// Written when all packages are unpacked; one that is not there is unpacked again.
const COMPLETE: &str = "complete";

/// Downloads `packages` into the user's cache, below `name`, and unpacks them; where they are. They come from the
/// system's sources, or from the one named, with lists of their own: nothing of the system changes. Dependencies whose
/// names begin with one of `follow` come too.
pub(crate) fn unpacked(name: &str, source: Option<&str>, packages: &[&str], follow: &[&str]) -> Result<PathBuf> {
    let folder = cache()?.join(name);
    let root = folder.join("root");
    if folder.join(COMPLETE).exists() {
        return Ok(root);
    }
    if !run::has_program("apt-get") || !run::has_program("dpkg-deb") {
        bail!("{name} comes as packages of Debian, and this system has no apt-get: {}", packages.join(", "));
    }
    println!("fetching {} into {}", packages.join(", "), folder.display());
    std::fs::create_dir_all(&root).with_context(|| folder.display().to_string())?;
    let apt = Apt::new(&folder, source)?;
    let mut wanted: Vec<String> = packages.iter().map(|package| (*package).to_owned()).collect();
    let mut next = 0;
    while let Some(package) = wanted.get(next) {
        let file = apt.download(package)?;
        run::check(Command::new("dpkg-deb").arg("-x").args([&file, &root]))?;
        for dependency in dependencies(&file)? {
            if follow.iter().any(|start| dependency.starts_with(start)) && !wanted.contains(&dependency) {
                wanted.push(dependency);
            }
        }
        std::fs::remove_file(&file).with_context(|| file.display().to_string())?;
        next += 1;
    }
    std::fs::write(folder.join(COMPLETE), "").with_context(|| folder.display().to_string())?;
    Ok(root)
}

/// Downloads the sources of `package`, as its authors gave them out, from the `deb-src` line of `source`; where the archive is.
pub(crate) fn source(name: &str, source: &str, package: &str) -> Result<PathBuf> {
    if !run::has_program("apt-get") {
        bail!("{name} comes from Debian's sources, and this system has no apt-get");
    }
    let folder = cache()?.join(name);
    std::fs::create_dir_all(&folder).with_context(|| folder.display().to_string())?;
    println!("fetching the sources of {package} into {}", folder.display());
    let apt = Apt::new(&folder, Some(source))?;
    run::check(apt.command().args(["source", "--download-only", package]))?;
    let files = std::fs::read_dir(&folder).with_context(|| folder.display().to_string())?;
    let is_archive = |path: &PathBuf| path.to_string_lossy().contains(".orig.tar");
    let archive = files.filter_map(Result::ok).map(|entry| entry.path()).find(is_archive);
    archive.with_context(|| format!("apt-get source {package} left no archive"))
}

/// Where what is fetched and built is kept.
pub(crate) fn cache() -> Result<PathBuf> {
    let set = |name| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let base = set("XDG_CACHE_HOME").or_else(|| Some(set("HOME")?.join(".cache")));
    Ok(base.context("neither XDG_CACHE_HOME nor HOME is set")?.join("toro"))
}

/// The package manager, as a downloader.
struct Apt {
    folder: PathBuf,
    options: Vec<String>,
}

impl Apt {
    fn new(folder: &Path, source: Option<&str>) -> Result<Apt> {
        let mut apt = Apt { folder: folder.to_owned(), options: vec!["-q".into()] };
        let Some(source) = source else { return Ok(apt) };
        let at = |name: &str| folder.join(name);
        for folder in ["lists/partial", "archives/partial"] {
            std::fs::create_dir_all(at(folder)).with_context(|| at(folder).display().to_string())?;
        }
        std::fs::write(at("sources.list"), source).with_context(|| at("sources.list").display().to_string())?;
        let settings = [
            format!("Dir::Etc::sourcelist={}", at("sources.list").display()),
            "Dir::Etc::sourceparts=-".into(),
            format!("Dir::State::lists={}", at("lists").display()),
            format!("Dir::Cache={}", folder.display()),
        ];
        apt.options.extend(settings.into_iter().flat_map(|setting| ["-o".into(), setting]));
        run::check(apt.command().arg("update"))?;
        Ok(apt)
    }

    fn command(&self) -> Command {
        let mut command = Command::new("apt-get");
        command.args(&self.options).current_dir(&self.folder);
        command
    }

    /// The file of a package: the one that was not there before.
    fn download(&self, package: &str) -> Result<PathBuf> {
        run::check(self.command().args(["download", package]))?;
        let is_package = |path: &PathBuf| path.extension().is_some_and(|extension| extension == "deb");
        let files = std::fs::read_dir(&self.folder).with_context(|| self.folder.display().to_string())?;
        let file = files.filter_map(Result::ok).map(|entry| entry.path()).find(is_package);
        file.with_context(|| format!("apt-get download {package} left no file"))
    }
}

/// Names of the packages that the one in `file` needs.
fn dependencies(file: &Path) -> Result<Vec<String>> {
    let output = Command::new("dpkg-deb").arg("-f").arg(file).arg("Depends").output().context("cannot run dpkg-deb")?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    Ok(text.split(',').filter_map(|word| word.split_whitespace().next()).map(str::to_owned).collect())
}
