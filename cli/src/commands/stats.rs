//! `toro stats`: what a guest in the background has used and counted.

use crate::args::StatsArgs;
use crate::background::control::Connection;
use crate::background::store::Store;
use crate::ui::Page;
use toro_vmm::Error;

/// Prints it.
pub(crate) fn stats(args: &StatsArgs) -> Result<u8, Error> {
    let (entry, _) = Store::open()?.find(&args.name)?;
    let connection = Connection::open(entry.folder())?.ok_or_else(|| {
        Error::new(format!("{} has ended, and counts no more", args.name)).help("`toro run --stats` tells at the end")
    })?;
    let figures = connection.stats()?;
    let mut page = Page::default();
    if args.json {
        page.line(format_args!("{:#}", figures.to_json()));
    } else {
        figures.lines().iter().for_each(|line| page.line(line));
    }
    page.print()?;
    Ok(0)
}
