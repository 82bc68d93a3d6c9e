//! What the kernel makes up: the texts and directories of `/proc` that programs open.

use super::{Held, anonymous_status};
use crate::identity::ALL_CAPABILITIES;
use crate::interfaces::{self, Fact};
use crate::memory::{Behind, Name, PAGE};
use crate::objects::OpenFile;
use crate::objects::directory::{Directory as DirectoryFile, Entry};
use crate::objects::generated::GeneratedFile;
use crate::process::Process;
use crate::signals::{DEFAULT, IGNORE};
use crate::task::{TaskHandle, Tid};
use crate::time;
use core::fmt::Write;
use toro::prelude::*;
use toro::sync::Arc;
use toro::thread;
use toro_linux_abi::errno::Errno;
use toro_linux_abi::layout::Stat;
use toro_linux_abi::processor::flags;
use toro_linux_abi::raw::{self, O_ACCMODE, O_RDONLY};
use toro_linux_abi::signals;
use toro_linux_abi::tree::{Dynamic, FileType, Last};

/// Ticks a second, as `/proc` counts CPU time.
const TICKS: u64 = 100;

/// A text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Generated {
    /// Always the same.
    Constant(&'static str),
    /// `cmdline`.
    CommandLine,
    /// `environ`.
    Environment,
    /// `maps`.
    Maps,
    /// `smaps`, with what is in memory.
    SMaps,
    /// `stat` of the program or of a thread.
    Stat(Option<Tid>),
    /// `statm`.
    StatM,
    /// `status`.
    Status(Option<Tid>),
    /// `comm`.
    Comm(Option<Tid>),
    /// `limits`.
    Limits,
    /// `/proc/meminfo`.
    MemInfo,
    /// `/proc/cpuinfo`.
    CpuInfo,
    /// `/proc/stat`.
    MachineStat,
    /// `/proc/uptime`.
    Uptime,
    /// `/proc/loadavg`.
    LoadAverage,
    /// The processors, as `0-3`.
    Processors,
    /// `/proc/sys/kernel/hostname`.
    Hostname,
    /// A random identifier that is another each time.
    Uuid,
    /// In `/sys/class/net`, of the interface with that number.
    Interface(u32, Fact),
    /// `/etc/resolv.conf`, where DHCP says what is in it.
    Resolver,
}

/// A directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Directory {
    /// `fd`: links to what is open.
    Descriptors,
    /// `task`: a directory for each thread.
    Tasks,
    /// A thread's directory.
    Task(Tid),
    /// The directory of the thread that asks.
    ThreadSelf,
    /// `cwd`: where the program is.
    Current,
}

/// Numbers of those that stand in the tree.
const NUMBERED: [Directory; 4] = [Directory::Descriptors, Directory::Tasks, Directory::ThreadSelf, Directory::Current];

/// What a path into a directory leads to.
pub(crate) enum Made {
    /// What is open, as a link to it.
    File(Arc<OpenFile>),
    /// A text.
    Text(Generated),
    /// A directory.
    Directory(Directory),
    /// Somewhere in the tree.
    Elsewhere(super::Target),
}

/// What is in a thread's directory.
type OfTask = fn(Tid) -> Generated;
const OF_TASK: [(&str, OfTask); 4] = [
    ("comm", |tid| Generated::Comm(Some(tid))),
    ("stat", |tid| Generated::Stat(Some(tid))),
    ("status", |tid| Generated::Status(Some(tid))),
    ("maps", |_| Generated::Maps),
];

impl Directory {
    /// The number by which the tree knows it.
    pub(crate) fn number(self) -> u32 {
        NUMBERED.iter().position(|directory| *directory == self).unwrap_or(0) as u32
    }

    /// The directory of that number.
    pub(crate) fn from_number(number: u32) -> Option<Self> {
        NUMBERED.get(number as usize).copied()
    }

