//! Signals that ask the tool to end, counted, so that a second one means more than the first.

use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use toro_vmm::Error;

/// What has arrived so far.
#[derive(Clone, Debug, Default)]
pub(crate) struct Requests {
    count: Arc<AtomicU32>,
    first: Arc<AtomicU32>,
}

impl Requests {
    /// How many signals have arrived.
    pub(crate) fn count(&self) -> u32 {
        self.count.load(Ordering::Acquire)
    }

    /// The exit status that the first of them stands for.
    pub(crate) fn status(&self) -> u8 {
        128 + self.first.load(Ordering::Acquire) as u8
    }
}

/// Counts from now on, and calls `wake` after each signal.
pub(crate) fn listen(wake: impl Fn() + Send + 'static) -> Result<Requests, Error> {
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
                wake();
            }
        })
        .map_err(failed)?;
    Ok(requests)
}
