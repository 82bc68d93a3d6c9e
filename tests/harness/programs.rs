//! Linux programs of `tests/linux`: built once, run by the host's Linux and in a guest, and compared.

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Mutex;
use std::time::Instant;

use toro_vmm::linux::Program as GuestProgram;
use toro_vmm::{Exit, Files, Module};

use crate::{LIMIT, Spec, images};

/// Sources of the programs.
const SOURCES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/linux");
/// Where they are built; kept from run to run.
const BUILT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../target/linux-programs");
/// Where a program begins, in the guest.
const WORKDIR: &str = "/work";
/// What every program finds set, on both sides.
const ENVIRONMENT: [(&str, &str); 2] = [("HOME", "/root"), ("TORO_TEST", "passed")];

/// The library that a C program is linked with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Libc {
    /// The GNU C library.
    Glibc,
    /// musl.
    Musl,
}

/// A Linux program, built.
#[derive(Clone, Debug)]
pub struct Program {
    title: String,
    file: PathBuf,
}

/// How a program ended, and what it said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Observed {
    /// Its exit status; 128 and the signal's number when a signal ended it.
    pub status: i32,
    /// Its standard output.
    pub stdout: String,
    /// Its standard error.
    pub stderr: String,
}

impl Program {
    /// A program of `tests/linux/c`.
    ///
    /// # Errors
    /// The tool that is missing.
    pub fn c(name: &str, libc: Libc) -> Result<Program, String> {
        Program::c_with(name, libc, &["-static"])
    }

    /// The same, made with these options.
    ///
    /// # Errors
    /// The tool that is missing.
    pub fn c_with(name: &str, libc: Libc, further: &[&str]) -> Result<Program, String> {
        let source = format!("c/{name}.c");
        let (compiler, options): (_, &[&str]) = match libc {
            Libc::Glibc => ("gcc", &[]),
            // Headers of the kernel's, which musl does not bring.
            Libc::Musl => ("musl-gcc", &["-idirafter", "/usr/include", "-idirafter", "/usr/include/x86_64-linux-gnu"]),
        };
        let mut command = Command::new(compiler);
        // What they do wrong is meant.
        command.args(["-std=gnu11", "-O1", "-w", "-pthread"]).args(further).args(options);
        build(&format!("{name} ({libc:?})"), &[&source, "c/cases.h"], command, |command, file| {
            command.arg("-o").arg(file).arg(Path::new(SOURCES).join(&source));
        })
    }

    /// A program of `tests/linux/cpp`, made with these options.
    ///
    /// # Errors
    /// The tool that is missing.
    pub fn cpp(name: &str, further: &[&str]) -> Result<Program, String> {
        let source = format!("cpp/{name}.cpp");
        let mut command = Command::new("g++");
        command.args(["-std=c++17", "-O1", "-w", "-pthread", "-fnon-call-exceptions"]).args(further);
        build(&format!("{name} (C++)"), &[&source], command, |command, file| {
            command.arg("-o").arg(file).arg(Path::new(SOURCES).join(&source));
        })
    }

    /// A program of `tests/linux/go`.
    ///
    /// # Errors
    /// The tool that is missing.
    pub fn go(name: &str) -> Result<Program, String> {
        let source = format!("go/{name}.go");
        let mut command = Command::new("go");
        command.args(["build", "-trimpath", "-ldflags=-s -w"]).env("CGO_ENABLED", "0").env("GO111MODULE", "off");
        command
            .env("GOCACHE", Path::new(BUILT).join("go-cache"))
            .env("GOFLAGS", "")
            .env("GOPATH", Path::new(BUILT).join("go"));
        build(&format!("{name} (Go)"), &[&source], command, |command, file| {
            command.arg("-o").arg(file).arg(Path::new(SOURCES).join(&source));
        })
    }

