//! The receiving end.

use super::{RecvError, RecvTimeoutError, Shared, TryRecvError};
use crate::sync::WaitOutcome;
use crate::time;
use alloc::collections::VecDeque;
use alloc::sync::Arc;
use core::cell::Cell;
use core::fmt;
use core::marker::PhantomData;
use core::time::Duration;

/// Receives messages in the order they were sent.
pub struct Receiver<T> {
    shared: Arc<Shared<T>>,
    /// One thread at a time receives.
    not_sync: PhantomData<Cell<()>>,
}

impl<T> Receiver<T> {
    pub(super) fn new(shared: Arc<Shared<T>>) -> Self {
        Receiver { shared, not_sync: PhantomData }
    }

    /// Waits for a message.
    ///
    /// # Errors
    /// When there is none and all senders are gone.
    pub fn recv(&self) -> Result<T, RecvError> {
        self.recv_until(None).map_err(|_| RecvError)
    }

    /// Waits for a message, for `duration` at most.
    ///
    /// # Errors
    /// When none came in time, or there is none and all senders are gone.
    pub fn recv_timeout(&self, duration: Duration) -> Result<T, RecvTimeoutError> {
        self.recv_until(Some(time::deadline_after(duration)))
    }

    /// A message that is already there.
    ///
    /// # Errors
    /// When there is none; and then whether one may still come.
    pub fn try_recv(&self) -> Result<T, TryRecvError> {
        self.shared.state.with(|state, wakes| {
            let end = if state.senders == 0 { TryRecvError::Disconnected } else { TryRecvError::Empty };
            state.take(wakes).ok_or(end)
        })
    }

    /// The messages, until all senders are gone; waits for each.
    pub fn iter(&self) -> Iter<'_, T> {
        Iter { receiver: self }
    }

    /// The messages that are already there.
    pub fn try_iter(&self) -> TryIter<'_, T> {
        TryIter { receiver: self }
    }

    fn recv_until(&self, deadline_ns: Option<u64>) -> Result<T, RecvTimeoutError> {
        loop {
            let answer = self.shared.state.wait(
                |state| &mut state.receiver,
                deadline_ns,
                |state, wakes| match state.take(wakes) {
                    Some(message) => Some(Ok(message)),
                    None => (state.senders == 0).then_some(Err(RecvTimeoutError::Disconnected)),
                },
            );
            match answer {
                Ok(answer) => return answer,
                Err(WaitOutcome::Woken) => {}
                Err(WaitOutcome::TimedOut) => return Err(RecvTimeoutError::Timeout),
            }
        }
    }
}

impl<T> Drop for Receiver<T> {
    fn drop(&mut self) {
        let orphans = self.shared.state.with(|state, wakes| {
            state.receiver_lives = false;
            state.room.wake_all(wakes);
            state.taken.wake_all(wakes);
            match self.shared.bound {
                Some(0) => VecDeque::new(), // the sender who waits takes its message back
                _ => core::mem::take(&mut state.messages),
            }
        });
        drop(orphans); // last: their destructors may do anything
    }
}

/// See [`Receiver::iter`].
#[derive(Debug)]
pub struct Iter<'a, T> {
    receiver: &'a Receiver<T>,
}

/// See [`Receiver::try_iter`].
#[derive(Debug)]
pub struct TryIter<'a, T> {
    receiver: &'a Receiver<T>,
}

/// The messages of a receiver that is owned.
#[derive(Debug)]
pub struct IntoIter<T> {
    receiver: Receiver<T>,
}

impl<T> Iterator for Iter<'_, T> {
    type Item = T;

    fn next(&mut self) -> Option<T> {
        self.receiver.recv().ok()
    }
}

impl<T> Iterator for TryIter<'_, T> {
    type Item = T;

    fn next(&mut self) -> Option<T> {
        self.receiver.try_recv().ok()
    }
}

impl<T> Iterator for IntoIter<T> {
    type Item = T;

    fn next(&mut self) -> Option<T> {
        self.receiver.recv().ok()
    }
}

impl<'a, T> IntoIterator for &'a Receiver<T> {
    type Item = T;
    type IntoIter = Iter<'a, T>;

    fn into_iter(self) -> Iter<'a, T> {
        self.iter()
    }
}

impl<T> IntoIterator for Receiver<T> {
    type Item = T;
    type IntoIter = IntoIter<T>;

    fn into_iter(self) -> IntoIter<T> {
        IntoIter { receiver: self }
    }
}

impl<T> fmt::Debug for Receiver<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Receiver").finish_non_exhaustive()
    }
}