    /// What is in it.
    pub(crate) fn list(self, process: &Process) -> Vec<Entry> {
        let entry = |name: String, file_type| Entry { name: name.into_bytes(), ino: 2, file_type };
        match self {
            Self::Descriptors => {
                let numbers = process.descriptors.numbers().into_iter();
                numbers.map(|fd| entry(fd.to_string(), FileType::Link)).collect()
            }
            Self::Tasks => {
                let tids = process.tasks.tids().into_iter();
                tids.map(|tid| entry(tid.to_string(), FileType::Directory)).collect()
            }
            Self::Task(_) | Self::ThreadSelf => {
                OF_TASK.iter().map(|(name, _)| entry((*name).into(), FileType::Regular)).collect()
            }
            Self::Current => Vec::new(),
        }
    }

    fn find(self, process: &'static Process, rest: &[u8]) -> Result<Made, Errno> {
        let (name, tail) = match rest.iter().position(|byte| *byte == b'/') {
            Some(slash) => (&rest[..slash], &rest[slash + 1..]),
            None => (rest, &[][..]),
        };
        if name.is_empty() || name == b"." {
            return Ok(Made::Directory(self));
        }
        let number = || core::str::from_utf8(name).ok()?.parse::<i32>().ok();
        match self {
            Self::Current => {
                let from = super::From { start: process.files.current(), last: Last::Follow };
                process.find(from, rest).map(Made::Elsewhere)
            }
            Self::Descriptors => {
                let file = number().and_then(|fd| process.descriptors.get(fd as u64).ok()).ok_or(Errno::NOENT)?;
                if tail.is_empty() {
                    return Ok(Made::File(file));
                }
                let start = file.object.node().ok_or(Errno::NOTDIR)?;
                process.find(super::From { start, last: Last::Follow }, tail).map(Made::Elsewhere)
            }
            Self::Tasks => {
                let tid = number().filter(|tid| process.tasks.get(*tid).is_some()).ok_or(Errno::NOENT)?;
                Self::Task(tid).find(process, tail)
            }
            Self::ThreadSelf => {
                let tid = crate::task::current().map_or(process.pid, |task| task.tid());
                Self::Task(tid).find(process, rest)
            }
            Self::Task(tid) => {
                let found = OF_TASK.iter().find(|(known, _)| known.as_bytes() == name).ok_or(Errno::NOENT)?;
                if tail.is_empty() { Ok(Made::Text(found.1(tid))) } else { Err(Errno::NOTDIR) }
            }
        }
    }
}

impl Process {
    /// What a path into a directory that is made up leads to.
    pub(crate) fn find_made(&'static self, dynamic: &Dynamic) -> Result<Made, Errno> {
        let directory = Directory::from_number(dynamic.which).ok_or(Errno::NOENT)?;
        if dynamic.rest.is_empty() && directory == Directory::Current {
            let node = self.files.current();
            self.files.tree().hold(node);
            return Ok(Made::Elsewhere(super::Target::Node(Held::of(node))));
        }
        directory.find(self, &dynamic.rest)
    }

    /// `open` of what is made up.
    pub(crate) fn open_dynamic(&self, dynamic: &Dynamic, flags: u32) -> Result<Arc<OpenFile>, Errno> {
        let process = crate::process::get();
        let path = [b"/proc/self/".as_slice(), &dynamic.rest].concat();
        match process.find_made(dynamic)? {
            Made::File(file) => file.object.reopen(flags),
            Made::Text(Generated::Comm(tid)) => {
                let object = GeneratedFile::made_up(Generated::Comm(tid), path);
                Ok(OpenFile::new(Box::new(object), flags))
            }
            Made::Text(_) if flags & O_ACCMODE != O_RDONLY => Err(Errno::ACCES),
            Made::Text(text) => Ok(OpenFile::new(Box::new(GeneratedFile::made_up(text, path)), flags)),
            Made::Directory(_) if flags & O_ACCMODE != O_RDONLY => Err(Errno::ISDIR),
            Made::Directory(directory) => Ok(OpenFile::new(Box::new(DirectoryFile::made_up(directory, path)), flags)),
            Made::Elsewhere(super::Target::Node(held)) => {
                let start = held.node();
                self.open(start, b".", flags, 0)
            }
            Made::Elsewhere(super::Target::Dynamic(dynamic)) => self.open_dynamic(&dynamic, flags),
        }
    }

