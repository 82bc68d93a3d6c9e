//! Waiting on the program's behalf: on objects, until something is possible, a time has come, or a signal wants to be heard.

use super::Task;
use crate::watch::{Source, Watcher};
use core::sync::atomic::Ordering::Relaxed;
use toro::thread;
use toro::time::Instant;
use toro_linux_abi::errno::Errno;

/// When a wait ends by itself, in nanoseconds since boot; `None`: never.
pub(crate) type Deadline = Option<u64>;

/// Why a wait ended without what it waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Waited {
    /// The deadline has passed.
    TimedOut,
    /// A signal wants to be heard.
    Interrupted,
}

impl From<Waited> for Errno {
    /// For calls that are begun again, and have no deadline.
    fn from(waited: Waited) -> Self {
        match waited {
            Waited::TimedOut => Errno::AGAIN,
            Waited::Interrupted => Errno::RESTART,
        }
    }
}

impl Task {
    /// The name by which sources know this thread.
    pub(crate) fn watcher(&self) -> Watcher {
        Watcher::Task(self.handle.clone())
    }

    /// Asks until there is an answer, and waits for `source` in between.
    pub(crate) fn wait_for<R>(
        &mut self,
        source: &Source,
        deadline: Deadline,
        mut ask: impl FnMut(&mut Self) -> Option<R>,
    ) -> Result<R, Waited> {
        let watcher = self.watcher();
        source.add(watcher.clone());
        let result = self.wait(deadline, &mut ask);
        source.remove(&watcher);
        result
    }

    /// Asks until there is an answer. Whoever changes it wakes this thread by its handle.
    pub(crate) fn wait<R>(
        &mut self,
        deadline: Deadline,
        ask: &mut dyn FnMut(&mut Self) -> Option<R>,
    ) -> Result<R, Waited> {
        loop {
            if let Some(answer) = ask(self) {
                return Ok(answer);
            }
            if self.handle.wants_attention() && crate::signals::is_due(self) {
                return Err(Waited::Interrupted);
            }
            if deadline.is_some_and(|deadline| Instant::now().as_nanos() >= deadline) {
                return Err(Waited::TimedOut);
            }
            self.turns.end();
            self.handle.0.cpu_ns.store(self.turns.used_ns(), Relaxed);
            self.process.tasks.runs(false);
            thread::park_until(deadline.map(Instant::from_nanos));
            self.process.tasks.runs(true);
            self.turns.begin();
        }
    }
}
