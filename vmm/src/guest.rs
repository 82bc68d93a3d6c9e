//! A running guest: waited for, talked to, ended.

use crate::backtrace;
use crate::cache;
use crate::child::Child;
use crate::core_file;
use crate::error::Error;
use crate::hurry::Hurry;
use crate::input::Input;
use crate::machine::Accelerator;
use crate::outcome::{Ending, Exit};
use crate::ports::Port;
use crate::qemu;
use crate::qmp::Qmp;
use crate::report::Report;
use crate::symbolize::{Of, Symbolizer};
use crate::transcript::{NetworkState, Shared, Transcript};
use crate::usage::Usage;
use serde_json::json;
use std::net::SocketAddrV4;
use std::path::{Path, PathBuf};
use std::process::ExitStatus;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::{Duration, Instant};
use toro_abi::control::{Control, Protocol};
use toro_abi::stats::Stat;

/// How long QEMU may take to say where its guest is before somebody is told that it is waited for.
const PATIENCE: Duration = Duration::from_secs(1);
/// How long a machine may take to go off after its guest has said how it ended.
const POWER_OFF_LIMIT: Duration = Duration::from_secs(5);
/// How long QEMU may take to write all memory.
const DUMP_LIMIT: Duration = Duration::from_secs(300);
/// How long the last words of a VMM that was ended may take: more than readers have left when there is hurry.
const LAST_WORDS_LIMIT: Duration = Duration::from_secs(5);
/// How long the kernel may take to end a killed process; more is a process stuck in the kernel.
const KILL_LIMIT: Duration = Duration::from_secs(20);

/// A running guest. Dropping it ends it.
#[derive(Debug)]
pub struct Guest {
    pub(crate) child: Child,
    pub(crate) shared: Arc<Shared>,
    pub(crate) input: Arc<Input>,
    /// Of the readers of its output.
    pub(crate) hurry: Arc<Hurry>,
    pub(crate) qmp: Qmp,
    pub(crate) ports: Vec<Port>,
    pub(crate) accelerator: Accelerator,
    pub(crate) symbolizer: Arc<Symbolizer>,
    /// Where a core is written to; the machine then stands still at its end.
    pub(crate) core: Option<PathBuf>,
    /// The caller ended it.
    pub(crate) killed: AtomicBool,
}