    /// A program of `tests/linux/pascal`.
    ///
    /// # Errors
    /// The tool that is missing.
    pub fn pascal(name: &str) -> Result<Program, String> {
        let source = format!("pascal/{name}.pas");
        let mut command = Command::new("fpc");
        command.args(["-O2", "-Xs", "-v0", "-l-"]);
        build(&format!("{name} (FreePascal)"), &[&source], command, |command, file| {
            command.arg(format!("-FU{}", file.with_extension("units").display()));
            command.arg(format!("-o{}", file.display())).arg(Path::new(SOURCES).join(&source));
            let _units = std::fs::create_dir_all(file.with_extension("units"));
        })
    }

    /// A program of the workspace `tests/linux/rust`.
    ///
    /// # Errors
    /// The tool that is missing.
    pub fn rust(name: &str) -> Result<Program, String> {
        static ALL: Mutex<Option<BTreeMap<String, PathBuf>>> = Mutex::new(None);
        let mut all = ALL.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let programs = match &*all {
            Some(programs) => programs,
            None => {
                let target = format!("{BUILT}/rust");
                let arguments = ["--release", "--workspace", "--bins", "--locked", "--target-dir", &target];
                let built = images::build_in(&Path::new(SOURCES).join("rust"), &arguments);
                // Crates that cannot be had are no failure of ours; anything else is.
                if let Err(why) = &built {
                    let is_offline = ["failed to download", "failed to get", "Could not resolve host", "offline"];
                    assert!(is_offline.iter().any(|text| why.contains(text)), "{why}");
                }
                all.insert(built?)
            }
        };
        let file = programs.get(name).unwrap_or_else(|| panic!("no program {name} in tests/linux/rust"));
        Ok(Program { title: format!("{name} (Rust)"), file: file.clone() })
    }

    /// Redis and its tools, which `cargo xtask setup` builds.
    ///
    /// # Errors
    /// When that has not been done.
    pub fn redis(name: &str) -> Result<Program, String> {
        let set = |name| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
        let cache = set("XDG_CACHE_HOME").or_else(|| Some(set("HOME")?.join(".cache"))).unwrap_or_default();
        let file = cache.join("toro/redis").join(name);
        match file.exists() {
            true => Ok(Program { title: name.into(), file }),
            false => Err(format!("no {}, which `cargo xtask setup` builds", file.display())),
        }
    }

    /// A program that is there already.
    pub fn at(title: &str, file: &Path) -> Program {
        Program { title: title.into(), file: file.to_owned() }
    }

    /// What it is called in messages.
    pub fn title(&self) -> &str {
        &self.title
    }

    /// Where it is.
    pub fn file(&self) -> &Path {
        &self.file
    }

    /// The command that runs it on the host, in `folder`.
    pub fn command(&self, folder: &Path, arguments: &[&str]) -> Command {
        let mut command = Command::new(&self.file);
        command.args(arguments).current_dir(folder).env_clear().envs(ENVIRONMENT).stdin(Stdio::null());
        command
    }

    /// Runs it on the host, with `input`, in an empty folder in memory.
    pub fn on_host(&self, arguments: &[&str], input: &str) -> Observed {
        let folder = empty_folder();
        let mut command = self.command(folder.path(), arguments);
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("{}: {error}", self.title));
        let mut stdin = child.stdin.take().expect("a pipe");
        // One that reads nothing may have ended.
        let _read = stdin.write_all(input.as_bytes());
        drop(stdin);
        let number = rustix::process::Pid::from_child(&child);
        let watch = Watch::new(number);
        let output = child.wait_with_output().expect("it can be waited for");
        assert!(!watch.end(), "{} does not end on the host", self.title);
        let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
        let signal = std::os::unix::process::ExitStatusExt::signal(&output.status);
        let status = output.status.code().unwrap_or(128 + signal.unwrap_or(0));
        Observed { status, stdout: text(output.stdout), stderr: text(output.stderr) }
    }

    /// A guest that runs it.
    pub fn guest(&self, arguments: &[&str]) -> Spec {
        self.guest_with(arguments, |_files| {})
    }

    /// A guest that runs it, with further files.
    pub fn guest_with(&self, arguments: &[&str], add: impl FnOnce(&mut Files)) -> Spec {
        let mut files = Files::new();
        let fail = |error| panic!("{}: {error}", self.title);
        let path = files.add_program(&self.file).unwrap_or_else(fail);
        files.make_directory(WORKDIR).unwrap_or_else(|error| panic!("{}: {error}", self.title));
        add(&mut files);
        let module = files.module().unwrap_or_else(|error| panic!("{}: {error}", self.title));
        let spec = Spec::new(&self.title, images::personality());
        spec.memory_mib(128).with(|mut machine| {
            machine.module = Some(Module::Memory(module));
            machine.arguments =
                std::iter::once(path.clone()).chain(arguments.iter().map(|text| (*text).into())).collect();
            let symbols = Some(Module::File(self.file.clone()));
            machine.program = Some(GuestProgram { path, workdir: WORKDIR.into(), strace: false, symbols });
            ENVIRONMENT.iter().fold(machine, |machine, (name, value)| machine.environment(name, value))
        })
    }
}

