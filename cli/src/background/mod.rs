//! Guests in the background: no daemon, one process of the tool for each guest, and a folder where it is found.
//!
//! `toro run -d` starts itself again in a session of its own. That process is the same `toro run` as in the foreground; beside
//! it this module keeps a folder per guest ([`store`]) with a lock that its process holds while it lives, its state as JSON
//! ([`state`]), its streams in one file ([`log`]) and a socket to be asked on ([`control`]).

pub(crate) mod control;
pub(crate) mod log;
pub(crate) mod names;
pub(crate) mod spawn;
pub(crate) mod state;
pub(crate) mod store;

use self::log::Capture;
use self::state::State;
use self::store::Claim;
use crate::signals;
use serde_json::Value;
use std::io::Write;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use toro_abi::control::Control;
use toro_vmm::{Error, Guest, Machine};

/// The background side of a run: what the watching loop tells the rest of the world.
pub(crate) struct Background {
    claim: Claim,
    capture: Capture,
    state: Mutex<State>,
    /// Whoever typed `toro run -d`, until it has seen enough.
    starter: UnixStream,
}

impl Background {
    /// Becomes a process of its own, takes the name, and has its output go to the log from here on.
    pub(crate) fn begin(name: Option<&str>) -> Result<Self, Error> {
        let failed = |error: std::io::Error| Error::new(format!("cannot go to the background: {error}"));
        // Standard input is the connection to the starter; the guest's is empty.
        let starter = std::io::stdin().as_fd().try_clone_to_owned().map_err(failed)?;
        let null: OwnedFd = std::fs::File::open("/dev/null").map_err(failed)?.into();
        rustix::stdio::dup2_stdin(&null).map_err(|error| failed(error.into()))?;
        rustix::process::setsid().map_err(|error| failed(error.into()))?;
        let starter = UnixStream::from(starter);

        let claim = store::Store::open()?.claim(name)?;
        control::serve(claim.folder())?;
        let state = State::new(claim.name());
        state.store(claim.folder())?;
        let capture = Capture::begin(claim.folder())?;
        let background = Self { claim, capture, state: Mutex::new(state), starter };
        background.tell(&format!("name {}", background.name()));
        background.end_with_starter()?;
        Ok(background)
    }

    /// The guest's name.
    pub(crate) fn name(&self) -> &str {
        self.claim.name()
    }

    /// What is about to be started.
    pub(crate) fn starts(&self, machine: &Machine, shown: &str) {
        self.update(|state| state.set_machine(machine, shown));
    }

    /// The machine runs.
    pub(crate) fn started(&self, guest: &Arc<Guest>, waits_for_debugger: bool) {
        control::set_guest(guest);
        self.update(|state| state.set_started(guest));
        if waits_for_debugger {
            self.tell("waiting-for-debugger");
        }
    }

    /// The guest said this.
    pub(crate) fn heard(&self, controls: &[(Duration, Control)]) {
        if controls.is_empty() {
            return;
        }
        self.update(|state| controls.iter().for_each(|(_, control)| state.hear(control)));
        if controls.iter().any(|(_, control)| matches!(control, Control::Boot { .. })) {
            self.tell("boot");
        }
        if self.state.lock().unwrap_or_else(PoisonError::into_inner).listens_on_all_ports() {
            self.tell("listening");
        }
    }

    /// The guest has ended, or was told to.
    pub(crate) fn ending(&self) {
        self.tell("ending");
    }

    /// A line that the user should see.
    pub(crate) fn ready(&self, line: &str) {
        self.tell(&format!("ready {line}"));
    }

    /// The run is over: the log is complete, then the state says so.
    pub(crate) fn end(self, report: Value) -> Result<(), Error> {
        self.capture.end();
        let mut state = self.state.into_inner().unwrap_or_else(PoisonError::into_inner);
        state.end(report);
        state.store(self.claim.folder())
    }

    /// A state that cannot be written is told in the log, and the guest goes on.
    fn update(&self, change: impl FnOnce(&mut State)) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        change(&mut state);
        if let Err(error) = state.store(self.claim.folder()) {
            crate::ui::error(&error);
        }
    }

    fn tell(&self, line: &str) {
        // Nobody reads it once the starter has gone.
        let _told = writeln!(&self.starter, "{line}");
    }

    /// A starter that is interrupted before it has said that it is content takes the guest with it.
    fn end_with_starter(&self) -> Result<(), Error> {
        let failed = |error: std::io::Error| Error::new(format!("cannot wait for who started this: {error}"));
        let starter = self.starter.try_clone().map_err(failed)?;
        let wait = move || {
            let mut byte = [0];
            let is_content = matches!(std::io::Read::read(&mut &starter, &mut byte), Ok(1));
            if !is_content {
                signals::kill();
            }
        };
        std::thread::Builder::new().name("starter".into()).spawn(wait).map(drop).map_err(failed)
    }
}
