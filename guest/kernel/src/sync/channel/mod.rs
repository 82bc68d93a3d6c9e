//! Messages from many threads to one, shaped after `std::sync::mpsc`.
//!
//! The mutex inside is never held over a scheduling point, so it is never contended and costs a flag; the waiting is done
//! on the queues beside it.

mod error;
mod receiver;
mod sender;

pub use error::{RecvError, RecvTimeoutError, SendError, TryRecvError, TrySendError};
pub use receiver::{IntoIter, Iter, Receiver, TryIter};
pub use sender::{Sender, SyncSender};

use super::{Mutex, WaitQueue};
use alloc::collections::VecDeque;
use alloc::sync::Arc;

/// A channel that holds any number of messages: sending never waits.
#[must_use]
pub fn channel<T>() -> (Sender<T>, Receiver<T>) {
    let shared = Shared::new(None);
    (Sender::new(Arc::clone(&shared)), Receiver::new(shared))
}

/// A channel that holds `bound` messages: sending waits for room. With a bound of 0 it waits until the message is taken.
#[must_use]
pub fn sync_channel<T>(bound: usize) -> (SyncSender<T>, Receiver<T>) {
    let shared = Shared::new(Some(bound));
    (SyncSender::new(Arc::clone(&shared)), Receiver::new(shared))
}

struct Shared<T> {
    state: Mutex<State<T>>,
    bound: Option<usize>,
    /// The receiver, waiting for a message.
    receiver: WaitQueue,
    /// Senders, waiting for room.
    room: WaitQueue,
    /// The sender of the one message of a channel with bound 0, waiting until it is taken.
    taken: WaitQueue,
}

struct State<T> {
    messages: VecDeque<T>,
    /// How many messages have been put in, and how many were taken out by the receiver.
    sent: u64,
    received: u64,
    senders: usize,
    receiver_lives: bool,
}

impl<T> State<T> {
    /// Adds a message; which one it is, counted from 1.
    fn push(&mut self, message: T) -> u64 {
        self.messages.push_back(message);
        self.sent += 1;
        self.sent
    }

    fn take(&mut self) -> Option<T> {
        let message = self.messages.pop_front()?;
        self.received += 1;
        Some(message)
    }
}

impl<T> Shared<T> {
    fn new(bound: Option<usize>) -> Arc<Self> {
        Arc::new(Shared {
            state: Mutex::new(State {
                messages: VecDeque::new(),
                sent: 0,
                received: 0,
                senders: 1,
                receiver_lives: true,
            }),
            bound,
            receiver: WaitQueue::new(),
            room: WaitQueue::new(),
            taken: WaitQueue::new(),
        })
    }
}
