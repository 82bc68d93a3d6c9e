//! `toro logs`: what a guest in the background printed, each stream to where it belongs.

use crate::args::LogsArgs;
use crate::background::log::{self, Changes};
use crate::background::store::Store;
use std::io::ErrorKind;
use toro_vmm::Error;

/// Prints the log; with `-f` until the guest has ended.
pub(crate) fn logs(args: &LogsArgs) -> Result<u8, Error> {
    let store = Store::open()?;
    let (entry, _) = store.find(&args.name)?;
    let failed = |error: std::io::Error| Error::new(format!("cannot read the log of {}: {error}", args.name));
    let changes = args.follow.then(|| Changes::of(entry.folder())).transpose().map_err(failed)?;
    let wait = || {
        let Some(changes) = &changes else { return false };
        // The guest's process holds its lock until all is written.
        let is_alive = store.is_alive(&entry).unwrap_or(false);
        if is_alive {
            changes.wait();
        }
        is_alive
    };
    match log::read(entry.folder(), wait, log::print) {
        // A reader who has seen enough, as `head`, is no failure.
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(0),
        result => result.map(|()| 0).map_err(failed),
    }
}
