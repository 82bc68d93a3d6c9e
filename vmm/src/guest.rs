//! A running guest: started, waited for, talked to, ended.

use crate::backtrace;
use crate::cache;
use crate::check;
use crate::child::{self, Child};
use crate::console;
use crate::error::Error;
use crate::input::Input;
use crate::machine::{Accelerator, Machine};
use crate::outcome::{Ending, Exit};
use crate::ports::Port;
use crate::probe;
use crate::qemu;
use crate::qmp::Qmp;
use crate::symbolize::Symbolizer;
use crate::transcript::{Shared, Transcript};
use crate::workspace::{self, PrivateFolder};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use std::io::Read;
use std::net::SocketAddrV4;
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::process::ExitStatus;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use toro_abi::console::Token;
use toro_abi::control::{Control, Protocol};

/// QEMU connects in some 20 ms; this is for a host that is overloaded.
const START_LIMIT: Duration = Duration::from_secs(30);
/// How long a machine may take to go off after its guest has said how it ended.
const POWER_OFF_LIMIT: Duration = Duration::from_secs(5);
/// How long the last words of a VMM that has ended may take to arrive.
const ENDING_LIMIT: Duration = Duration::from_secs(10);
/// How long the kernel may take to end a killed process; more is a process stuck in the kernel.
const KILL_LIMIT: Duration = Duration::from_secs(20);

/// A running guest. Dropping it ends it.
#[derive(Debug)]
pub struct Guest {
    child: Child,
    shared: Arc<Shared>,
    input: Arc<Input>,
    qmp: Qmp,
    ports: Vec<Port>,
    accelerator: Accelerator,
    symbolizer: Arc<Symbolizer>,
    killed: AtomicBool,
    _folder: PrivateFolder,
}

/// Why a condition was not met.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unmet {
    /// The time limit was reached.
    TimedOut,
    /// The guest ended before.
    Ended,
}

/// Starts `machine`.
pub(crate) fn start(mut machine: Machine) -> Result<Guest, Error> {
    let program = qemu::program(machine.vmm_program.as_deref());
    let accelerator = match machine.accelerator {
        Accelerator::Auto => probe::choose(&program)?.accelerator,
        decided => decided,
    };
    let token = Token::from_random(workspace::random()?);
    let command_line = machine.command_line(token);
    check::check(&machine, &command_line)?;
    let folder = PrivateFolder::new()?;
    let control = folder.path().join("control");
    let listener = UnixListener::bind(&control)
        .map_err(|error| Error::new(format!("cannot open socket {}: {error}", control.display())))?;

    let arguments = qemu::arguments(&machine, accelerator, &command_line, Some(&control));
    let shared = Arc::new(Shared::new());
    let exited = shared.clone();
    let (child, pipes) = child::spawn(qemu::command(&program, &arguments), move |status| {
        exited.update(|transcript| transcript.vmm_exit = Some(status.unwrap_or_default()));
    })
    .map_err(|error| qemu::cannot_start(&program, &error))?;

    let symbolizer = Arc::new(Symbolizer::new(&machine.image.symbols));
    let input = Arc::new(Input::default());
    let sinks = std::mem::take(&mut machine.sinks);
    run("console", {
        let (shared, symbolizer) = (shared.clone(), symbolizer.clone());
        move || console::read(pipes.stdout, token, sinks, &symbolizer, &shared)
    })?;
    run("vmm-messages", {
        let shared = shared.clone();
        move || read_messages(pipes.stderr, &shared)
    })?;
    run("stdin", {
        let (shared, input) = (shared.clone(), input.clone());
        move || input.run(pipes.stdin, &shared)
    })?;

    let qmp = connect(&listener, &child, &shared).and_then(|qmp| {
        // It answers when its machine is complete.
        match qmp.execute("query-status", serde_json::json!({})) {
            Ok(_) => Ok(qmp),
            Err(_) if has_run(&shared) => Ok(qmp),
            Err(error) => Err(error),
        }
    });
    let qmp = match qmp {
        Ok(qmp) => qmp,
        Err(error) => {
            // It may have ended by itself a moment ago, with a better reason than ours.
            let ended = shared.wait(Some(Instant::now() + ENDING_LIMIT), |said| said.has_ended().then_some(()));
            child.kill();
            input.close();
            let Some(()) = ended else { return Err(error) };
            let said = shared.lock();
            let status = said.vmm_exit.map(|status| status.to_string()).unwrap_or_default();
            return Err(qemu::explain_death(&program, &machine, &status, &said.vmm_messages));
        }
    };
    let mut guest = Guest {
        child,
        shared,
        input,
        qmp,
        ports: machine.ports,
        accelerator,
        symbolizer,
        killed: AtomicBool::new(false),
        _folder: folder,
    };
    if let Some(version) = guest.qmp.version {
        qemu::check_version(&program, version)?;
    }
    guest.learn_free_ports()?;
    if machine.gdb_port.is_none() {
        guest.begin()?;
    }
    Ok(guest)
}

