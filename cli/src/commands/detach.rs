//! `toro run -d`: starts this program again in the background and stays until it is known whether the guest came up.

use crate::application::Application;
use crate::background::log;
use crate::background::spawn::spawn;
use crate::background::store::Store;
use crate::commands::run;
use crate::config::Config;
use crate::ui::{self, Page};
use std::io::{BufRead, BufReader, ErrorKind, Write};
use std::os::unix::net::UnixStream;
use std::process::Child;
use std::time::{Duration, Instant};
use toro_abi::outcome::status;
use toro_vmm::Error;

/// How long a guest may take from its kernel's first words until it listens on its published ports, before its name is printed anyway.
const LISTEN_LIMIT: Duration = Duration::from_secs(10);
/// A guest without ports is watched for as long, since what fails at its start fails at once.
const START_WATCH: Duration = Duration::from_secs(1);

/// Builds, starts the background process, and prints the guest's name once it is up.
pub(crate) fn detach(config: &Config, application: &mut Application) -> Result<u8, Error> {
    if let Some(name) = &config.name {
        Store::open()?.check_free(name)?;
    }
    application.build()?;
    let accelerator = run::choose_accelerator(config.accelerator)?;
    let failed = |error: std::io::Error| Error::new(format!("cannot start the background process: {error}"));
    let (mut process, connection) = spawn(accelerator).map_err(failed)?;
    let verdict = Starter { events: BufReader::new(connection), name: None }.watch(!config.ports.is_empty());
    verdict.map_err(failed)?.tell(&mut process).map_err(failed)
}

/// What came of the start.
enum Verdict {
    /// It runs; a port on which it does not listen yet is told.
    Up { name: String, is_late: bool },
    /// The process ended; the kernel may have run.
    Ended { name: Option<String>, has_booted: bool },
}

struct Starter {
    events: BufReader<UnixStream>,
    name: Option<String>,
}

impl Starter {
    /// Follows the start. No limit for the machine to come up: its process has those.
    fn watch(mut self, has_ports: bool) -> std::io::Result<Verdict> {
        let (mut deadline, mut has_booted, mut is_ending) = (None, false, false);
        loop {
            let Some(line) = self.next(deadline)? else {
                return Ok(self.content(has_ports));
            };
            match line.split_once(' ').unwrap_or((&line, "")) {
                ("", _) => {
                    return Ok(Verdict::Ended { name: self.name, has_booted });
                }
                ("name", name) => self.name = Some(name.to_owned()),
                ("boot", _) if is_ending => has_booted = true,
                ("boot", _) => {
                    has_booted = true;
                    deadline = Some(Instant::now() + if has_ports { LISTEN_LIMIT } else { START_WATCH });
                }
                ("ending", _) => (is_ending, deadline) = (true, None),
                ("listening" | "waiting-for-debugger", _) => return Ok(self.content(false)),
                ("ready", line) => ui::ready(line),
                _ => {}
            }
        }
    }

    /// The next line; empty at the end, `None` at the deadline.
    fn next(&mut self, deadline: Option<Instant>) -> std::io::Result<Option<String>> {
        let mut line = String::new();
        loop {
            let left = deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
            if left.is_some_and(|left| left.is_zero()) {
                return Ok(None);
            }
            self.events.get_ref().set_read_timeout(left)?;
            match self.events.read_line(&mut line) {
                Ok(_) => return Ok(Some(line.trim_end().to_owned())),
                Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => {}
                Err(error) if error.kind() == ErrorKind::ConnectionReset => return Ok(Some(String::new())),
                Err(error) => return Err(error),
            }
        }
    }

    /// Lets the process go its own way.
    fn content(self, is_late: bool) -> Verdict {
        match (self.name, self.events.get_ref().write_all(b"!")) {
            (Some(name), Ok(())) => Verdict::Up { name, is_late },
            (name, _) => Verdict::Ended { name, has_booted: true },
        }
    }
}

impl Verdict {
    fn tell(self, process: &mut Child) -> std::io::Result<u8> {
        let (name, has_booted) = match self {
            Self::Up { name, is_late } => {
                if is_late {
                    ui::note(
                        format_args!("{name} runs, but does not listen on all published ports yet"),
                        Some(&format!("`toro logs {name}` shows what it says")),
                    );
                }
                return print(name);
            }
            Self::Ended { name, has_booted } => (name, has_booted),
        };
        let code = process.wait()?.code().map_or(status::TOOL, |code| code as u8);
        match (name, code) {
            // It was quick.
            (Some(name), 0) => print(name),
            (Some(name), code) => {
                replay(&name);
                if has_booted {
                    ui::note(format_args!("{name} ended at its start, with status {code}"), None);
                }
                Ok(code)
            }
            // It has said why on our standard error.
            (None, code) => Ok(code),
        }
    }
}

fn print(name: String) -> std::io::Result<u8> {
    let mut page = Page::default();
    page.line(name);
    page.print().map(|()| 0).map_err(std::io::Error::other)
}

/// Shows what a guest said that did not come up.
fn replay(name: &str) {
    let Ok((entry, _)) = Store::open().and_then(|store| store.find(name)) else { return };
    // Beside the failure that is told, one of showing more of it is nothing.
    let _shown = log::read(entry.folder(), || false, log::print);
}