    /// `stat` of what is made up.
    pub(crate) fn status_of_dynamic(&self, dynamic: &Dynamic, last: Last) -> Result<Stat, Errno> {
        let process = crate::process::get();
        let now = time::wall();
        let with = |file_type, permissions| {
            let status = anonymous_status(file_type, permissions, 2);
            Stat { atime: now, mtime: now, ctime: now, ..status }
        };
        Ok(match process.find_made(dynamic)? {
            Made::File(file) if last == Last::Follow => file.object.status(),
            Made::File(_) => with(FileType::Link, 0o700),
            Made::Text(_) => with(FileType::Regular, 0o444),
            Made::Directory(_) => Stat { nlink: 2, ..with(FileType::Directory, 0o555) },
            Made::Elsewhere(super::Target::Node(held)) => self.files.status(held.node()),
            Made::Elsewhere(super::Target::Dynamic(dynamic)) => self.status_of_dynamic(&dynamic, last)?,
        })
    }

    /// `readlink` of what is made up.
    pub(crate) fn link_of_dynamic(&self, dynamic: &Dynamic) -> Result<Vec<u8>, Errno> {
        match crate::process::get().find_made(dynamic)? {
            Made::File(file) => Ok(file.object.name()),
            Made::Elsewhere(super::Target::Node(held)) => self.files.tree().path(held.node()).ok_or(Errno::NOENT),
            _ => Err(Errno::INVAL),
        }
    }
}

impl Generated {
    /// The text as it is now.
    pub(crate) fn text(self, process: &Process) -> Vec<u8> {
        let mut text = String::new();
        let joined = |list: &[Vec<u8>]| list.iter().flat_map(|item| item.iter().copied().chain([0])).collect();
        match self {
            Self::Constant(constant) => return constant.as_bytes().to_vec(),
            Self::CommandLine => return joined(&process.program.arguments),
            Self::Environment => return joined(&process.program.environment),
            Self::Maps => return maps(process, false),
            Self::SMaps => return maps(process, true),
            Self::Comm(tid) => {
                let name = task(process, tid).map_or([0; 16], |task| task.name());
                return [trimmed(&name), b"\n"].concat();
            }
            Self::Hostname => return process.identity.with(|identity| [&identity.hostname[..], b"\n"].concat()),
            Self::Stat(tid) => stat(&mut text, process, tid),
            Self::StatM => {
                let total = process.memory.map().areas.bytes() / PAGE;
                let resident = resident_pages(process);
                _ = writeln!(text, "{total} {resident} 0 0 0 {total} 0");
            }
            Self::Status(tid) => status(&mut text, process, tid),
            Self::Limits => limits(&mut text, process),
            Self::MemInfo => memory(&mut text),
            Self::CpuInfo => processors(&mut text),
            Self::MachineStat => machine_stat(&mut text, process),
            Self::Uptime => {
                let ns = time::now_ns();
                let (seconds, hundredths) = (ns / 1_000_000_000, ns / 10_000_000 % 100);
                _ = writeln!(text, "{seconds}.{hundredths:02} 0.00");
            }
            Self::LoadAverage => {
                let tasks = process.tasks.count();
                _ = writeln!(text, "0.00 0.00 0.00 1/{tasks} {}", process.pid);
            }
            Self::Processors => {
                let count = thread::cores().len();
                _ = if count == 1 { writeln!(text, "0") } else { writeln!(text, "0-{}", count - 1) };
            }
            Self::Uuid => uuid(&mut text),
            Self::Interface(index, fact) => text = interfaces::text(index, fact),
            Self::Resolver => text = super::resolver(),
        }
        text.into_bytes()
    }

