//! Standard input on its way to the guest, and what its kernel is asked and told, which overtakes it.
//!
//! The guest says how much it has room for, and no more is sent: so nothing lies between here and the guest that a request
//! to stop would have to wait behind.

use crate::transcript::Shared;
use std::collections::VecDeque;
use std::io::Write;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};
use toro_abi::stdin;

/// What waits for the guest before its sender does.
const WAITING_BYTES_MAX: usize = 64 << 10;

/// Standard input on its way to the guest; a request to stop overtakes what waits.
#[derive(Debug, Default)]
pub(crate) struct Input {
    queue: Mutex<Queue>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct Queue {
    bytes: VecDeque<u8>,
    /// How many of them the guest has room for.
    room: u64,
    end: bool,
    stop: bool,
    /// What the guest has counted is asked for.
    stats: bool,
    network: bool,
    /// It is to be told what time it is.
    time: bool,
    closed: bool,
}

impl Input {
    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Queues bytes; waits while the guest does not take them. `false` when it never will.
    pub(crate) fn send(&self, bytes: &[u8]) -> bool {
        let mut queue = self.lock();
        for piece in bytes.chunks(WAITING_BYTES_MAX) {
            while !queue.closed && queue.bytes.len() + piece.len() > WAITING_BYTES_MAX {
                queue = self.changed.wait(queue).unwrap_or_else(PoisonError::into_inner);
            }
            queue.bytes.extend(piece);
            self.changed.notify_all();
        }
        !queue.closed
    }

    /// The guest has room for `room` bytes more.
    pub(crate) fn grant(&self, room: u64) {
        let mut queue = self.lock();
        queue.room = queue.room.saturating_add(room);
        self.changed.notify_all();
    }

    /// Announces the end, behind what is queued.
    pub(crate) fn end(&self) {
        self.lock().end = true;
        self.changed.notify_all();
    }

    /// Asks the guest to stop, before what is queued.
    pub(crate) fn stop(&self) {
        self.lock().stop = true;
        self.changed.notify_all();
    }

    /// Asks the guest what it has counted.
    pub(crate) fn ask_stats(&self) {
        self.lock().stats = true;
        self.changed.notify_all();
    }

    /// Asks the guest how its network stands.
    pub(crate) fn ask_network(&self) {
        self.lock().network = true;
        self.changed.notify_all();
    }

    /// Tells the guest what time it is.
    pub(crate) fn tell_time(&self) {
        self.lock().time = true;
        self.changed.notify_all();
    }

    /// The guest has ended.
    pub(crate) fn close(&self) {
        self.lock().closed = true;
        self.changed.notify_all();
    }

    /// Sends what is queued until the guest ends. Begins when the kernel has said that it runs: before, a UART that is
    /// being set up loses bytes.
    pub(crate) fn run(self: Arc<Self>, mut console: impl Write, shared: &Shared) {
        let boots = shared.wait(None, |said| match said.image_base() {
            Some(_) => Some(said.foreign_version().is_none()),
            None => said.vmm_exit.is_some().then_some(false),
        });
        let mut wire = Vec::new();
        while boots == Some(true) {
            wire.clear();
            if !self.take(&mut wire) {
                break;
            }
            if console.write_all(&wire).and_then(|()| console.flush()).is_err() {
                break; // the VMM has ended, which its keeper reports
            }
        }
        self.close();
    }

    /// Waits for something to send; `false` when the guest has ended.
    fn take(&self, wire: &mut Vec<u8>) -> bool {
        let mut queue = self.lock();
        loop {
            if queue.closed {
                return false;
            }
            if std::mem::take(&mut queue.stop) {
                wire.extend_from_slice(&stdin::STOP);
                return true;
            }
            if std::mem::take(&mut queue.stats) {
                wire.extend_from_slice(&stdin::STATISTICS);
                return true;
            }
            if std::mem::take(&mut queue.network) {
                wire.extend_from_slice(&stdin::NETWORK);
                return true;
            }
            if std::mem::take(&mut queue.time) {
                let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
                wire.extend_from_slice(&stdin::wall_clock(u64::try_from(now.as_nanos()).unwrap_or(u64::MAX)));
                return true;
            }
            let len = queue.bytes.len().min(usize::try_from(queue.room).unwrap_or(usize::MAX));
            if len > 0 {
                queue.room -= len as u64;
                let bytes: Vec<u8> = queue.bytes.drain(..len).collect();
                stdin::encode(&bytes, wire);
                self.changed.notify_all();
                return true;
            }
            if queue.bytes.is_empty() && std::mem::take(&mut queue.end) {
                wire.extend_from_slice(&stdin::END);
                return true;
            }
            queue = self.changed.wait(queue).unwrap_or_else(PoisonError::into_inner);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_to_stop_overtakes_queued_input() {
        let input = Input::default();
        assert!(input.send(b"abc\x10"));
        input.end();
        input.stop();
        input.grant(4);
        let mut wire = Vec::new();
        for _ in 0..3 {
            assert!(input.take(&mut wire));
        }
        assert_eq!(wire, b"\x10Sabc\x10\x10\x10E");
        input.close();
        assert!(!input.take(&mut wire) && !input.send(b"late"));
    }

    #[test]
    fn what_the_kernel_is_asked_and_told_needs_no_room() {
        let input = Input::default();
        assert!(input.send(b"abc"));
        input.tell_time();
        input.ask_network();
        input.ask_stats();
        input.stop();
        let mut wire = Vec::new();
        for _ in 0..4 {
            assert!(input.take(&mut wire));
        }
        assert!(wire.starts_with(b"\x10S\x10Q\x10N\x10T") && wire.len() == 6 + 18, "{wire:?}");
    }

    #[test]
    fn no_more_is_sent_than_the_guest_has_room_for() {
        let input = Input::default();
        assert!(input.send(b"abcdef"));
        input.end();
        let mut wire = Vec::new();
        input.grant(2);
        assert!(input.take(&mut wire));
        // Nothing but a request to stop can go on now.
        input.stop();
        assert!(input.take(&mut wire));
        input.grant(1);
        input.grant(9);
        assert!(input.take(&mut wire) && input.take(&mut wire));
        assert_eq!(wire, b"ab\x10Scdef\x10E");
    }
}