/// Why a condition was not met.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unmet {
    /// The time limit was reached.
    TimedOut,
    /// The guest ended before.
    Ended,
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

    /// Asks the guest what it has counted, and waits for the answer.
    ///
    /// # Errors
    /// A guest that has ended, does not answer in time, or was built before there was this question.
    pub fn statistics(&self, limit: Duration) -> Result<Vec<Stat>, Error> {
        self.check_revision(1, COUNTED)?;
        let told = self.transcript(|said| said.stats_told);
        self.input.ask_stats();
        let answer = self.wait_until(Some(limit), |said| (said.stats_told > told).then(|| said.stats.clone()));
        answer.map_err(|why| unanswered(COUNTED, why, limit))
    }

    /// Asks the guest how its network stands, and waits for the answer.
    ///
    /// # Errors
    /// As of [`statistics`](Self::statistics).
    pub fn network(&self, limit: Duration) -> Result<NetworkState, Error> {
        self.check_revision(2, NETWORK)?;
        let told = self.transcript(|said| said.network_told);
        self.input.ask_network();
        let answer = self.wait_until(Some(limit), |said| (said.network_told > told).then(|| said.network.clone()));
        answer.map_err(|why| unanswered(NETWORK, why, limit))
    }

    /// Whether the guest knows a question that came with this revision.
    fn check_revision(&self, needed: u32, what: &str) -> Result<(), Error> {
        match self.transcript(Transcript::revision) {
            None => Err(silent(what, "it has not booted")),
            Some(revision) if revision < needed => {
                Err(silent(what, "its kernel is older than the question")
                    .help("build it again with this version of toro"))
            }
            Some(_) => Ok(()),
        }
    }

    /// Whose core was written, and the file with its symbols, where that is one to stay.
    pub fn core_symbols(&self) -> Option<(Of, PathBuf)> {
        let of = self.transcript(|said| said.last_report().map_or(Of::Image, |report| report.of));
        let path = self.symbolizer.file(of)?.path();
        Some((of, path)).filter(|(_, path)| !path.starts_with("/proc"))
    }

    /// What the VMM's process has used so far.
    pub fn usage(&self) -> Usage {
        Usage::of(self.pid())
    }

    /// Where each processor is, symbolised. The machine stands still meanwhile, and runs on after.
    pub fn backtrace(&self) -> Result<String, Error> {
        let base = self.transcript(Transcript::image_base);
        backtrace::collect(&self.qmp, base, &self.symbolizer)
    }

    /// Ends the machine at once. Readers of its output have a second left.
    pub fn kill(&self) {
        if !self.transcript(|said| said.vmm_exit.is_some()) {
            self.killed.store(true, Ordering::Relaxed);
            self.child.kill();
        }
        self.hurry.begin();
    }

    /// Ends a guest that does not end by itself; its exit says where it was. `waits` is called, on a thread of its own, when
    /// QEMU takes longer than a second to tell; [`Guest::kill`] on another thread ends that wait.
    pub fn end(&self, waits: impl FnOnce() + Send) -> Exit {
        // A machine that goes off answers no more, and there is nothing to find out.
        let backtrace = match self.transcript(|said| said.is_over() || said.vmm_exit.is_some()) {
            true => String::new(),
            false => self.last_backtrace(waits),
        };
        self.write_core_of_hung();
        self.kill();
        let exit = self.finish();
        // It may have ended by itself meanwhile.
        let backtrace = if exit.ending == Ending::Killed { backtrace } else { String::new() };
        Exit { backtrace, ..exit }
    }

    fn last_backtrace(&self, waits: impl FnOnce() + Send) -> String {
        let backtrace = std::thread::scope(|scope| {
            let (answered, answer) = mpsc::channel::<()>();
            let watch = move || {
                if answer.recv_timeout(PATIENCE) == Err(RecvTimeoutError::Timeout) {
                    waits();
                }
            };
            // Without that thread the wait is a silent one.
            let _watch = std::thread::Builder::new().name("patience".into()).spawn_scoped(scope, watch);
            let backtrace = self.backtrace();
            drop(answered);
            backtrace
        });
        match backtrace {
            Ok(backtrace) => backtrace,
            // Whoever did not wait for the answer knows that there is none.
            Err(_) if self.killed.load(Ordering::Relaxed) => String::new(),
            Err(error) => format!("no backtrace: {error}\n"),
        }
    }

    /// The same as [`Guest::end`] for one that did not end in time.
    pub fn end_late(&self, waits: impl FnOnce() + Send) -> Exit {
        let exit = self.end(waits);
        let ending = if exit.ending == Ending::Killed { Ending::TimedOut } else { exit.ending };
        Exit { ending, ..exit }
    }

    /// Waits for the guest to end. One that does not end in time is ended, and its exit holds a backtrace.
    pub fn wait(&self, limit: Duration) -> Exit {
        match self.wait_until(Some(limit), |said| said.is_over().then_some(())) {
            Ok(()) | Err(Unmet::Ended) => self.finish(),
            Err(Unmet::TimedOut) => self.end_late(|| ()),
        }
    }

    /// Asks the guest to stop and waits for it to end.
    pub fn stop(&self, limit: Duration) -> Exit {
        self.request_stop();
        self.wait(limit)
    }

    /// The end of a guest that is over, has ended or was killed: waits for the machine to go off, and for
    /// the readers of its output.
    pub fn finish(&self) -> Exit {
        self.finish_unless(|| false)
    }

    /// The same, until the caller `gives_up`, who is asked again whenever [`Guest::wake`] was called: readers then have a
    /// second left.
    pub fn finish_unless(&self, mut gives_up: impl FnMut() -> bool) -> Exit {
        let limit = Some(Instant::now() + POWER_OFF_LIMIT);
        let is_gone = self.shared.wait(limit, |said| match said.vmm_exit {
            Some(_) => Some(true),
            // It stands still, and its last words may yet have to be read.
            None if self.core.is_some() => {
                (said.shutdown_reason.is_some() && said.outcome.is_some() || gives_up()).then_some(false)
            }
            None => (said.has_ended() || gives_up()).then_some(false),
        });
        if let (Some(path), Some(false)) = (&self.core, is_gone)
            && let Some(report) = self.transcript(|said| said.last_report().cloned())
        {
            let written = self.write_core(path, &report);
            self.shared.update(|said| said.core = Some(written));
        }
        if is_gone != Some(true) {
            // Whatever it is stuck in, there is an outcome to report.
            self.end_vmm();
        }
        // All that was said is now on its way to its readers, who may be slow.
        let all_read = |said: &mut Transcript| said.all_read().then_some(());
        if !self.hurry.has_begun() {
            self.shared.wait(None, |said| all_read(said).or_else(|| gives_up().then_some(())));
        }
        self.hurry.begin();
        self.shared.wait(Some(Instant::now() + LAST_WORDS_LIMIT), all_read);
        self.input.close();
        let mut said = self.shared.lock();
        Exit {
            ending: ending(&said, self.killed.load(Ordering::Relaxed)),
            stdout: std::mem::take(&mut said.stdout),
            stderr: std::mem::take(&mut said.stderr),
            log: std::mem::take(&mut said.log),
            reports: said.reports.iter().cloned().collect(),
            core: said.core.clone(),
            vmm_messages: said.vmm_messages.clone(),
            backtrace: String::new(),
        }
    }

    /// Writes the memory of a machine that does not end, as it is: each processor is a thread.
    fn write_core_of_hung(&self) {
        let Some(path) = &self.core else { return };
        let (base, is_over) = self.transcript(|said| (said.image_base(), said.is_over() || said.vmm_exit.is_some()));
        let Some(base) = base.filter(|_| !is_over) else { return };
        let written = self.write_core(path, &Report::of_hung(base));
        self.shared.update(|said| said.core = Some(written));
    }

    /// Writes the memory of a machine that stands still.
    fn write_core(&self, path: &Path, report: &Report) -> Result<(), Error> {
        let fail = |why: &str| Error::new(format!("cannot write {}: {why}", path.display()));
        let absolute = std::path::absolute(path).map_err(|error| fail(&error.to_string()))?;
        let protocol = format!("file:{}", absolute.display());
        let arguments = json!({ "paging": false, "protocol": protocol });
        let dumped = self.qmp.execute_within(DUMP_LIMIT, "dump-guest-memory", arguments);
        let written = dumped
            .map_err(|error| fail(error.message()))
            .and_then(|_| core_file::finish(&absolute, report, self.symbolizer.file(report.of)));
        // A half is of no use, and a full disk has the room back.
        written.inspect_err(|_| core_file::discard(&absolute))
    }

    /// Ends the VMM, unless it has ended, and waits until the kernel has done so.
    fn end_vmm(&self) {
        self.child.kill();
        self.shared.wait(Some(Instant::now() + KILL_LIMIT), |said| said.vmm_exit);
    }
}