impl Observed {
    /// The same of a guest that has ended.
    pub fn of(exit: &Exit) -> Observed {
        Observed { status: exit.status().into(), stdout: exit.stdout_text(), stderr: exit.stderr_text() }
    }
}

/// A folder in memory, as the guest's is, where the host has that.
pub fn empty_folder() -> tempfile::TempDir {
    let memory = Path::new("/dev/shm");
    let place = if memory.is_dir() { memory.to_owned() } else { std::env::temp_dir() };
    tempfile::tempdir_in(place).expect("a folder")
}

/// Ends a program that does not end.
struct Watch(std::sync::mpsc::Sender<()>, std::thread::JoinHandle<bool>);

impl Watch {
    fn new(number: rustix::process::Pid) -> Watch {
        let (sender, receiver) = std::sync::mpsc::channel::<()>();
        let wait = move || {
            let timed_out = receiver.recv_timeout(LIMIT) == Err(std::sync::mpsc::RecvTimeoutError::Timeout);
            if timed_out {
                let _gone = rustix::process::kill_process(number, rustix::process::Signal::KILL);
            }
            timed_out
        };
        Watch(sender, std::thread::spawn(wait))
    }

    /// Whether it had to.
    fn end(self) -> bool {
        drop(self.0);
        self.1.join().unwrap_or(false)
    }
}

/// Builds a program, unless it was built before of the same sources in the same way.
fn build(
    title: &str,
    sources: &[&str],
    mut command: Command,
    set_output: impl FnOnce(&mut Command, &Path),
) -> Result<Program, String> {
    static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());
    let mut hasher = DefaultHasher::new();
    format!("{command:?}").hash(&mut hasher);
    for source in sources {
        let path = Path::new(SOURCES).join(source);
        std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display())).hash(&mut hasher);
    }
    let name: String = title.chars().filter(char::is_ascii_alphanumeric).collect();
    let folder = Path::new(BUILT).join(format!("{name}-{:016x}", hasher.finish()));
    let file = folder.join("program");
    let program = Program { title: title.into(), file: file.clone() };
    let _guard = ONE_AT_A_TIME.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    if file.exists() {
        return Ok(program);
    }
    std::fs::create_dir_all(&folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    let aside = folder.join("new");
    set_output(&mut command, &aside);
    let tool = command.get_program().to_string_lossy().into_owned();
    let output = match command.stdin(Stdio::null()).output() {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Err(format!("no {tool}")),
        output => output.unwrap_or_else(|error| panic!("{tool}: {error}")),
    };
    let said = String::from_utf8_lossy(&output.stderr) + String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{title}: {command:?} failed:\n{said}");
    std::fs::rename(&aside, &file).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
    Ok(program)
}

/// Says why a program's test is left out: its compiler is missing.
pub fn built(program: Result<Program, String>) -> Option<Program> {
    match program {
        Ok(program) => Some(program),
        Err(why) => {
            crate::skip("Linux programs", &why);
            None
        }
    }
}

