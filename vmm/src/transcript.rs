//! All that the guest and its VMM have said so far.

use crate::error::Error;
use crate::report::Report;
use std::collections::VecDeque;
use std::io::Read;
use std::process::ExitStatus;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use toro_abi::cards::Card;
use toro_abi::control::{Control, Protocol};
use toro_abi::outcome::{Kind, Outcome};
use toro_abi::sockets::Socket;
use toro_abi::stats::Stat;

/// What is kept of each stream; a guest that prints without end must not fill the host's memory.
const KEPT_BYTES_MAX: usize = 64 << 20;
/// Nor one that tells of itself without end: enough for a guest that listens on every port.
const CONTROLS_MAX: usize = 1 << 17;
/// Nor one that fails without end.
const REPORTS_MAX: usize = 256;
/// Nor a VMM that complains without end.
const MESSAGES_BYTES_MAX: usize = 1 << 20;

/// How a guest's network stands.
#[derive(Clone, Debug, Default)]
pub struct NetworkState {
    /// What its cores have counted.
    pub stats: Vec<Stat>,
    /// Its network cards.
    pub cards: Vec<Card>,
    /// Its sockets; a guest with very many names only some.
    pub sockets: Vec<Socket>,
}

/// What was said. Streams hold bytes only where their sink keeps them.
#[derive(Debug, Default)]
pub struct Transcript {
    /// The program's standard output.
    pub stdout: Vec<u8>,
    /// The program's standard error.
    pub stderr: Vec<u8>,
    /// Kernel log and reports, symbolised.
    pub log: Vec<u8>,
    /// Reports of what went wrong; the newest, when there are very many.
    pub reports: VecDeque<Report>,
    /// What came of writing a core; `None` when there was none to write.
    pub core: Option<Result<(), Error>>,
    /// Control records, each once, with its time since the VMM was started.
    pub controls: Vec<(Duration, Control)>,
    /// What the guest has counted, as it told when it was last asked, or at its end.
    pub stats: Vec<Stat>,
    /// How often it has told that.
    pub(crate) stats_told: u32,
    /// How its network stood when it was last asked.
    pub network: NetworkState,
    /// How often it has told that.
    pub(crate) network_told: u32,
    /// How the guest says it ended.
    pub outcome: Option<Outcome>,
    /// When it said so.
    pub outcome_after: Option<Duration>,
    /// Why a stream could not be passed on.
    pub sink_failure: Option<String>,
    /// The caller did not wait for readers of the output, and they did not get all of it.
    pub is_cut: bool,
    /// The VMM's own messages.
    pub vmm_messages: String,
    /// Why the VMM says the machine went off, in its words.
    pub shutdown_reason: Option<String>,
    /// How the VMM ended.
    pub vmm_exit: Option<ExitStatus>,
    /// How many of console and VMM messages have ended.
    pub(crate) streams_ended: u8,
}

impl Transcript {
    /// Virtual base of the image, once the kernel has told.
    pub fn image_base(&self) -> Option<u64> {
        self.controls.iter().find_map(|(_, control)| match control {
            Control::Boot { base, .. } => Some(*base),
            _ => None,
        })
    }

    /// What the guest's version has in addition to the first of its kind: [`toro_abi::REVISION`].
    pub fn revision(&self) -> Option<u32> {
        self.controls.iter().find_map(|(_, control)| match control {
            Control::Boot { revision, .. } => Some(*revision),
            _ => None,
        })
    }

    /// When the guest began to listen on a port.
    pub fn listening_after(&self, protocol: Protocol, port: u16) -> Option<Duration> {
        let wanted = Control::Listen { protocol, port };
        self.controls.iter().find(|(_, control)| *control == wanted).map(|(after, _)| *after)
    }

    /// Whether the guest is done, though its VMM may still be there: it said its outcome, or its machine went off.
    pub fn is_over(&self) -> bool {
        self.outcome.is_some() || self.shutdown_reason.is_some()
    }

    /// Whether nothing more can come, or nothing that could be understood.
    pub fn has_ended(&self) -> bool {
        (self.vmm_exit.is_some() && self.all_read()) || self.why_stuck().is_some() || self.foreign_version().is_some()
    }

