//! The Linux personality: a native application that runs an unmodified Linux program in ring 3.
//!
//! A system call comes in through `toro::user::run` (`task/mod.rs`), is dispatched by the table of calls (`calls/mod.rs`), works
//! on what descriptors stand for (`objects`, `sockets`), on files (`files`), memory (`memory`), threads (`task`, `futexes`) and
//! signals (`signals`), and returns a number. Nothing of the program is trusted. All logic that needs no machine is
//! `toro_linux_abi`'s.

#![no_std]
#![no_main]

mod calls;
mod descriptors;
mod files;
mod futexes;
mod identity;
mod interfaces;
mod limits;
mod load;
mod locks;
mod memory;
mod objects;
mod process;
mod signals;
mod sockets;
mod task;
mod time;
mod timers;
mod watch;

use files::{Files, Payload, Start};
use load::Layout;
use memory::Memory;
use objects::OpenFile;
use objects::console::{self, Console, Stream};
use process::{Process, Program};
use task::{Task, TaskHandle};
use toro::fault::{Policy, set_policy};
use toro::prelude::*;
use toro::process::ExitCode;
use toro::sync::Arc;
use toro::user::Pages;
use toro::{boot, env, thread};
use toro_abi::module::Module;
use toro_abi::outcome::status;
use toro_elf::{Executable, Kind};
use toro_linux_abi::raw::{O_RDONLY, O_WRONLY};
use toro_linux_abi::signals::SignalSet;
use toro_linux_abi::tree::{Last, Tree, Who};

/// The release of Linux whose behaviour this is, as far as it goes.
#[macro_export]
macro_rules! release {
    () => {
        "6.1.0-toro"
    };
}

toro::main!(main);

/// Why the program does not begin, and the status that says so.
struct Failure {
    message: String,
    status: u8,
}

impl Failure {
    fn cannot_run(message: impl core::fmt::Display) -> Self {
        Failure { message: message.to_string(), status: status::NOT_RUNNABLE }
    }

    fn not_found(message: impl core::fmt::Display) -> Self {
        Failure { message: message.to_string(), status: status::NOT_FOUND }
    }
}

fn main() -> ExitCode {
    // What goes wrong out here is the personality's, on which all threads of the program depend.
    set_policy(Policy::ExitAny);
    match begin() {
        Ok(task) => {
            task.run();
            // Other threads of the program go on; the last one ends the machine.
            loop {
                thread::park();
            }
        }
        Err(failure) => {
            eprintln!("error: {}", failure.message);
            ExitCode::from(failure.status)
        }
    }
}

