//! The heap under the queue: four children a node (half the levels of a binary heap, and siblings share a cache line),
//! and a table from slot to place, so that any entry can be removed.

use alloc::collections::TryReserveError;
use alloc::vec::Vec;

const CHILDREN: usize = 4;

#[derive(Clone, Copy, Debug)]
pub(crate) struct Entry {
    pub(crate) deadline_ns: u64,
    /// Breaks ties: who came first leaves first.
    pub(crate) sequence: u64,
    pub(crate) slot: u32,
}

impl Entry {
    fn before(&self, other: &Entry) -> bool {
        (self.deadline_ns, self.sequence) < (other.deadline_ns, other.sequence)
    }
}

#[derive(Debug)]
pub(crate) struct Heap {
    entries: Vec<Entry>,
    /// Where the entry of each slot stands in `entries`; meaningless for a slot that has none.
    places: Vec<u32>,
}

impl Heap {
    pub(crate) const fn new() -> Self {
        Heap { entries: Vec::new(), places: Vec::new() }
    }

    pub(crate) fn reserve(&mut self, entries: usize) -> Result<(), TryReserveError> {
        self.entries.try_reserve(entries.saturating_sub(self.entries.len()))?;
        self.places.try_reserve(entries.saturating_sub(self.places.len()))
    }

    #[cfg(test)]
    pub(crate) fn capacities(&self) -> (usize, usize) {
        (self.entries.capacity(), self.places.capacity())
    }

    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    pub(crate) fn first(&self) -> Option<&Entry> {
        self.entries.first()
    }

    pub(crate) fn push(&mut self, entry: Entry) {
        let place = self.entries.len();
        self.entries.push(entry);
        if self.places.len() <= entry.slot as usize {
            self.places.resize(entry.slot as usize + 1, 0);
        }
        self.rise(place, entry);
    }

    /// Removes the entry of `slot`, which must have one.
    pub(crate) fn remove(&mut self, slot: u32) {
        let place = self.places[slot as usize] as usize;
        assert_eq!(self.entries[place].slot, slot, "the heap's table and its entries disagree");
        let last = self.entries.pop().expect("an entry was just seen");
        if place == self.entries.len() {
            return;
        }
        if place > 0 && last.before(&self.entries[(place - 1) / CHILDREN]) {
            self.rise(place, last);
        } else {
            self.sink(place, last);
        }
    }

    /// Puts `entry` at `place` or, while it comes before its parent, nearer the root.
    fn rise(&mut self, mut place: usize, entry: Entry) {
        while place > 0 {
            let parent = (place - 1) / CHILDREN;
            if !entry.before(&self.entries[parent]) {
                break;
            }
            self.put(place, self.entries[parent]);
            place = parent;
        }
        self.put(place, entry);
    }

    /// Puts `entry` at `place` or, while a child comes before it, nearer the leaves.
    fn sink(&mut self, mut place: usize, entry: Entry) {
        loop {
            let first = place * CHILDREN + 1;
            let end = (first + CHILDREN).min(self.entries.len());
            let Some(child) = (first..end).reduce(|a, b| if self.entries[b].before(&self.entries[a]) { b } else { a })
            else {
                break;
            };
            if !self.entries[child].before(&entry) {
                break;
            }
            self.put(place, self.entries[child]);
            place = child;
        }
        self.put(place, entry);
    }

    fn put(&mut self, place: usize, entry: Entry) {
        self.places[entry.slot as usize] = u32::try_from(place).expect("no more places than slots");
        self.entries[place] = entry;
    }
}