    /// The version of the guest interface that the guest speaks, when it is not ours.
    pub fn foreign_version(&self) -> Option<u32> {
        self.controls.iter().find_map(|(_, control)| match control {
            Control::Boot { version, .. } => Some(*version).filter(|version| *version != toro_abi::VERSION),
            _ => None,
        })
    }

    /// Whether console and VMM messages have ended, and all of them has been passed on.
    pub(crate) fn all_read(&self) -> bool {
        self.streams_ended == 2
    }

    /// What a VMM said that has given up, but stays, with its machine standing still.
    pub fn why_stuck(&self) -> Option<&str> {
        self.vmm_messages.lines().find(|line| line.contains("KVM internal error"))
    }

    /// Notes a control record, unless it says nothing new: who listens again has listened before.
    pub(crate) fn note(&mut self, after: Duration, control: Control) {
        let is_news = !self.controls.iter().any(|(_, known)| *known == control);
        if is_news && self.controls.len() < CONTROLS_MAX {
            self.controls.push((after, control));
        }
    }

    /// Notes a report.
    pub(crate) fn note_report(&mut self, report: Report) {
        if self.reports.len() == REPORTS_MAX {
            self.reports.pop_front();
        }
        self.reports.push_back(report);
    }

    /// The report of what ended the machine: the last one, if something did that makes one.
    pub fn last_report(&self) -> Option<&Report> {
        let kind = self.outcome.as_ref()?.kind;
        let has =
            matches!(kind, Kind::Panic | Kind::Fault | Kind::Signal { .. } | Kind::KernelDefect | Kind::OutOfMemory);
        self.reports.back().filter(|_| has)
    }

    /// Appends to a kept stream, up to the limit.
    pub(crate) fn keep(stream: &mut Vec<u8>, bytes: &[u8]) {
        let room = KEPT_BYTES_MAX.saturating_sub(stream.len());
        stream.extend_from_slice(&bytes[..bytes.len().min(room)]);
    }
}

/// A transcript that threads write and wait for.
#[derive(Debug)]
pub(crate) struct Shared {
    transcript: Mutex<Transcript>,
    changed: Condvar,
    pub(crate) started: Instant,
}

impl Shared {
    pub(crate) fn new() -> Self {
        Self { transcript: Mutex::default(), changed: Condvar::new(), started: Instant::now() }
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, Transcript> {
        // A writer that panicked has lost at most its own piece; what is there is still worth reporting.
        self.transcript.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes the transcript and wakes who waits for it.
    pub(crate) fn update<R>(&self, change: impl FnOnce(&mut Transcript) -> R) -> R {
        let result = change(&mut self.lock());
        self.changed.notify_all();
        result
    }

    /// Takes in the VMM's own messages, to their end.
    pub(crate) fn read_messages(&self, mut stderr: impl Read) {
        let mut buffer = [0; 4096];
        while let Ok(len @ 1..) = stderr.read(&mut buffer) {
            let text = String::from_utf8_lossy(&buffer[..len]);
            self.update(|transcript| {
                if transcript.vmm_messages.len() < MESSAGES_BYTES_MAX {
                    transcript.vmm_messages.push_str(&text);
                }
            });
        }
        self.update(|transcript| transcript.streams_ended += 1);
    }

    /// Waits until `condition` gives a value or the deadline passes; `None` waits for ever.
    pub(crate) fn wait<T>(
        &self,
        deadline: Option<Instant>,
        mut condition: impl FnMut(&mut Transcript) -> Option<T>,
    ) -> Option<T> {
        let mut transcript = self.lock();
        loop {
            if let Some(value) = condition(&mut transcript) {
                return Some(value);
            }
            transcript = match deadline {
                None => self.changed.wait(transcript).unwrap_or_else(PoisonError::into_inner),
                Some(deadline) => {
                    let left = deadline.checked_duration_since(Instant::now())?;
                    self.changed.wait_timeout(transcript, left).unwrap_or_else(PoisonError::into_inner).0
                }
            };
        }
    }
}
