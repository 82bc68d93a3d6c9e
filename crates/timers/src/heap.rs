//! The heap under the queue: four children a node (half the levels of a binary heap, and siblings share two cache lines),
//! and a table from slot to place, so that any entry can be removed.

use alloc::collections::TryReserveError;
use alloc::vec::Vec;

const CHILDREN: usize = 4;

/// One pending timer in one number, so that two are compared, and one is moved, at once: from the top its deadline, the
/// sequence number that breaks ties (who came first leaves first), and its slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Entry(u128);

impl Entry {
    /// The sequence number's lower half counts: where it wraps, every 2^32 timers, those of one nanosecond change order.
    pub(crate) fn new(deadline_ns: u64, sequence: u64, slot: u32) -> Self {
        Entry(u128::from(deadline_ns) << 64 | u128::from(sequence << 32 | u64::from(slot)))
    }

    pub(crate) fn deadline_ns(self) -> u64 {
        (self.0 >> 64) as u64
    }

    pub(crate) fn slot(self) -> u32 {
        self.0 as u32
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
        let slot = entry.slot() as usize;
        if self.places.len() <= slot {
            self.places.resize(slot + 1, 0);
        }
        self.rise(place, entry);
    }

    /// Takes the first entry if `wanted` says so.
    pub(crate) fn pop_if(&mut self, wanted: impl FnOnce(Entry) -> bool) -> Option<Entry> {
        let first = *self.entries.first().filter(|first| wanted(**first))?;
        self.fill(0);
        Some(first)
    }

    /// Removes the entry of `slot`, which must have one.
    pub(crate) fn remove(&mut self, slot: u32) {
        let place = self.places[slot as usize] as usize;
        assert_eq!(self.entries[place].slot(), slot, "the heap's table and its entries disagree");
        self.fill(place);
    }

    /// Fills the place of an entry that has left with the last one, which belongs near the leaves: the hole goes all the way
    /// down, which spares a comparison on each level, and the entry rises from there.
    fn fill(&mut self, place: usize) {
        let Some(last) = self.entries.pop() else { return };
        if place < self.entries.len() {
            let hole = self.sink_hole(place);
            self.rise(hole, last);
        }
    }

    /// Puts `entry` at `place` or, while it comes before its parent, nearer the root.
    fn rise(&mut self, mut place: usize, entry: Entry) {
        while place > 0 {
            let parent = (place - 1) / CHILDREN;
            let above = self.entries[parent];
            if above <= entry {
                break;
            }
            self.put(place, above);
            place = parent;
        }
        self.put(place, entry);
    }

    /// Moves the hole at `place`, which has the root's or a removed entry's place, down to a leaf, and the first child of each
    /// level up; where it ends.
    fn sink_hole(&mut self, mut place: usize) -> usize {
        let (entries, places) = (&mut self.entries[..], &mut self.places[..]);
        // After the root, each four are the children of one place.
        while let Some(four) = entries[1..].as_chunks::<CHILDREN>().0.get(place) {
            let child = first_of(four);
            let entry = four[child];
            places[entry.slot() as usize] = place as u32;
            entries[place] = entry;
            place = place * CHILDREN + 1 + child;
        }
        let first = place * CHILDREN + 1;
        match (first..self.entries.len()).min_by_key(|&child| self.entries[child]) {
            None => place,
            Some(child) => {
                self.put(place, self.entries[child]);
                child
            }
        }
    }

    fn put(&mut self, place: usize, entry: Entry) {
        self.places[entry.slot() as usize] = place as u32; // no more places than slots
        self.entries[place] = entry;
    }
}

/// Which of four leaves first.
#[inline]
fn first_of(four: &[Entry; CHILDREN]) -> usize {
    let left = usize::from(four[1] < four[0]);
    let right = 2 + usize::from(four[3] < four[2]);
    if four[right] < four[left] { right } else { left }
}
