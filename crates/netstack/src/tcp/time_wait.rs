//! Connections that ended in order, kept as a few numbers so that a late segment of theirs does no harm.
//!
//! They leave by age, which is the order they came in; when there are too many, the oldest leaves early. Nothing is timed:
//! age is looked at when somebody asks, so they never wake an idle machine.

use alloc::collections::VecDeque;
use toro_tcp::segment::Tuple;

const KEPT_NS: u64 = 10_000_000_000;

/// A closed connection.
#[derive(Clone, Copy, Debug)]
pub(super) struct Closed {
    pub(super) tuple: Tuple,
    /// The next sequence number on our side.
    pub(super) next: u32,
    /// The next one expected from the peer.
    pub(super) expected: u32,
    /// The peer's last time stamp.
    pub(super) stamp: Option<u32>,
    pub(super) until_ns: u64,
}

impl Closed {
    /// When it ended.
    pub(super) fn since_ns(&self) -> u64 {
        self.until_ns - KEPT_NS
    }
}

/// All of them, oldest first; a removed one leaves a gap until it is the oldest.
#[derive(Debug)]
pub(super) struct TimeWaits {
    ring: VecDeque<Option<Closed>>,
    /// Number of the oldest.
    first: u32,
    kept_max: usize,
}

impl TimeWaits {
    pub(super) fn new(kept_max: usize) -> Self {
        TimeWaits { ring: VecDeque::new(), first: 0, kept_max }
    }

    /// Takes a closed connection in; returns its number. Call [`expire`](Self::expire) first, to make room.
    pub(super) fn insert(
        &mut self,
        tuple: Tuple,
        (next, expected): (u32, u32),
        stamp: Option<u32>,
        now_ns: u64,
    ) -> Option<u32> {
        self.ring.try_reserve(1).ok()?;
        let number = self.first.wrapping_add(self.ring.len() as u32);
        self.ring.push_back(Some(Closed { tuple, next, expected, stamp, until_ns: now_ns + KEPT_NS }));
        Some(number)
    }

    pub(super) fn get(&self, number: u32) -> Option<&Closed> {
        self.ring.get(number.wrapping_sub(self.first) as usize)?.as_ref()
    }

    pub(super) fn remove(&mut self, number: u32) {
        if let Some(entry) = self.ring.get_mut(number.wrapping_sub(self.first) as usize) {
            *entry = None;
        }
    }

    /// Takes out the oldest, if its time is over or its room is needed; its number, and whose it was.
    pub(super) fn expire(&mut self, now_ns: u64) -> Option<(u32, Tuple)> {
        loop {
            let oldest = self.ring.front()?;
            if let Some(closed) = oldest
                && closed.until_ns > now_ns
                && self.ring.len() < self.kept_max
            {
                return None;
            }
            let number = self.first;
            self.first = number.wrapping_add(1);
            if let Some(closed) = self.ring.pop_front().flatten() {
                return Some((number, closed.tuple));
            }
        }
    }

    /// How many there are, gaps included.
    pub(super) fn len(&self) -> usize {
        self.ring.len()
    }
}