    /// What the program writes to it.
    pub(crate) fn set(self, process: &Process, bytes: &[u8]) -> Result<(), Errno> {
        match self {
            Self::Comm(tid) => {
                let mut name = [0; 16];
                let text = bytes.strip_suffix(b"\n").unwrap_or(bytes);
                let count = text.len().min(15);
                name[..count].copy_from_slice(&text[..count]);
                task(process, tid).ok_or(Errno::SRCH)?.set_name(name);
                Ok(())
            }
            _ => Err(Errno::ACCES),
        }
    }
}

fn task(process: &Process, tid: Option<Tid>) -> Option<TaskHandle> {
    process.tasks.get(tid.unwrap_or(process.pid))
}

/// A name without the zeroes behind it.
fn trimmed(name: &[u8]) -> &[u8] {
    &name[..name.iter().position(|byte| *byte == 0).unwrap_or(name.len())]
}

fn resident_pages(process: &Process) -> usize {
    process.memory.map().areas.iter().map(|(range, _)| process.memory.pages.count(range)).sum()
}

fn maps(process: &Process, with_sizes: bool) -> Vec<u8> {
    let mut text = Vec::new();
    let map = process.memory.map();
    for (range, area) in map.areas.iter() {
        let flag = |on: bool, letter: char| if on { letter } else { '-' };
        let protection = area.protection;
        let (shared, offset, name): (bool, usize, &[u8]) = match &area.backing {
            Behind::Nothing(Name::Heap) => (false, 0, b"[heap]"),
            Behind::Nothing(Name::Stack) => (false, 0, b"[stack]"),
            Behind::Nothing(Name::Vvar) => (false, 0, b"[vvar]"),
            Behind::Nothing(Name::Vdso) => (false, 0, b"[vdso]"),
            Behind::Nothing(Name::None) => (false, 0, b""),
            Behind::File(part) => (part.shared, part.offset, &part.path),
        };
        let mut line = String::new();
        _ = write!(
            line,
            "{:08x}-{:08x} {}{}{}{} {offset:08x} 00:{:02x} {} ",
            range.start,
            range.end,
            flag(protection.read, 'r'),
            flag(protection.write, 'w'),
            flag(protection.execute, 'x'),
            if shared { 's' } else { 'p' },
            if name.is_empty() || name[0] == b'[' { 0 } else { super::DEVICE },
            0,
        );
        if !name.is_empty() {
            while line.len() < 73 {
                line.push(' ');
            }
        }
        text.extend_from_slice(line.as_bytes());
        text.extend_from_slice(name);
        text.push(b'\n');
        if with_sizes {
            let (size, resident) = (range.len() / 1024, process.memory.pages.count(range.clone()) * PAGE / 1024);
            let mut lines = String::new();
            _ = writeln!(lines, "Size:           {size:8} kB\nRss:            {resident:8} kB");
            _ = writeln!(lines, "Pss:            {resident:8} kB\nPrivate_Dirty:  {resident:8} kB");
            text.extend_from_slice(lines.as_bytes());
        }
    }
    text
}

fn stat(text: &mut String, process: &Process, tid: Option<Tid>) {
    let task = task(process, tid);
    let name = task.as_ref().map_or([0; 16], |task| task.name());
    let name = String::from_utf8_lossy(trimmed(&name)).into_owned();
    let cpu_ns = match (&task, tid) {
        (Some(task), Some(_)) => task.cpu_ns(),
        _ => process.cpu_ns_so_far(),
    };
    let ticks = cpu_ns / (1_000_000_000 / TICKS);
    let bytes = process.memory.map().areas.bytes();
    let (number, threads) = (tid.unwrap_or(process.pid), process.tasks.count());
    let resident = resident_pages(process);
    // The fields that nobody here has are 0, as Linux has them for who may not see them.
    _ = writeln!(
        text,
        "{number} ({name}) R 0 {pid} {pid} 0 -1 4194560 0 0 0 0 {ticks} 0 0 0 20 0 {threads} 0 0 {bytes} {resident} \
         18446744073709551615 0 0 0 0 0 0 0 0 0 0 0 0 17 0 0 0 0 0 0 0 0 0 0 0 0 0 0",
        pid = process.pid,
    );
}

