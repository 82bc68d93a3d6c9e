//! The sending ends.

use super::{Outgoing, Put, SendError, Shared, TrySendError};
use alloc::sync::Arc;
use core::fmt;

/// Sends without waiting; from [`channel`](super::channel).
pub struct Sender<T> {
    shared: Arc<Shared<T>>,
}

/// Sends, waiting for room; from [`sync_channel`](super::sync_channel).
pub struct SyncSender<T> {
    shared: Arc<Shared<T>>,
}

impl<T> Sender<T> {
    pub(super) fn new(shared: Arc<Shared<T>>) -> Self {
        Sender { shared }
    }

    /// Sends a message.
    ///
    /// # Errors
    /// Gives the message back when the receiver is gone.
    pub fn send(&self, message: T) -> Result<(), SendError<T>> {
        let mut outgoing = Outgoing::new(message);
        loop {
            match self.shared.state.with(|state, wakes| state.put(&mut outgoing, wakes)) {
                Put::In(_) => return Ok(()),
                Put::Grow(places) => outgoing.grow(places),
                Put::Disconnected => return Err(SendError(outgoing.back())),
            }
        }
    }
}

impl<T> SyncSender<T> {
    pub(super) fn new(shared: Arc<Shared<T>>) -> Self {
        SyncSender { shared }
    }

    /// Sends a message, once there is room for it; with a bound of 0, returns when it is taken.
    ///
    /// # Errors
    /// Gives the message back when the receiver is gone.
    pub fn send(&self, message: T) -> Result<(), SendError<T>> {
        let shared = &*self.shared;
        let places = shared.bound.unwrap_or(usize::MAX).max(1);
        let mut outgoing = Outgoing::new(message);
        let ordinal = loop {
            let put = shared.state.wait(
                |state| &mut state.room,
                None,
                |state, wakes| {
                    let full = state.receiver_lives && state.messages.len() >= places;
                    (!full).then(|| state.put(&mut outgoing, wakes))
                },
            );
            match put {
                Ok(Put::In(ordinal)) => break ordinal,
                Ok(Put::Grow(places)) => outgoing.grow(places),
                Ok(Put::Disconnected) => return Err(SendError(outgoing.back())),
                Err(_woken) => {}
            }
        };
        if shared.bound == Some(0) { self.wait_until_taken(ordinal) } else { Ok(()) }
    }

    /// Waits until the receiver has taken message number `ordinal`, or has gone and left it.
    fn wait_until_taken(&self, ordinal: u64) -> Result<(), SendError<T>> {
        loop {
            let answer = self.shared.state.wait(
                |state| &mut state.taken,
                None,
                |state, _| match (state.received >= ordinal, state.receiver_lives) {
                    (true, _) => Some(None),
                    (false, false) => Some(state.messages.pop_front()), // the only one
                    (false, true) => None,
                },
            );
            if let Ok(left) = answer {
                return left.map_or(Ok(()), |message| Err(SendError(message)));
            }
        }
    }

    /// Sends a message if there is room; with a bound of 0, if the receiver is waiting for it.
    ///
    /// # Errors
    /// Gives the message back when there is no room, or the receiver is gone.
    pub fn try_send(&self, message: T) -> Result<(), TrySendError<T>> {
        let mut outgoing = Outgoing::new(message);
        loop {
            let put = self.shared.state.with(|state, wakes| {
                let places = match self.shared.bound {
                    Some(0) if state.receiver.is_empty() => 0,
                    bound => bound.unwrap_or(usize::MAX).max(1),
                };
                let full = state.receiver_lives && state.messages.len() >= places;
                (!full).then(|| state.put(&mut outgoing, wakes))
            });
            match put {
                Some(Put::In(_)) => return Ok(()),
                Some(Put::Grow(places)) => outgoing.grow(places),
                Some(Put::Disconnected) => return Err(TrySendError::Disconnected(outgoing.back())),
                None => return Err(TrySendError::Full(outgoing.back())),
            }
        }
    }
}

impl<T> Shared<T> {
    fn add_sender(&self) {
        self.state.with(|state, _| state.senders += 1);
    }

    fn remove_sender(&self) {
        self.state.with(|state, wakes| {
            state.senders -= 1;
            if state.senders == 0 {
                state.receiver.wake_one(wakes); // to find out
            }
        });
    }
}

impl<T> Clone for Sender<T> {
    fn clone(&self) -> Self {
        self.shared.add_sender();
        Sender { shared: Arc::clone(&self.shared) }
    }
}

impl<T> Clone for SyncSender<T> {
    fn clone(&self) -> Self {
        self.shared.add_sender();
        SyncSender { shared: Arc::clone(&self.shared) }
    }
}

impl<T> Drop for Sender<T> {
    fn drop(&mut self) {
        self.shared.remove_sender();
    }
}

impl<T> Drop for SyncSender<T> {
    fn drop(&mut self) {
        self.shared.remove_sender();
    }
}

impl<T> fmt::Debug for Sender<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sender").finish_non_exhaustive()
    }
}

impl<T> fmt::Debug for SyncSender<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SyncSender").finish_non_exhaustive()
    }
}
