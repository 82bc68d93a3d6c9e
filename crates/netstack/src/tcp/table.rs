//! Finds what a 4-tuple belongs to: a connection, a handshake under way, or a closed connection not yet forgotten.
//!
//! Cost does not grow with what is in it. The hash is keyed with a secret, so a peer cannot choose colliding ports.

use crate::config::Config;
use alloc::vec::Vec;
use toro_tcp::segment::Tuple;

/// What a tuple belongs to, by its place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    Connection(u32),
    HalfOpen(u32),
    TimeWait(u32),
}

#[derive(Clone, Copy, Debug)]
struct Entry {
    tuple: Tuple,
    place: Place,
}

/// The table of all tuples in use: each in the slot that its hash names, or the next free one after it.
#[derive(Debug)]
pub(super) struct Table {
    /// A power of two of them, at most three quarters taken; none at first.
    slots: Vec<Option<Entry>>,
    count: usize,
    secret: [u64; 2],
}

impl Table {
    pub(super) fn new(secret: [u64; 2]) -> Self {
        Table { slots: Vec::new(), count: 0, secret }
    }

    /// The slot in which a tuple stands, or else the free one where it would.
    #[inline]
    fn slot(&self, tuple: &Tuple) -> Result<usize, usize> {
        let last = self.slots.len().wrapping_sub(1);
        let mut slot = hash(self.secret, tuple) as usize & last;
        while let Some(Some(entry)) = self.slots.get(slot) {
            if entry.tuple == *tuple {
                return Ok(slot);
            }
            slot = (slot + 1) & last;
        }
        Err(slot)
    }

    #[inline]
    pub(super) fn find(&self, tuple: &Tuple) -> Option<Place> {
        let slot = self.slot(tuple).ok()?;
        self.slots[slot].map(|entry| entry.place)
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.count
    }

    /// Whether there is one of which `is` says so; looks at all.
    pub(super) fn any(&self, mut is: impl FnMut(&Tuple, Place) -> bool) -> bool {
        self.slots.iter().flatten().any(|entry| is(&entry.tuple, entry.place))
    }

    /// Adds a tuple, or says where it belongs now. `false` when there is no memory.
    pub(super) fn set(&mut self, tuple: Tuple, place: Place) -> bool {
        let entry = Some(Entry { tuple, place });
        match self.slot(&tuple) {
            Ok(slot) => self.slots[slot] = entry,
            Err(_) if !self.make_room() => return false,
            Err(_) => {
                // The table may have grown.
                if let Err(slot) = self.slot(&tuple) {
                    self.slots[slot] = entry;
                    self.count += 1;
                }
            }
        }
        true
    }

    /// Makes sure that one more fits.
    fn make_room(&mut self) -> bool {
        let size = self.slots.len();
        if (self.count + 1) * 4 <= size * 3 {
            return true;
        }
        let mut grown = Vec::new();
        let larger = (size * 2).max(16);
        if grown.try_reserve_exact(larger).is_err() {
            return self.count + 1 < size; // a fuller table is slower, and as good
        }
        grown.resize(larger, None);
        let before = core::mem::replace(&mut self.slots, grown);
        for entry in before.into_iter().flatten() {
            if let Err(slot) = self.slot(&entry.tuple) {
                self.slots[slot] = Some(entry);
            }
        }
        true
    }

    /// Removes a tuple if it belongs to exactly this place.
    pub(super) fn remove_place(&mut self, tuple: &Tuple, place: Place) {
        if self.find(tuple) == Some(place) {
            self.remove(tuple);
        }
    }

    pub(super) fn remove(&mut self, tuple: &Tuple) {
        let Ok(mut free) = self.slot(tuple) else { return };
        let last = self.slots.len() - 1;
        self.slots[free] = None;
        self.count -= 1;
        // Whoever follows without a gap, and was not in its own slot, moves up, so that all are found without one.
        let mut slot = (free + 1) & last;
        while let Some(entry) = self.slots[slot] {
            let own = hash(self.secret, &entry.tuple) as usize & last;
            if slot.wrapping_sub(own) & last >= slot.wrapping_sub(free) & last {
                self.slots[free] = self.slots[slot].take();
                free = slot;
            }
            slot = (slot + 1) & last;
        }
    }
}