fn status(text: &mut String, process: &Process, tid: Option<Tid>) {
    let task = task(process, tid);
    let name = task.as_ref().map_or([0; 16], |task| task.name());
    let (uid, gid) = process.identity.with(|identity| (identity.uid, identity.gid));
    let number = tid.unwrap_or(process.pid);
    let total = process.memory.map().areas.bytes() / 1024;
    let resident = resident_pages(process) * PAGE / 1024;
    _ = writeln!(text, "Name:\t{}", String::from_utf8_lossy(trimmed(&name)));
    _ = writeln!(text, "Umask:\t{:04o}", process.umask.load(core::sync::atomic::Ordering::Relaxed));
    _ = writeln!(text, "State:\tR (running)\nTgid:\t{}\nPid:\t{number}\nPPid:\t0\nTracerPid:\t0", process.pid);
    _ = writeln!(text, "Uid:\t{}\t{}\t{}\t{}", uid.real, uid.effective, uid.saved, uid.files);
    _ = writeln!(text, "Gid:\t{}\t{}\t{}\t{}", gid.real, gid.effective, gid.saved, gid.files);
    _ = writeln!(text, "VmPeak:\t{total:8} kB\nVmSize:\t{total:8} kB\nVmHWM:\t{resident:8} kB");
    _ = writeln!(text, "VmRSS:\t{resident:8} kB\nVmSwap:\t       0 kB\nThreads:\t{}", process.tasks.count());
    if let Some(task) = &task {
        let (mask, pending) = task.signals(|signals| (signals.mask, signals.pending.set()));
        _ = writeln!(text, "SigPnd:\t{:016x}\nShdPnd:\t{:016x}", pending.0, process.signals.pending().0);
        let set = |is_in: &dyn Fn(u64) -> bool| {
            let signals = (1..=signals::LAST).filter(|signal| is_in(process.signals.action(*signal).handler));
            signals.fold(0_u64, |set, signal| set | 1 << (signal - 1))
        };
        let (ignored, caught) =
            (set(&|handler| handler == IGNORE), set(&|handler| !matches!(handler, DEFAULT | IGNORE)));
        _ = writeln!(text, "SigBlk:\t{:016x}\nSigIgn:\t{ignored:016x}\nSigCgt:\t{caught:016x}", mask.0);
        _ = writeln!(text, "Cpus_allowed:\t{:x}", task.affinity());
    }
    let all = process.identity.with(|identity| identity.capabilities());
    _ = writeln!(
        text,
        "CapInh:\t{:016x}\nCapPrm:\t{all:016x}\nCapEff:\t{all:016x}\nCapBnd:\t{ALL_CAPABILITIES:016x}",
        0
    );
    let no_new_privileges = process.identity.with(|identity| u8::from(identity.no_new_privileges));
    _ = writeln!(text, "NoNewPrivs:\t{no_new_privileges}\nSeccomp:\t0");
}

