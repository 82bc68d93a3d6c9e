//! Where threads wait for sockets: two queues for each, found by the small number the stack gives a socket.
//!
//! The queues of a number are made once and used again by the next socket with it; nobody can be waiting then, because
//! whoever waits holds the socket.

use crate::sched::WaitQueue;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::sync::atomic::AtomicBool;

/// The queues of one socket.
#[derive(Debug, Default)]
pub(super) struct Queues {
    pub(super) readers: WaitQueue,
    pub(super) writers: WaitQueue,
    /// The program has read enough of this connection.
    pub(super) read_closed: AtomicBool,
}

/// The queues of all sockets of a kind.
#[derive(Debug, Default)]
pub(super) struct Kind(Vec<Arc<Queues>>);

/// All queues.
pub(super) struct Sockets {
    pub(super) connections: Kind,
    pub(super) listeners: Kind,
    pub(super) datagrams: Kind,
    /// Those who cannot go on without an address.
    pub(super) address: Arc<WaitQueue>,
}

impl Sockets {
    pub(super) fn new() -> Self {
        Sockets {
            connections: Kind::default(),
            listeners: Kind::default(),
            datagrams: Kind::default(),
            address: Arc::default(),
        }
    }
}

impl Sockets {
    /// Wakes everybody: each asks once more.
    #[cold]
    pub(super) fn wake_all(&self) {
        for kind in [&self.connections, &self.listeners, &self.datagrams] {
            for queues in &kind.0 {
                queues.readers.wake_all();
                queues.writers.wake_all();
            }
        }
        self.address.wake_all();
    }
}

impl Kind {
    pub(super) fn queues(&mut self, index: usize) -> Arc<Queues> {
        while self.0.len() <= index {
            self.0.push(Arc::default());
        }
        Arc::clone(&self.0[index])
    }

    pub(super) fn wake_readers(&self, index: usize) {
        if let Some(queues) = self.0.get(index) {
            queues.readers.wake_all();
        }
    }

    pub(super) fn wake_writers(&self, index: usize) {
        if let Some(queues) = self.0.get(index) {
            queues.writers.wake_all();
        }
    }
}
