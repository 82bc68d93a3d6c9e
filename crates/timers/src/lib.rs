//! A queue of deadlines: what happens next, and when.
//!
//! A tournament of slots, in which a timer that is cancelled (as nearly all are: the answer came in time) leaves at once
//! instead of staying behind as a tombstone, and hardly ever has to tell the root. Insert, cancel and pop are O(log n), the
//! next deadline is O(1), and after [`TimerQueue::reserve`] none of them allocates. Equal deadlines leave in the order they
//! came.
//! The queue knows no clock: the caller passes the time in, so a test can live a year in a millisecond.
#![cfg_attr(not(test), no_std)]
#![forbid(unsafe_code)]

extern crate alloc;

pub mod counter;
#[cfg(test)]
mod tests;
mod tournament;

use alloc::collections::TryReserveError;
use alloc::vec::Vec;
use tournament::Tournament;

/// Names one pending timer; stale (and harmless) once it fired or was cancelled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TimerKey {
    slot: u32,
    generation: u32,
}

/// Timers that carry a `T` each, in order of deadline.
#[derive(Debug)]
pub struct TimerQueue<T> {
    tournament: Tournament,
    slots: Vec<Slot<T>>,
    free: Option<u32>,
    pending: usize,
    inserted: u64,
}

#[derive(Debug)]
struct Slot<T> {
    generation: u32,
    content: Content<T>,
}

#[derive(Debug)]
enum Content<T> {
    Pending(T),
    Free { next: Option<u32> },
}

impl<T> TimerQueue<T> {
    /// An empty queue; allocates nothing, so it can stand in a static.
    #[must_use]
    pub const fn new() -> Self {
        TimerQueue { tournament: Tournament::new(), slots: Vec::new(), free: None, pending: 0, inserted: 0 }
    }

    /// Makes sure that `timers` timers in all can be pending without a further allocation.
    ///
    /// # Errors
    /// When memory for them is not there; the queue is unchanged.
    pub fn reserve(&mut self, timers: usize) -> Result<(), TryReserveError> {
        self.slots.try_reserve(timers.saturating_sub(self.slots.len()))?;
        self.tournament.reserve(timers)
    }

    /// Adds a timer. Allocates only beyond what [`reserve`](Self::reserve) promised.
    ///
    /// # Panics
    /// When it must allocate and there is no memory.
    pub fn insert(&mut self, deadline_ns: u64, value: T) -> TimerKey {
        let slot = self.take_slot(value);
        self.tournament.reserve(slot as usize + 1).expect("memory for a timer that was not reserved");
        self.tournament.enter(slot, deadline_ns, self.inserted);
        self.inserted += 1;
        self.pending += 1;
        TimerKey { slot, generation: self.slots[slot as usize].generation }
    }

    /// Takes a timer back; `None` when it has fired or was cancelled before.
    pub fn cancel(&mut self, key: TimerKey) -> Option<T> {
        let slot = self.slots.get(key.slot as usize)?;
        if slot.generation != key.generation || matches!(slot.content, Content::Free { .. }) {
            return None;
        }
        self.tournament.leave(key.slot);
        self.release_slot(key.slot)
    }

    /// The earliest deadline, in the unit and from the origin that the caller uses (nanoseconds, by convention).
    #[must_use]
    pub fn next_deadline(&self) -> Option<u64> {
        self.tournament.first().map(|(deadline_ns, _)| deadline_ns)
    }

    /// The earliest timer, with its deadline.
    #[must_use]
    pub fn first(&self) -> Option<(u64, &T)> {
        let (deadline_ns, slot) = self.tournament.first()?;
        match &self.slots[slot as usize].content {
            Content::Pending(value) => Some((deadline_ns, value)),
            Content::Free { .. } => None,
        }
    }

    /// Takes the earliest timer whose deadline is at or before `now_ns`, with that deadline.
    pub fn pop_due(&mut self, now_ns: u64) -> Option<(u64, T)> {
        let (deadline_ns, slot) = self.tournament.first().filter(|(deadline_ns, _)| *deadline_ns <= now_ns)?;
        self.tournament.leave_first(slot);
        self.release_slot(slot).map(|value| (deadline_ns, value))
    }

    /// How many timers are pending.
    #[must_use]
    pub fn len(&self) -> usize {
        self.pending
    }

    /// Whether no timer is pending.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn take_slot(&mut self, value: T) -> u32 {
        let content = Content::Pending(value);
        let Some(index) = self.free else {
            let index = u32::try_from(self.slots.len()).expect("fewer than 2^32 timers fit in memory");
            self.slots.push(Slot { generation: 0, content });
            return index;
        };
        let slot = &mut self.slots[index as usize];
        if let Content::Free { next } = core::mem::replace(&mut slot.content, content) {
            self.free = next;
        }
        index
    }

    fn release_slot(&mut self, index: u32) -> Option<T> {
        self.pending -= 1;
        let slot = &mut self.slots[index as usize];
        slot.generation = slot.generation.wrapping_add(1);
        let content = core::mem::replace(&mut slot.content, Content::Free { next: self.free });
        self.free = Some(index);
        match content {
            Content::Pending(value) => Some(value),
            Content::Free { .. } => None,
        }
    }
}

impl<T> Default for TimerQueue<T> {
    fn default() -> Self {
        Self::new()
    }
}