fn limits(text: &mut String, process: &Process) {
    const NAMES: [(&str, u32, &str); 16] = [
        ("Max cpu time", raw::RLIMIT_CPU, "seconds"),
        ("Max file size", raw::RLIMIT_FSIZE, "bytes"),
        ("Max data size", raw::RLIMIT_DATA, "bytes"),
        ("Max stack size", raw::RLIMIT_STACK, "bytes"),
        ("Max core file size", raw::RLIMIT_CORE, "bytes"),
        ("Max resident set", raw::RLIMIT_RSS, "bytes"),
        ("Max processes", raw::RLIMIT_NPROC, "processes"),
        ("Max open files", raw::RLIMIT_NOFILE, "files"),
        ("Max locked memory", raw::RLIMIT_MEMLOCK, "bytes"),
        ("Max address space", raw::RLIMIT_AS, "bytes"),
        ("Max file locks", raw::RLIMIT_LOCKS, "locks"),
        ("Max pending signals", raw::RLIMIT_SIGPENDING, "signals"),
        ("Max msgqueue size", raw::RLIMIT_MSGQUEUE, "bytes"),
        ("Max nice priority", raw::RLIMIT_NICE, ""),
        ("Max realtime priority", raw::RLIMIT_RTPRIO, ""),
        ("Max realtime timeout", raw::RLIMIT_RTTIME, "us"),
    ];
    _ = writeln!(text, "{:<26}{:<21}{:<21}{:<10}", "Limit", "Soft Limit", "Hard Limit", "Units");
    for (name, resource, unit) in NAMES {
        let Ok(limit) = process.limits.get(resource) else { continue };
        let shown = |value: u64| if value == u64::MAX { "unlimited".into() } else { value.to_string() };
        _ = writeln!(text, "{name:<26}{:<21}{:<21}{unit:<10}", shown(limit.soft), shown(limit.hard));
    }
}

fn memory(text: &mut String) {
    let usage = toro::memory::usage();
    let (total, free) = (usage.total / 1024, usage.free / 1024);
    _ = writeln!(text, "MemTotal:       {total:8} kB\nMemFree:        {free:8} kB\nMemAvailable:   {free:8} kB");
    _ = writeln!(text, "Buffers:               0 kB\nCached:                0 kB\nSwapCached:            0 kB");
    _ = writeln!(text, "SwapTotal:             0 kB\nSwapFree:              0 kB\nShmem:                 0 kB");
    _ = writeln!(text, "AnonHugePages:         0 kB\nHugePages_Total:       0\nHugepagesize:       2048 kB");
}

fn processors(text: &mut String) {
    let (khz, processor) = (toro::time::cycles_khz(), toro::user::processor());
    for core in thread::cores() {
        let number = core.index();
        _ = writeln!(text, "processor\t: {number}\nvendor_id\t: {}", String::from_utf8_lossy(&processor.vendor));
        _ = writeln!(text, "model name\t: {}", String::from_utf8_lossy(trimmed(&processor.name)));
        if let Some(khz) = khz {
            _ = writeln!(text, "cpu MHz\t\t: {}.{:03}", khz / 1000, khz % 1000);
        }
        _ = writeln!(text, "physical id\t: 0\nsiblings\t: {}\ncore id\t\t: {number}", thread::cores().len());
        _ = write!(text, "cpu cores\t: {}\nflags\t\t:", thread::cores().len());
        for flag in flags(processor.features) {
            _ = write!(text, " {flag}");
        }
        text.push_str("\n\n");
    }
}

fn machine_stat(text: &mut String, process: &Process) {
    let ticks = |ns: u64| ns / (1_000_000_000 / TICKS);
    let (used, all) = (ticks(process.cpu_ns_so_far()), ticks(time::now_ns()) * thread::cores().len() as u64);
    _ = writeln!(text, "cpu  {used} 0 0 {} 0 0 0 0 0 0", all.saturating_sub(used));
    for core in thread::cores() {
        _ = writeln!(text, "cpu{} 0 0 0 {} 0 0 0 0 0 0", core.index(), ticks(time::now_ns()));
    }
    let boot = time::wall_ns().saturating_sub(time::now_ns()) / 1_000_000_000;
    _ = writeln!(text, "ctxt 0\nbtime {boot}\nprocesses 1\nprocs_running 1\nprocs_blocked 0");
}

fn uuid(text: &mut String) {
    let mut bytes = [0; 16];
    toro::random::fill(&mut bytes);
    (bytes[6], bytes[8]) = (bytes[6] & 0xf | 0x40, bytes[8] & 0x3f | 0x80);
    for (number, byte) in bytes.iter().enumerate() {
        if matches!(number, 4 | 6 | 8 | 10) {
            text.push('-');
        }
        _ = write!(text, "{byte:02x}");
    }
    text.push('\n');
}