impl Drop for Guest {
    fn drop(&mut self) {
        self.input.close();
        self.end_vmm();
    }
}

/// What a guest is asked.
const COUNTED: &str = "what it has counted";
const NETWORK: &str = "how its network stands";

fn silent(what: &str, why: &str) -> Error {
    Error::new(format!("the guest does not say {what}: {why}"))
}

fn unanswered(what: &str, why: Unmet, limit: Duration) -> Error {
    match why {
        Unmet::Ended => silent(what, "it has ended"),
        Unmet::TimedOut => silent(what, &format!("no answer in {limit:?}"))
            .help("its program keeps the core busy: a thread must yield now and then"),
    }
}

fn deadline(limit: Option<Duration>) -> Option<Instant> {
    limit.and_then(|limit| Instant::now().checked_add(limit))
}

fn ending(said: &Transcript, killed: bool) -> Ending {
    if let Some(outcome) = &said.outcome {
        return Ending::Said(outcome.clone());
    }
    if let Some(version) = said.foreign_version() {
        return Ending::Foreign { version };
    }
    if let Some(line) = said.why_stuck() {
        return Ending::VmmFailed { reason: line.into() };
    }
    match said.vmm_exit {
        _ if killed => Ending::Killed,
        // A machine that went off ran; QEMU 7.2 may hang while it ends, and was helped.
        Some(status) if !status.success() && said.shutdown_reason.is_none() => {
            let last = said.vmm_messages.lines().rfind(|line| !line.trim().is_empty());
            Ending::VmmFailed { reason: last.map_or(status.to_string(), |last| format!("{last} ({status})")) }
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

/// Whether this host has what it takes to start guests, for tests that skip where it has not.
pub fn can_start(program: Option<&Path>) -> Result<(u64, u64), Error> {
    let program = qemu::program(program);
    let version = qemu::version(&program)?;
    qemu::check_version(&program, version)?;
    Ok(version)
}