/// The lines of each case of a program's output: they follow `== NAME`.
fn cases(output: &str) -> BTreeMap<&str, Vec<&str>> {
    let mut cases = BTreeMap::new();
    let mut name = "";
    for line in output.lines() {
        match line.strip_prefix("== ") {
            Some(next) => name = next,
            None => cases.entry(name).or_insert_with(Vec::new).push(line),
        }
    }
    cases
}

/// Runs a program of cases on both sides, but for those that are left out, and fails for every case whose lines differ.
pub fn compare_cases(program: &Program, cpus: u32, left_out: impl Fn(&str) -> bool) {
    let start = Instant::now();
    let names = program.on_host(&["list"], "").stdout;
    let wanted: Vec<&str> = names.lines().filter(|name| !left_out(name)).collect();
    if wanted.is_empty() {
        return;
    }
    let host = program.on_host(&wanted, "");
    assert_eq!((host.status, host.stderr.as_str()), (0, ""), "{} on the host", program.title);
    let exit = program.guest(&wanted).cpus(cpus).run().exit;
    let guest = Observed::of(&exit);
    let (expected, found) = (cases(&host.stdout), cases(&guest.stdout));
    let mut complaints = Vec::new();
    for (name, lines) in &expected {
        let nothing = Vec::new();
        let there = found.get(name).unwrap_or(&nothing);
        if there != lines {
            complaints.push(difference(name, lines, there));
        }
    }
    if complaints.is_empty() && guest.status == 0 {
        eprintln!("{}: {} cases, {:.1} s", program.title, wanted.len(), start.elapsed().as_secs_f64());
        return;
    }
    panic!(
        "{} on {cpus} cores: {} of {} cases differ; status {}, {:?}\n{}\nstderr: {}\nlog: {}\n{}",
        program.title,
        complaints.len(),
        wanted.len(),
        guest.status,
        exit.ending,
        complaints.join("\n"),
        guest.stderr,
        exit.log_text(),
        exit.backtrace,
    );
}

/// The first lines that differ.
fn difference(name: &str, host: &[&str], guest: &[&str]) -> String {
    let mut text = format!("== {name}");
    let lines = (0..host.len().max(guest.len())).filter(|at| host.get(*at) != guest.get(*at));
    for at in lines.take(4) {
        let line = |side: &[&str]| side.get(at).copied().unwrap_or("(nothing)").to_owned();
        text.push_str(&format!("\n  Linux: {}\n  guest: {}", line(host), line(guest)));
    }
    text
}

/// What a program said without the numbers of its threads, which Rust's panics tell, and Go's: `thread 'main' (1234) panicked at ..`
/// and `goroutine 18 [running]:`.
fn without_numbers(text: &str) -> String {
    let text: String = text
        .lines()
        .map(|line| match (line.strip_prefix("goroutine "), line.split_once(" [")) {
            (Some(_), Some((_, state))) => format!("goroutine [{state}\n"),
            _ => format!("{line}\n"),
        })
        .collect();
    let line = |line: &str| match (line.starts_with("thread '"), line.split_once("' (")) {
        (true, Some((before, rest))) => match rest.split_once(") ") {
            Some((number, after)) if number.bytes().all(|byte| byte.is_ascii_digit()) => format!("{before}' {after}\n"),
            _ => format!("{line}\n"),
        },
        _ => format!("{line}\n"),
    };
    text.lines().map(line).collect()
}

/// Runs a program on both sides, and fails when output or status differ.
#[track_caller]
pub fn compare(program: &Program, arguments: &[&str], input: &str) {
    let mut host = program.on_host(arguments, input);
    let running = program.guest(arguments).stdin().start();
    running.guest.send_stdin(input.as_bytes());
    running.guest.close_stdin();
    let run = running.finish();
    let mut guest = Observed::of(&run.exit);
    for side in [&mut host, &mut guest] {
        side.stderr = without_numbers(&side.stderr);
    }
    assert!(
        guest == host,
        "{} {arguments:?} differs\nLinux: {host:#?}\nguest: {guest:#?}\nended: {:?}\nlog: {}\n{}",
        program.title,
        run.exit.ending,
        run.exit.log_text(),
        run.exit.backtrace,
    );
}