/// Whether a VMM that does not answer has ended because its guest was quick, and not because it failed to start.
fn has_run(shared: &Shared) -> bool {
    if shared.lock().is_over() {
        return true;
    }
    let deadline = Instant::now() + ENDING_LIMIT;
    let exit = shared.wait(Some(deadline), |said| said.vmm_exit.filter(|_| said.has_ended()));
    let said = shared.lock();
    exit.is_some_and(|exit| exit.success()) || said.image_base().is_some() || said.outcome.is_some()
}

fn run(name: &str, work: impl FnOnce() + Send + 'static) -> Result<(), Error> {
    let started = std::thread::Builder::new().name(name.into()).spawn(work);
    started.map(drop).map_err(|error| Error::new(format!("cannot start a thread: {error}")))
}

/// Waits for QEMU to connect, or to end.
fn connect(listener: &UnixListener, child: &Child, shared: &Arc<Shared>) -> Result<Qmp, Error> {
    let failed = |why: &dyn std::fmt::Display| Error::new(format!("cannot talk to QEMU: {why}"));
    let mut events = [PollFd::new(listener, PollFlags::IN), PollFd::new(child.exit_event(), PollFlags::IN)];
    let limit = Timespec { tv_sec: START_LIMIT.as_secs() as i64, tv_nsec: 0 };
    let ready = loop {
        match poll(&mut events, Some(&limit)) {
            Err(rustix::io::Errno::INTR) => continue,
            result => break result.map_err(|error| failed(&error))?,
        }
    };
    if ready == 0 || !events[0].revents().contains(PollFlags::IN) {
        return Err(failed(&"it did not connect"));
    }
    let (stream, _) = listener.accept().map_err(|error| failed(&error))?;
    stream.set_read_timeout(Some(START_LIMIT)).map_err(|error| failed(&error))?;
    Qmp::connect(stream, shared.clone()).map_err(|error| failed(&error))
}

fn read_messages(mut stderr: impl Read, shared: &Shared) {
    let mut buffer = [0; 4096];
    while let Ok(len @ 1..) = stderr.read(&mut buffer) {
        let text = String::from_utf8_lossy(&buffer[..len]);
        shared.update(|transcript| {
            // A limit, so that a VMM that complains without end fills nothing.
            if transcript.vmm_messages.len() < 1 << 20 {
                transcript.vmm_messages.push_str(&text);
            }
        });
    }
    shared.update(|transcript| transcript.streams_ended += 1);
}

impl Guest {
    /// Process id of the VMM, for who measures it.
    pub fn pid(&self) -> u32 {
        self.child.pid
    }

    /// What executes the guest, once `auto` has been decided.
    pub fn accelerator(&self) -> Accelerator {
        self.accelerator
    }

    /// When the VMM was started: the origin of all times in the transcript.
    pub fn started(&self) -> Instant {
        self.shared.started
    }

    /// What to say of a VMM that nobody has tried; once a boot of the host for each version.
    pub fn vmm_news(&self) -> Option<String> {
        let version = self.qmp.version?;
        let fact = format!("qemu-{}.{}", version.0, version.1);
        qemu::untried(version).filter(|_| cache::is_news(&fact))
    }

    /// Published ports, the host's free ones filled in.
    pub fn ports(&self) -> &[Port] {
        &self.ports
    }

    /// Where the host reaches a published TCP port.
    pub fn host_address(&self, guest_port: u16) -> Option<SocketAddrV4> {
        let wanted = |port: &&Port| port.guest == guest_port && port.protocol == Protocol::Tcp;
        self.ports.iter().find(wanted).map(|port| port.host)
    }

    /// The control connection.
    pub fn qmp(&self) -> &Qmp {
        &self.qmp
    }

    /// Reads the transcript so far.
    pub fn transcript<R>(&self, read: impl FnOnce(&Transcript) -> R) -> R {
        read(&self.shared.lock())
    }

