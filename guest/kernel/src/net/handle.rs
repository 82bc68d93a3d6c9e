//! A socket as programs hold it, and the two ways to use it: ask once, or ask and wait.

use super::sockets::{Kind, Side, Watcher};
use super::{Error, NETWORKS, Network, begun, link, reach, touched};
use crate::arch::cores::CoreId;
use crate::arch::time;
use crate::sched::{WaitList, WaitOutcome};
use alloc::sync::Arc;
use toro_netstack::Stack;

/// For ever, as a time-out in nanoseconds.
pub const NO_TIMEOUT: u64 = u64::MAX;

/// A socket: on whose core, and what the stack there calls it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Handle<I> {
    pub(super) core: CoreId,
    pub(super) id: I,
}

impl<I: Copy> Handle<I> {
    /// Asks the stack of the socket's core.
    #[inline]
    pub(super) fn ask<R>(&self, ask: impl FnOnce(&mut Stack, I) -> R) -> R {
        touched::note(self.core);
        reach(self.core, |network, _| ask(&mut network.stack, self.id))
    }

    /// As [`ask`](Self::ask), for what may concern those who wait.
    #[cold]
    pub(super) fn tell<R>(&self, ask: impl FnOnce(&mut Stack, I) -> R) -> R {
        touched::note(self.core);
        let (answer, news) = reach(self.core, |network, wakes| {
            let answer = ask(&mut network.stack, self.id);
            (answer, network.stack.has_events() && network.tell(wakes))
        });
        if news {
            link::tell_outside(self.core);
        }
        answer
    }
}

/// Where a thread waits for a socket.
#[derive(Clone, Copy)]
pub(super) struct Spot {
    pub(super) core: CoreId,
    pub(super) kind: Kind,
    pub(super) index: usize,
    pub(super) side: Side,
}

impl Spot {
    #[inline]
    fn list<'a>(&self, network: &'a mut Option<&'static mut Network>) -> &'a mut WaitList {
        begun(network).sockets.list(self.kind, self.index, self.side)
    }

    /// Asks the stack until it has an answer, or until the time is over.
    #[inline]
    pub(super) fn wait<R>(
        self,
        timeout_ns: u64,
        mut ask: impl FnMut(&mut Stack) -> Result<R, Error>,
    ) -> Result<R, Error> {
        touched::note(self.core);
        let mut deadline_ns = None;
        loop {
            let answer = NETWORKS[self.core.index()].0.wait_until(
                |network| self.list(network),
                |network, _| {
                    let network = begun(network);
                    network.sockets.note_user(self.kind, self.index);
                    match ask(&mut network.stack) {
                        Err(Error::WouldBlock) => None,
                        answer => Some(answer),
                    }
                },
                || {
                    // The clock is looked at only by those who wait.
                    if timeout_ns != NO_TIMEOUT && deadline_ns.is_none() {
                        deadline_ns = Some(time::now_ns().saturating_add(timeout_ns));
                    }
                    deadline_ns
                },
            );
            match answer {
                Ok(answer) => return answer,
                Err(WaitOutcome::TimedOut) => return Err(Error::TimedOut),
                Err(WaitOutcome::Woken) => {}
            }
        }
    }

    /// Ends the socket, which nobody watches from then on.
    pub(super) fn end(self, end: impl FnOnce(&mut Stack)) {
        touched::note(self.core);
        let (watcher, news) = reach(self.core, |network, wakes| {
            end(&mut network.stack);
            let news = network.stack.has_events() && network.tell(wakes);
            (network.sockets.unwatch(self.kind, self.index), news)
        });
        // Dropped out here: it is not the network's.
        drop(watcher);
        if news {
            link::tell_outside(self.core);
        }
    }

    /// Has the socket watched by `watcher`, or by nobody.
    ///
    /// # Errors
    /// [`Error::OutOfMemory`].
    pub(super) fn watch(self, mut watcher: Option<Arc<dyn Watcher>>) -> Result<(), Error> {
        // The one before is dropped out here, too.
        reach(self.core, |network, _| network.sockets.watch(self.kind, self.index, &mut watcher))
    }
}
