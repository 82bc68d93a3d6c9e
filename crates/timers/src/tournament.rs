//! The tree under the queue: a tournament, in which each node knows the timer that leaves first among those below it.
//!
//! A slot's leaf never moves, so nothing but the winners on its way to the root changes, and a change ends at the first
//! ancestor that somebody else wins.

use alloc::collections::TryReserveError;
use alloc::vec::Vec;

/// One pending timer in one number, so that two are compared, and one is copied, at once: from the top its deadline, a
/// sequence number's lower half that breaks ties (who came first leaves first), and its slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Entry(u128);

impl Entry {
    /// What a slot without a timer plays with.
    const NONE: Entry = Entry(u128::MAX);

    /// Where the sequence number wraps, every 2^32 timers, two of one nanosecond may change their order.
    fn new(deadline_ns: u64, sequence: u64, slot: u32) -> Self {
        Entry(u128::from(deadline_ns) << 64 | u128::from(sequence << 32 | u64::from(slot)))
    }

    fn deadline_ns(self) -> u64 {
        (self.0 >> 64) as u64
    }

    fn slot(self) -> u32 {
        self.0 as u32
    }
}

/// Four, since they share a cache line, and half the levels cost less than the two comparisons more on each.
const CHILDREN: usize = 4;

#[derive(Debug)]
pub(crate) struct Tournament {
    /// The winner of each node: the root's at 0, those of node `n`'s children at `4 n + 1` and after, the slots themselves
    /// last. So each inner node adds three slots to the first.
    winners: Vec<Entry>,
}

impl Tournament {
    pub(crate) const fn new() -> Self {
        Tournament { winners: Vec::new() }
    }

    /// Makes leaves for the slots below `slots`, and for as many again as there were.
    pub(crate) fn reserve(&mut self, slots: usize) -> Result<(), TryReserveError> {
        let old = self.winners.len() - self.inner();
        if slots <= old {
            return Ok(());
        }
        let inner = slots.max(2 * old).saturating_sub(1).div_ceil(CHILDREN - 1);
        let nodes = inner.saturating_mul(CHILDREN).saturating_add(1);
        let mut winners = Vec::new();
        winners.try_reserve_exact(nodes)?;
        winners.resize(nodes, Entry::NONE);
        winners[inner..inner + old].copy_from_slice(&self.winners[self.inner()..]);
        self.winners = winners;
        (0..inner).rev().for_each(|node| self.play(node));
        Ok(())
    }

    /// How many nodes have children.
    #[inline]
    fn inner(&self) -> usize {
        self.winners.len() / CHILDREN
    }

    #[cfg(test)]
    pub(crate) fn capacity(&self) -> usize {
        self.winners.capacity()
    }

    /// The timer that leaves first: its deadline and its slot.
    pub(crate) fn first(&self) -> Option<(u64, u32)> {
        let first = *self.winners.first().filter(|first| **first != Entry::NONE)?;
        Some((first.deadline_ns(), first.slot()))
    }

    /// Enters a timer in a slot that has none, and a leaf.
    pub(crate) fn enter(&mut self, slot: u32, deadline_ns: u64, sequence: u64) {
        let entry = Entry::new(deadline_ns, sequence, slot);
        let mut node = self.inner() + slot as usize;
        self.winners[node] = entry;
        while node > 0 {
            node = (node - 1) / CHILDREN;
            if self.winners[node] < entry {
                break;
            }
            self.winners[node] = entry;
        }
    }

    /// Takes the timer of `slot` out.
    pub(crate) fn leave(&mut self, slot: u32) {
        let mut node = self.inner() + slot as usize;
        let leaving = core::mem::replace(&mut self.winners[node], Entry::NONE);
        while node > 0 {
            node = (node - 1) / CHILDREN;
            if self.winners[node] != leaving {
                break;
            }
            self.play(node);
        }
    }

    /// Takes the first timer out, which is in `slot`: it has won all the way.
    pub(crate) fn leave_first(&mut self, slot: u32) {
        let mut node = self.inner() + slot as usize;
        self.winners[node] = Entry::NONE;
        while node > 0 {
            node = (node - 1) / CHILDREN;
            self.play(node);
        }
    }

    /// Has the children of `node` play for its place.
    #[inline]
    fn play(&mut self, node: usize) {
        let [a, b, c, d] = self.winners[1..].as_chunks::<CHILDREN>().0[node];
        self.winners[node] = a.min(b).min(c.min(d));
    }
}