    /// Waits until `condition` gives a value. It is asked again whenever something was said, or [`Guest::wake`] was called.
    pub fn wait_until<T>(
        &self,
        limit: Option<Duration>,
        mut condition: impl FnMut(&Transcript) -> Option<T>,
    ) -> Result<T, Unmet> {
        let met = self.shared.wait(deadline(limit), |transcript| match condition(transcript) {
            Some(value) => Some(Ok(value)),
            None => transcript.has_ended().then_some(Err(Unmet::Ended)),
        });
        met.unwrap_or(Err(Unmet::TimedOut))
    }

    /// Waits for a control record.
    pub fn wait_for_event(&self, limit: Duration, mut wanted: impl FnMut(&Control) -> bool) -> Result<Duration, Unmet> {
        self.wait_until(Some(limit), |said| {
            said.controls.iter().find(|(_, control)| wanted(control)).map(|(after, _)| *after)
        })
    }

    /// Waits until the guest listens on a TCP port, and returns when it began.
    pub fn wait_for_listen(&self, guest_port: u16, limit: Duration) -> Result<Duration, Unmet> {
        self.wait_for_event(limit, |control| *control == Control::Listen { protocol: Protocol::Tcp, port: guest_port })
    }

    /// Waits until standard output, standard error or the log, as far as kept, contains `text`.
    pub fn wait_for_text(&self, text: &str, limit: Duration) -> Result<(), Unmet> {
        let has = |stream: &[u8]| stream.windows(text.len().max(1)).any(|window| window == text.as_bytes());
        self.wait_until(Some(limit), |said| (has(&said.stdout) || has(&said.stderr) || has(&said.log)).then_some(()))
    }

    /// Has everybody in [`Guest::wait_until`] ask its condition again.
    pub fn wake(&self) {
        self.shared.update(|_| ());
    }

    /// Sends standard input; waits while the guest does not take it. `false` when the guest has ended.
    pub fn send_stdin(&self, bytes: &[u8]) -> bool {
        self.input.send(bytes)
    }

    /// Ends standard input.
    pub fn close_stdin(&self) {
        self.input.end();
    }

    /// Asks the guest to stop, which it answers with an outcome.
    pub fn request_stop(&self) {
        self.input.stop();
    }

    /// Where each processor is, symbolised. The machine stands still meanwhile, and runs on after.
    pub fn backtrace(&self) -> Result<String, Error> {
        let base = self.transcript(Transcript::image_base);
        backtrace::collect(&self.qmp, base, &self.symbolizer)
    }

    /// Ends the machine at once.
    pub fn kill(&self) {
        if !self.transcript(|said| said.vmm_exit.is_some()) {
            self.killed.store(true, Ordering::Relaxed);
            self.child.kill();
        }
    }

    /// Waits for the guest to end. One that does not end in time is ended, and its exit holds a backtrace.
    pub fn wait(&self, limit: Duration) -> Exit {
        match self.wait_until(Some(limit), |said| said.outcome.is_some().then_some(())) {
            Ok(()) | Err(Unmet::Ended) => self.finish(),
            Err(Unmet::TimedOut) => {
                let backtrace = self.backtrace().unwrap_or_else(|error| format!("no backtrace: {error}\n"));
                self.kill();
                Exit { ending: Ending::TimedOut, backtrace, ..self.finish() }
            }
        }
    }

    /// Asks the guest to stop and waits for it to end.
    pub fn stop(&self, limit: Duration) -> Exit {
        self.request_stop();
        self.wait(limit)
    }

    /// The end of a guest that has said its outcome, has ended or was killed: waits for the machine to go off.
    pub fn finish(&self) -> Exit {
        if self.wait_until::<()>(Some(POWER_OFF_LIMIT), |_| None) == Err(Unmet::TimedOut) {
            self.child.kill();
            // Whatever it is stuck in, there is an outcome to report.
            let _ended = self.wait_until::<()>(Some(KILL_LIMIT), |_| None);
        }
        self.input.close();
        let mut said = self.shared.lock();
        Exit {
            ending: ending(&said, self.killed.load(Ordering::Relaxed)),
            stdout: std::mem::take(&mut said.stdout),
            stderr: std::mem::take(&mut said.stderr),
            log: std::mem::take(&mut said.log),
            vmm_messages: said.vmm_messages.clone(),
            backtrace: String::new(),
        }
    }

