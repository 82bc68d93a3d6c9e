//! The kernel's log: `[seconds] subsystem: fact`, filtered by `log=` on the command line.
//!
//! A filter is a level, or `subsystem=level` separated by commas; what is given last wins.

use crate::arch::{SpinLock, time};
use crate::console;
use core::fmt::{self, Write};
use log::{Level, LevelFilter, Log, Metadata, Record};
use toro_abi::cmdline::{self, CommandLine};

struct Logger;

static LOGGER: Logger = Logger;
static FILTER: SpinLock<&'static str> = SpinLock::new("warn");

/// Lines that are kept for a report, and how much of each.
const LAST_LINES: usize = 8;
const LINE_BYTES: usize = 120;

/// The last lines, oldest first from `next` on.
struct Last {
    lines: [Line; LAST_LINES],
    next: usize,
}

/// The beginning of a line.
#[derive(Clone, Copy)]
struct Line {
    bytes: [u8; LINE_BYTES],
    count: u8,
}

static LAST: SpinLock<Last> =
    SpinLock::new(Last { lines: [Line { bytes: [0; LINE_BYTES], count: 0 }; LAST_LINES], next: 0 });

impl Line {
    fn as_str(&self) -> &str {
        core::str::from_utf8(&self.bytes[..usize::from(self.count)]).unwrap_or_default()
    }
}

impl Write for Line {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let room = &mut self.bytes[usize::from(self.count)..];
        let mut kept = text.len().min(room.len());
        while !text.is_char_boundary(kept) {
            kept -= 1;
        }
        room[..kept].copy_from_slice(&text.as_bytes()[..kept]);
        self.count += kept as u8;
        if kept < text.len() { Err(fmt::Error) } else { Ok(()) }
    }
}

/// Calls `f` with the last lines of the log, oldest first; with none while one is being kept.
pub(crate) fn with_last_lines(f: impl FnOnce(&mut dyn Iterator<Item = &str>)) {
    if LAST.is_held_here() {
        return;
    }
    let lines = LAST.with(|last| {
        let mut lines = last.lines;
        lines.rotate_left(last.next);
        lines
    });
    f(&mut lines.iter().map(Line::as_str).filter(|line| !line.is_empty()));
}

/// For the report that ends the machine: whoever keeps a line now does not come back.
pub(crate) fn seize() {
    LAST.seize();
}

/// Starts the log.
#[cold]
pub fn init(command_line: CommandLine<'static>) {
    if let Some(filter) = command_line.get(cmdline::LOG) {
        let filter = alloc::boxed::Box::leak(filter.to_text().into_boxed_str());
        FILTER.with(|stored| *stored = filter);
    }
    let most = FILTER.with(|filter| words(filter).map(|(_, level)| level).max()).unwrap_or(LevelFilter::Warn);
    if log::set_logger(&LOGGER).is_ok() {
        log::set_max_level(most);
    }
}

/// Subsystem (empty: all) and level of each word.
fn words(filter: &str) -> impl Iterator<Item = (&str, LevelFilter)> {
    filter.split(',').filter_map(|word| {
        let (subsystem, level) = word.split_once('=').unwrap_or(("", word));
        level.parse().ok().map(|level| (subsystem, level))
    })
}

/// `toro_kernel::net::arp` is `net`.
fn subsystem(target: &str) -> &str {
    target.strip_prefix("toro_kernel::").unwrap_or(target).split("::").next().unwrap_or(target)
}

impl Log for Logger {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        let subsystem = subsystem(metadata.target());
        let filter = FILTER.with(|filter| *filter);
        let level = words(filter).filter(|(name, _)| name.is_empty() || *name == subsystem).last();
        metadata.level() <= level.map_or(LevelFilter::Warn, |(_, level)| level)
    }

    fn log(&self, record: &Record<'_>) {
        if !self.enabled(record.metadata()) {
            return;
        }
        let ms = time::now_ns() / 1_000_000;
        let level = match record.level() {
            Level::Error => "error: ",
            Level::Warn => "warning: ",
            _ => "",
        };
        let subsystem = subsystem(record.target());
        let seconds = (ms / 1000, ms % 1000);
        console::kernel_line(format_args!("[{}.{:03}] {subsystem}: {level}{}", seconds.0, seconds.1, record.args()));
        // Apart, because what is formatted may be the application's: it may log in its turn, or fail.
        let mut line = Line { bytes: [0; LINE_BYTES], count: 0 };
        let _longer_is_cut = write!(line, "[{}.{:03}] {subsystem}: {level}{}", seconds.0, seconds.1, record.args());
        LAST.with(|last| {
            last.lines[last.next] = line;
            last.next = (last.next + 1) % LAST_LINES;
        });
    }

    fn flush(&self) {}
}
