//! Messages from many threads to one, shaped after `std::sync::mpsc`.
//!
//! Messages move under the channel's lock; room for them is made, and they are dropped, outside of it.

mod error;
mod receiver;
mod sender;

pub use error::{RecvError, RecvTimeoutError, SendError, TryRecvError, TrySendError};
pub use receiver::{IntoIter, Iter, Receiver, TryIter};
pub use sender::{Sender, SyncSender};

use super::{Guarded, WaitList, Wakes};
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
    state: Guarded<State<T>>,
    bound: Option<usize>,
}

struct State<T> {
    messages: VecDeque<T>,
    /// How many messages have been put in, and how many were taken out by the receiver.
    sent: u64,
    received: u64,
    senders: usize,
    receiver_lives: bool,
    /// The receiver, waiting for a message.
    receiver: WaitList,
    /// Senders, waiting for room.
    room: WaitList,
    /// The sender of the one message of a channel with bound 0, waiting until it is taken.
    taken: WaitList,
}

/// What came of a message that is to be sent.
enum Put {
    /// It is in; which one it is, counted from 1.
    In(u64),
    /// The queue must become larger first: this many places.
    Grow(usize),
    /// The receiver is gone.
    Disconnected,
}

/// A message on its way into a channel, with the larger queue that it may need.
struct Outgoing<T> {
    message: Option<T>,
    larger: VecDeque<T>,
}

impl<T> Outgoing<T> {
    fn new(message: T) -> Self {
        Outgoing { message: Some(message), larger: VecDeque::new() }
    }

    fn grow(&mut self, places: usize) {
        self.larger = VecDeque::with_capacity(places);
    }

    fn back(self) -> T {
        self.message.expect("a message that was not sent is still here")
    }
}

impl<T> State<T> {
    /// Adds the message, and wakes the receiver.
    fn put(&mut self, outgoing: &mut Outgoing<T>, wakes: &mut Wakes) -> Put {
        if !self.receiver_lives {
            return Put::Disconnected;
        }
        if self.messages.len() == self.messages.capacity() {
            if outgoing.larger.capacity() <= self.messages.len() {
                return Put::Grow(self.messages.len().max(2) * 2);
            }
            outgoing.larger.append(&mut self.messages);
            core::mem::swap(&mut outgoing.larger, &mut self.messages);
        }
        self.messages.extend(outgoing.message.take());
        self.sent += 1;
        self.receiver.wake_one(wakes);
        Put::In(self.sent)
    }

    /// Takes a message, and wakes who waits for that.
    fn take(&mut self, wakes: &mut Wakes) -> Option<T> {
        let message = self.messages.pop_front()?;
        self.received += 1;
        self.room.wake_one(wakes);
        self.taken.wake_one(wakes);
        Some(message)
    }
}

impl<T> Shared<T> {
    fn new(bound: Option<usize>) -> Arc<Self> {
        let state = State {
            messages: VecDeque::new(),
            sent: 0,
            received: 0,
            senders: 1,
            receiver_lives: true,
            receiver: WaitList::new(),
            room: WaitList::new(),
            taken: WaitList::new(),
        };
        Arc::new(Shared { state: Guarded::new(state), bound })
    }
}
