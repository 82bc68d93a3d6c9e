//! `toro stop` and `toro kill`: the end of guests in the background; `toro rm` forgets those that have ended.

use crate::args::{NamesArgs, StopArgs};
use crate::background::control::Connection;
use crate::background::store::{Entry, Store};
use crate::ui;
use std::time::Duration;
use toro_abi::outcome::status;
use toro_vmm::Error;

/// How long a process may take to end its VMM and write down what happened.
const KILL_LIMIT: Duration = Duration::from_secs(30);

/// Asks guests to end and waits; those that do not are killed, and the status is 124.
pub(crate) fn stop(args: &StopArgs) -> Result<u8, Error> {
    let limit = Duration::try_from_secs_f64(args.time).map_err(|_| {
        Error::new(format!("cannot wait {} seconds", args.time)).help("-t takes seconds, for example 2.5")
    })?;
    each(&args.names, |entry| {
        let Some(connection) = Connection::open(entry.folder())? else { return Ok(has_ended(entry)) };
        connection.ask("stop");
        if connection.wait(limit) {
            return Ok(0);
        }
        ui::note(format_args!("{} did not end within {limit:?}, and is killed", entry.name()), None);
        end_now(entry, &connection)?;
        Ok(status::TIMEOUT)
    })
}

/// Ends guests at once.
pub(crate) fn kill(args: &NamesArgs) -> Result<u8, Error> {
    each(&args.names, |entry| {
        let Some(connection) = Connection::open(entry.folder())? else { return Ok(has_ended(entry)) };
        end_now(entry, &connection).map(|()| 0)
    })
}

/// Forgets guests that have ended.
pub(crate) fn rm(args: &NamesArgs) -> Result<u8, Error> {
    let store = Store::open()?;
    each(&args.names, |entry| store.remove(entry.name()).map(|()| 0))
}

/// Does it for all, whatever becomes of the others; the status is the last failure's.
fn each(names: &[String], mut act: impl FnMut(&Entry) -> Result<u8, Error>) -> Result<u8, Error> {
    let store = Store::open()?;
    let mut last = 0;
    for name in names {
        match store.find(name).and_then(|(entry, _)| act(&entry)) {
            Ok(0) => {}
            Ok(status) => last = status,
            Err(error) => {
                ui::error(&error);
                last = error.status();
            }
        }
    }
    Ok(last)
}

fn has_ended(entry: &Entry) -> u8 {
    ui::note(format_args!("{} has ended already", entry.name()), None);
    0
}

fn end_now(entry: &Entry, connection: &Connection) -> Result<(), Error> {
    connection.ask("kill");
    if connection.wait(KILL_LIMIT) {
        return Ok(());
    }
    Err(Error::new(format!("cannot end {}: its process does not answer", entry.name()))
        .help(format!("`toro inspect {}` names its processes, pid and vmm_pid", entry.name())))
}
