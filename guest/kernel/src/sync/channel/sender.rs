//! The sending ends.

use super::{SendError, Shared, TrySendError};
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
        let mut state = self.shared.state.lock();
        if !state.receiver_lives {
            return Err(SendError(message));
        }
        state.push(message);
        self.shared.receiver.wake_one();
        Ok(())
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
        let ordinal = loop {
            let mut state = shared.state.lock();
            if !state.receiver_lives {
                return Err(SendError(message));
            }
            if state.messages.len() < shared.bound.unwrap_or(usize::MAX).max(1) {
                break state.push(message);
            }
            drop(state);
            shared.room.wait(None);
        };
        shared.receiver.wake_one();
        if shared.bound != Some(0) {
            return Ok(());
        }
        shared.taken.wait(None);
        let mut state = shared.state.lock();
        if state.received >= ordinal {
            return Ok(());
        }
        // The receiver has gone and left the message, which is the only one.
        state.messages.pop_front().map_or(Ok(()), |message| Err(SendError(message)))
    }

    /// Sends a message if there is room; with a bound of 0, if the receiver is waiting for it.
    ///
    /// # Errors
    /// Gives the message back when there is no room, or the receiver is gone.
    pub fn try_send(&self, message: T) -> Result<(), TrySendError<T>> {
        let shared = &*self.shared;
        let mut state = shared.state.lock();
        if !state.receiver_lives {
            return Err(TrySendError::Disconnected(message));
        }
        let room = match shared.bound {
            Some(0) if shared.receiver.is_empty() => 0,
            bound => bound.unwrap_or(usize::MAX).max(1),
        };
        if state.messages.len() >= room {
            return Err(TrySendError::Full(message));
        }
        state.push(message);
        shared.receiver.wake_one();
        Ok(())
    }
}

impl<T> Shared<T> {
    fn add_sender(&self) {
        self.state.lock().senders += 1;
    }

    fn remove_sender(&self) {
        let mut state = self.state.lock();
        state.senders -= 1;
        if state.senders == 0 {
            self.receiver.wake_one(); // to find out
        }
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
