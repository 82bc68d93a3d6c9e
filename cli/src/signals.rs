//! Signals that ask the tool to end, counted, so that a second one means more than the first.

use rustix::process::{Signal, getpid, kill_process};
use signal_hook::consts::{SIGHUP, SIGINT, SIGKILL, SIGTERM};
use signal_hook::iterator::Signals;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, OnceLock};
use toro_vmm::Error;

/// What has arrived so far.
#[derive(Clone, Debug, Default)]
pub(crate) struct Requests {
    count: Arc<AtomicU32>,
    first: Arc<AtomicU32>,
    /// Set once the guest is being ended: how many had arrived by then.
    ended_at: Arc<OnceLock<u32>>,
}

/// A first signal asks the guest, a second ends it with a backtrace; the next waits for nothing.
const PATIENT_MAX: u32 = 2;

impl Requests {
    /// How many signals have arrived.
    pub(crate) fn count(&self) -> u32 {
        self.count.load(Ordering::Acquire)
    }

    /// From here on the guest is being ended: one more signal does not wait for what it may have to say.
    pub(crate) fn ending(&self) {
        self.ended_at.get_or_init(|| self.count());
    }

    /// Whether the guest shall end at once, without being asked.
    pub(crate) fn is_kill(&self) -> bool {
        let patient_max = self.ended_at.get().map_or(PATIENT_MAX, |count| PATIENT_MAX.min(*count));
        KILL.load(Ordering::Acquire) || self.count() > patient_max
    }

    /// The exit status that the first of them stands for.
    pub(crate) fn status(&self) -> u8 {
        let first = if KILL.load(Ordering::Acquire) { SIGKILL } else { self.first.load(Ordering::Acquire) as i32 };
        128 + first as u8
    }
}

static STOP: AtomicBool = AtomicBool::new(false);
static KILL: AtomicBool = AtomicBool::new(false);

/// Asks the guest to end, from inside. Once, however often it is wanted: a second signal would mean more than the first.
pub(crate) fn stop() {
    if !STOP.swap(true, Ordering::AcqRel) {
        terminate();
    }
}

/// Ends the guest at once, from inside.
pub(crate) fn kill() {
    if !KILL.swap(true, Ordering::AcqRel) {
        terminate();
    }
}

/// SIGTERM to this process. Before anybody listens for it, it ends the process, which is as well.
fn terminate() {
    let sent = kill_process(getpid(), Signal::TERM);
    debug_assert!(sent.is_ok(), "a process may send itself signals");
}

/// Counts from now on, and calls `wake` after each signal.
pub(crate) fn listen(wake: impl Fn(&Requests) + Send + 'static) -> Result<Requests, Error> {
    let failed = |error: std::io::Error| Error::new(format!("cannot listen for signals: {error}"));
    let mut signals = Signals::new([SIGINT, SIGTERM, SIGHUP]).map_err(failed)?;
    let requests = Requests::default();
    let seen = requests.clone();
    std::thread::Builder::new()
        .name("signals".into())
        .spawn(move || {
            for signal in signals.forever() {
                if seen.count() == 0 {
                    seen.first.store(signal as u32, Ordering::Release);
                }
                seen.count.fetch_add(1, Ordering::AcqRel);
                wake(&seen);
            }
        })
        .map_err(failed)?;
    Ok(requests)
}
