//! Finds what a 4-tuple belongs to: a connection, a handshake under way, or a closed connection not yet forgotten.
//!
//! Cost does not grow with what is in it. The hash is keyed with a secret, so a peer cannot choose colliding ports.

use super::segment::Tuple;
use hashbrown::HashTable;

/// What a tuple belongs to, by its place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    Connection(u32),
    HalfOpen(u32),
    TimeWait(u32),
}

#[derive(Debug)]
struct Entry {
    tuple: Tuple,
    place: Place,
}

/// The table of all tuples in use.
#[derive(Debug)]
pub(super) struct Table {
    entries: HashTable<Entry>,
    secret: [u64; 2],
}

impl Table {
    pub(super) fn new(secret: [u64; 2]) -> Self {
        Table { entries: HashTable::new(), secret }
    }

    #[inline]
    pub(super) fn find(&self, tuple: &Tuple) -> Option<Place> {
        let entry = self.entries.find(hash(self.secret, tuple), |entry| entry.tuple == *tuple)?;
        Some(entry.place)
    }

    /// Adds a tuple, or says where it belongs now. `false` when there is no memory.
    pub(super) fn set(&mut self, tuple: Tuple, place: Place) -> bool {
        let secret = self.secret;
        let hash_of_tuple = hash(secret, &tuple);
        if let Some(entry) = self.entries.find_mut(hash_of_tuple, |entry| entry.tuple == tuple) {
            entry.place = place;
            return true;
        }
        if self.entries.try_reserve(1, |entry| hash(secret, &entry.tuple)).is_err() {
            return false;
        }
        self.entries.insert_unique(hash_of_tuple, Entry { tuple, place }, |entry| hash(secret, &entry.tuple));
        true
    }

    /// Removes a tuple if it belongs to exactly this place.
    pub(super) fn remove_place(&mut self, tuple: &Tuple, place: Place) {
        let found = self.entries.find_entry(hash(self.secret, tuple), |entry| entry.tuple == *tuple);
        if let Ok(entry) = found
            && entry.get().place == place
        {
            entry.remove();
        }
    }

    pub(super) fn remove(&mut self, tuple: &Tuple) {
        if let Ok(entry) = self.entries.find_entry(hash(self.secret, tuple), |entry| entry.tuple == *tuple) {
            entry.remove();
        }
    }
}

/// Two words, each masked by a secret one, multiplied and folded.
#[inline]
pub(super) fn hash(secret: [u64; 2], tuple: &Tuple) -> u64 {
    let [addresses, ports] = tuple.words();
    let product = u128::from(addresses ^ secret[0]) * u128::from(ports ^ secret[1]);
    product as u64 ^ (product >> 64) as u64
}