/// A number for the flow, the same on all cores, that no peer can choose.
pub(crate) fn flow(tuple: &Tuple, config: &Config) -> u64 {
    hash([config.secret[0], config.secret[1]], tuple)
}

/// Two words at a time, each masked by a secret one, multiplied and folded.
#[inline]
pub(super) fn hash(secret: [u64; 2], tuple: &Tuple) -> u64 {
    let fold = |one: u64, other: u64| {
        let product = u128::from(one ^ secret[0]) * u128::from(other ^ secret[1]);
        product as u64 ^ (product >> 64) as u64
    };
    tuple.with_words(|words| match words {
        [addresses, ports] => fold(*addresses, *ports),
        _ => words.iter().fold(0, |hash: u64, word| fold(hash.rotate_left(32), *word)),
    })
}

#[cfg(test)]
mod tests {
    use super::{Place, Table, Tuple};
    use core::net::{Ipv4Addr, Ipv6Addr};
    use std::collections::{HashMap, HashSet};
    use toro_tcp::Ip;

    fn tuple(number: u32) -> Tuple {
        let remote = Ipv4Addr::from_bits(number / 50_000).into();
        Tuple { local: Ipv4Addr::LOCALHOST.into(), remote, local_port: 80, remote_port: (number % 50_000) as u16 }
    }

    /// By IPv6: what differs is in the network, in the host, or in the port.
    fn tuple6(number: u32) -> Tuple {
        let (network, host) = (u128::from(number % 7) << 66, u128::from(number / 7 % 70));
        let remote = Ip::of_v6(Ipv6Addr::from_bits(0xfd00 << 112 | network | host));
        Tuple { local: Ip::LOCALHOST, remote, local_port: 80, remote_port: (number / 490) as u16 }
    }

    #[test]
    fn it_is_a_map() {
        is_a_map(tuple);
        is_a_map(tuple6);
    }

    #[test]
    fn what_differs_in_one_thing_is_spread() {
        let secret = [0x9e37_79b9_7f4a_7c15, 0xc2b2_ae3d_27d4_eb4f];
        let network = |number: u64| Ip::of_v6(Ipv6Addr::from_bits(0xfd00 << 112 | u128::from(number) << 64));
        let host = |number: u64| Ip::of_v6(Ipv6Addr::from_bits(0xfd00 << 112 | u128::from(number)));
        let of = |remote, remote_port| Tuple { local: Ip::LOCALHOST, remote, local_port: 80, remote_port };
        let by_network = |number| of(network(number), 1000);
        let by_host = |number| of(host(number), 1000);
        let by_port = |number| of(host(1), number as u16);
        let of_v4 = |number: u64| of(Ipv4Addr::from_bits(number as u32).into(), 1000);
        for tuple in [&by_network as &dyn Fn(u64) -> Tuple, &by_host, &by_port, &of_v4] {
            let hashes = || (0..1024).map(|number| super::hash(secret, &tuple(number)));
            // By chance 647 of 1,024 places are taken.
            let low: HashSet<u64> = hashes().map(|hash| hash & 1023).collect();
            let high: HashSet<u64> = hashes().map(|hash| hash >> 54).collect();
            assert!(low.len() > 580 && high.len() > 580, "{} {}", low.len(), high.len());
        }
    }

    fn is_a_map(tuple: fn(u32) -> Tuple) {
        let mut table = Table::new([3, 5]);
        let mut model = HashMap::new();
        let mut seed = 1u64;
        assert_eq!(table.find(&tuple(1)), None);
        table.remove(&tuple(1));
        for round in 0..200_000u32 {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            let number = (seed >> 40) as u32 % if round < 100_000 { 5000 } else { 300 };
            if seed >> 33 & 3 == 0 {
                table.remove(&tuple(number));
                model.remove(&number);
            } else {
                assert!(table.set(tuple(number), Place::Connection(round)));
                model.insert(number, Place::Connection(round));
            }
            let asked = (seed >> 20) as u32 % 5000;
            assert_eq!(table.find(&tuple(asked)), model.get(&asked).copied());
        }
        assert_eq!(table.count, model.len());
        for (number, place) in model {
            table.remove_place(&tuple(number), Place::HalfOpen(1));
            assert_eq!(table.find(&tuple(number)), Some(place));
            table.remove_place(&tuple(number), place);
        }
        assert!(table.slots.iter().all(Option::is_none));
    }
}