/// Loads the program, and makes its first thread.
fn begin() -> Result<Task, Failure> {
    let bytes = boot::module().map_err(|error| Failure::cannot_run(format!("cannot map the boot module: {error}")))?;
    let bytes =
        bytes.ok_or_else(|| Failure::not_found("there is no program: the machine has no boot module (-initrd)"))?;
    let module = Module::parse(bytes).map_err(|error| Failure::cannot_run(format!("the boot module: {error}")))?;
    let path =
        env::setting("exec").ok_or_else(|| Failure::not_found("the command line does not say what to run (exec=)"))?;
    let path = path.into_bytes();
    let shown = String::from_utf8_lossy(&path).into_owned();

    let hostname = env::setting("hostname").unwrap_or_else(|| "toro".into());
    let address = env::setting("ip").and_then(|ip| ip.split_once('/').map(|(address, _)| address.to_owned()));
    let start = Start {
        hostname: hostname.clone(),
        address,
        resolver: resolver(),
        hosts: env::settings("host").collect(),
        program: path.clone(),
    };
    let tree = files::begin(&module, &start);
    let data = program_in(&tree, &path)
        .map_err(|error| Failure::not_found(format!("cannot run {shown}: {}", error.text().to_lowercase())))?;
    let file = data.in_place().unwrap_or_default();
    let executable =
        Executable::parse(file).map_err(|refusal| Failure::cannot_run(format!("cannot run {shown}: {refusal}")))?;
    if let Kind::Dynamic { .. } = executable.kind {
        return Err(Failure::cannot_run(format!("cannot run {shown}: it is linked dynamically; link it statically")));
    }

    let fail = |error: load::LoadError| Failure::cannot_run(format!("cannot run {shown}: {error}"));
    let pages = Pages::take().map_err(Failure::cannot_run)?;
    let pages = pages.ok_or_else(|| Failure::cannot_run("somebody has the lower half of memory"))?;
    let layout = Layout::random();
    let memory = Memory::new(pages, layout.ceiling);
    let loaded = load::load(&memory, &executable, &data, &path).map_err(fail)?;
    let mut told = loaded.told;
    told.vdso = load::load_clock(&memory).map_err(fail)?;
    toro::random::fill(&mut told.random);
    told.signal_stack_bytes_min = signals::stack_bytes_min();
    let arguments: Vec<Vec<u8>> = env::args().map(String::into_bytes).collect();
    let environment: Vec<Vec<u8>> = env::vars().map(|(name, value)| format!("{name}={value}").into_bytes()).collect();
    let stack =
        load::load_stack(&memory, layout, &path, &arguments, &environment, &told, executable.has_executable_stack)
            .map_err(fail)?;
    let context = load::first_context(&memory, loaded.entry, stack).map_err(fail)?;

    let traced = env::setting("strace").as_deref() == Some("1");
    let published = env::settings("publish").filter_map(|port| port.parse().ok()).collect();
    let program = Program { arguments, environment };
    let process = process::set(Process::new(program, memory, loaded.base, Files::new(tree), traced, published));
    process.identity.with(|identity| identity.hostname = hostname.into_bytes());
    if let Some(directory) = env::setting("workdir") {
        enter(process, directory.as_bytes())?;
    }
    open_streams(process);
    signals::begin();
    let cores = thread::cores().len();
    let affinity = if cores == 64 { u64::MAX } else { (1 << cores) - 1 };
    let signals = signals::TaskSignals::new(SignalSet(0));
    let tid = process.tasks.next_tid();
    let handle = TaskHandle::new(tid, name_of(&path), thread::current_core(), affinity, signals);
    process.tasks.add(handle.clone());
    Ok(Task::new(process, handle, context))
}

/// Who is asked for names. DHCP and routers may say so later, and something else then.
fn resolver() -> files::Resolver {
    let asks = |key, how| env::setting(key).is_none_or(|value| value == how);
    let (asks_dhcp, asks_routers) = (asks("ip", "dhcp"), asks("ip6", "auto"));
    let (servers, domains) = (env::settings("dns").next().is_some(), env::settings("search").next().is_some());
    let is_known = if servers { domains || !asks_dhcp } else { !asks_dhcp && !asks_routers };
    if is_known { files::Resolver::Fixed(files::resolver()) } else { files::Resolver::Asked }
}

/// The file that is to be run.
fn program_in(tree: &Tree<Payload>, path: &[u8]) -> Result<Arc<files::FileData>, toro_linux_abi::errno::Errno> {
    let node = tree.walk(tree.root(), path, Last::Follow, Who::ROOT)?.node()?;
    match tree.node(node).payload() {
        Some(Payload::Data(data)) => Ok(Arc::clone(data)),
        _ => Err(toro_linux_abi::errno::Errno::ACCES),
    }
}

fn enter(process: &Process, directory: &[u8]) -> Result<(), Failure> {
    let from = files::From { start: process.files.current(), last: Last::Follow };
    let shown = String::from_utf8_lossy(directory);
    match process.find(from, directory) {
        Ok(files::Target::Node(held)) if process.files.is_directory(held.node()) => {
            process.files.set_current(held.node());
            Ok(())
        }
        Ok(_) => Err(Failure::cannot_run(format!("cannot begin in {shown}: not a directory"))),
        Err(error) => Err(Failure::cannot_run(format!("cannot begin in {shown}: {}", error.text().to_lowercase()))),
    }
}

fn open_streams(process: &Process) {
    console::begin();
    for (stream, flags) in [(Stream::Input, O_RDONLY), (Stream::Output, O_WRONLY), (Stream::Error, O_WRONLY)] {
        let file = OpenFile::new(Box::new(Console(stream)), flags);
        let added = process.descriptors.add_from(file, false, 0, 3);
        debug_assert!(added.is_ok(), "three descriptors are free at first");
    }
}

/// The last part of a path, as far as a thread's name goes.
fn name_of(path: &[u8]) -> [u8; 16] {
    let last = path.rsplit(|byte| *byte == b'/').next().unwrap_or_default();
    let mut name = [0; 16];
    let count = last.len().min(15);
    name[..count].copy_from_slice(&last[..count]);
    name
}
