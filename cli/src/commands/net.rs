//! `toro net`: how the network of a guest in the background stands.

use crate::args::StatsArgs;
use crate::background::control::Connection;
use crate::background::store::Store;
use crate::ui::Page;
use toro_vmm::Error;

/// Prints it.
pub(crate) fn net(args: &StatsArgs) -> Result<u8, Error> {
    let (entry, _) = Store::open()?.find(&args.name)?;
    let connection = Connection::open(entry.folder())?
        .ok_or_else(|| Error::new(format!("{} has ended, and has no network any more", args.name)))?;
    let sockets = connection.network()?;
    let mut page = Page::default();
    if args.json {
        page.line(format_args!("{:#}", sockets.to_json()));
    } else {
        sockets.lines().iter().for_each(|line| page.line(line));
    }
    page.print()?;
    Ok(0)
}