    /// Lets the machine run, which has waited since it was made.
    fn begin(&self) -> Result<(), Error> {
        match self.qmp.execute("cont", serde_json::json!({})) {
            Ok(_) => Ok(()),
            // It was so quick that QEMU ended with its answer still on the way.
            Err(_) if has_run(&self.shared) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Asks QEMU which free ports it took.
    fn learn_free_ports(&mut self) -> Result<(), Error> {
        if self.ports.iter().all(|port| port.host.port() != 0) {
            return Ok(());
        }
        let text = match self.qmp.monitor("info usernet") {
            Err(_) if has_run(&self.shared) => return Ok(()), // nobody can connect any more
            text => text?,
        };
        let mut forwards = parse_forwards(&text);
        for port in self.ports.iter_mut().filter(|port| port.host.port() == 0) {
            let at =
                forwards.iter().position(|(protocol, _, guest)| (*protocol, *guest) == (port.protocol, port.guest));
            let Some(at) = at else {
                return Err(Error::new(format!("cannot publish {port}: QEMU did not say which port it took"))
                    .help(format!("name a port: -p 8080:{}", port.guest)));
            };
            port.host.set_port(forwards.remove(at).1);
        }
        Ok(())
    }
}

impl Drop for Guest {
    fn drop(&mut self) {
        self.input.close();
        if !self.transcript(|said| said.vmm_exit.is_some()) {
            self.child.kill();
            let deadline = Instant::now() + KILL_LIMIT;
            self.shared.wait(Some(deadline), |said| said.vmm_exit);
        }
    }
}

fn deadline(limit: Option<Duration>) -> Option<Instant> {
    limit.and_then(|limit| Instant::now().checked_add(limit))
}

fn ending(said: &Transcript, killed: bool) -> Ending {
    if let Some(outcome) = &said.outcome {
        return Ending::Said(outcome.clone());
    }
    match said.vmm_exit {
        _ if killed => Ending::Killed,
        // A machine that went off ran; QEMU 7.2 may hang while it ends, and was helped.
        Some(status) if !status.success() && said.shutdown_reason.is_none() => {
            let last = said.vmm_messages.lines().rfind(|line| !line.trim().is_empty());
            Ending::VmmFailed { reason: last.map_or(status.to_string(), |last| format!("{last} ({status})")) }
        }
        None if said.is_stuck() => {
            let line = said.vmm_messages.lines().find(|line| line.contains("KVM internal error"));
            Ending::VmmFailed { reason: line.unwrap_or_default().into() }
        }
        _ => {
            let reason = match said.shutdown_reason.as_deref() {
                Some("guest-reset") => "the machine reset, as after a triple fault".to_owned(),
                Some("guest-shutdown") => "the machine was switched off".into(),
                Some(other) => format!("QEMU says {other}"),
                None => said
                    .vmm_exit
                    .map_or("QEMU does not end".into(), |status: ExitStatus| format!("QEMU ended ({status})")),
            };
            Ending::Silent { reason }
        }
    }
}

/// Protocol, host port and guest port of each forward that `info usernet` lists.
fn parse_forwards(text: &str) -> Vec<(Protocol, u16, u16)> {
    let parse = |line: &str| {
        let words: Vec<&str> = line.split_whitespace().collect();
        let protocol = match *words.first()? {
            "TCP[HOST_FORWARD]" => Protocol::Tcp,
            "UDP[HOST_FORWARD]" => Protocol::Udp,
            _ => return None,
        };
        Some((protocol, words.get(3)?.parse().ok()?, words.get(5)?.parse().ok()?))
    };
    text.lines().filter_map(parse).collect()
}

/// Whether this host has what it takes to start guests, for tests that skip where it has not.
pub fn can_start(program: Option<&Path>) -> Result<(u64, u64), Error> {
    let program = qemu::program(program);
    let version = qemu::version(&program)?;
    qemu::check_version(&program, version)?;
    Ok(version)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forwards_are_read_from_the_monitor() {
        let text = "Hub -1 (net0):\n  Protocol[State]    FD  Source Address  Port   Dest. Address  Port RecvQ SendQ\n  \
                    TCP[HOST_FORWARD]  13       127.0.0.1 37423       10.0.2.15    80     0     0\n  \
                    UDP[HOST_FORWARD]  14               * 53000       10.0.2.15    53     0     0\n";
        assert_eq!(parse_forwards(text), [(Protocol::Tcp, 37423, 80), (Protocol::Udp, 53000, 53)]);
    }
}
