//! The kernel's log: `[seconds] subsystem: fact`, filtered by `log=` on the command line.
//!
//! A filter is a level, or `subsystem=level` separated by commas; what is given last wins.

use crate::arch::{SpinLock, time};
use crate::console;
use log::{Level, LevelFilter, Log, Metadata, Record};
use toro_abi::cmdline::{self, CommandLine};

struct Logger;

static LOGGER: Logger = Logger;
static FILTER: SpinLock<&'static str> = SpinLock::new("warn");

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
        console::kernel_line(format_args!("[{}.{:03}] {subsystem}: {level}{}", ms / 1000, ms % 1000, record.args()));
    }

    fn flush(&self) {}
}
