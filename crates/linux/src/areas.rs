//! A program's memory map: which ranges of addresses are what. Pages are another matter: an area is a promise.
//!
//! Areas do not overlap and are ordered by address; neighbours that agree in everything are one. What is behind an area (a
//! file from some byte on, or nothing) is the caller's [`Backing`], which areas divide and join. The map says what was
//! removed, so that its owner can let go of pages.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use core::ops::Range;

/// What a program may do with an area's memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Protection {
    /// Read it.
    pub read: bool,
    /// Write it.
    pub write: bool,
    /// Run it.
    pub execute: bool,
}

/// What is behind an area.
pub trait Backing: Clone {
    /// The same from `bytes` further on.
    #[must_use]
    fn advance(&self, bytes: usize) -> Self;
    /// Whether `next` goes on where this ends after `bytes`.
    fn continues(&self, bytes: usize, next: &Self) -> bool;
}

/// A range of addresses that are one thing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Area<B> {
    /// What the program may do.
    pub protection: Protection,
    /// What is behind it.
    pub backing: B,
}

#[derive(Clone, Debug)]
struct Entry<B> {
    end: usize,
    area: Area<B>,
}

/// The map of all areas inside `bounds`.
#[derive(Debug)]
pub struct Areas<B> {
    entries: BTreeMap<usize, Entry<B>>,
    bounds: Range<usize>,
    /// Free ranges are looked for from here down. What lies above is in use, or was passed over because it was too small.
    search_from: usize,
    /// Free ranges are looked for below this.
    ceiling: usize,
    /// Bytes of all areas.
    bytes: usize,
}

/// A range has addresses that are in no area.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gap;

impl<B: Backing> Areas<B> {
    /// An empty map. Free ranges are found below `ceiling` first.
    #[must_use]
    pub const fn new(bounds: Range<usize>, ceiling: usize) -> Self {
        Areas { entries: BTreeMap::new(), bounds, search_from: ceiling, ceiling, bytes: 0 }
    }

    /// Bytes of all areas.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// How many areas there are.
    #[must_use]
    pub fn count(&self) -> usize {
        self.entries.len()
    }

    /// All areas, in order.
    pub fn iter(&self) -> impl Iterator<Item = (Range<usize>, &Area<B>)> {
        self.entries.iter().map(|(start, entry)| (*start..entry.end, &entry.area))
    }

    /// The area that an address is in.
    #[must_use]
    pub fn find(&self, address: usize) -> Option<(Range<usize>, &Area<B>)> {
        let (start, entry) = self.entries.range(..=address).next_back()?;
        (address < entry.end).then_some((*start..entry.end, &entry.area))
    }

    /// The first area that ends above an address.
    fn first_from(&self, address: usize) -> Option<usize> {
        let before = self.entries.range(..=address).next_back().filter(|(_, entry)| entry.end > address);
        before.or_else(|| self.entries.range(address..).next()).map(|(start, _)| *start)
    }

    /// The parts of areas that lie in a range, in order, each with what is behind its beginning.
    pub fn parts(&self, range: Range<usize>) -> impl Iterator<Item = (Range<usize>, Area<B>)> + '_ {
        let first = self.first_from(range.start).unwrap_or(usize::MAX);
        self.entries.range(first..).take_while(move |(start, _)| **start < range.end).map(move |(start, entry)| {
            let part = (*start).max(range.start)..entry.end.min(range.end);
            let backing = entry.area.backing.advance(part.start - start);
            (part, Area { protection: entry.area.protection, backing })
        })
    }

    /// Whether every address of a range is in an area.
    #[must_use]
    pub fn covers(&self, range: Range<usize>) -> bool {
        let mut reached = range.start;
        while reached < range.end {
            match self.find(reached) {
                Some((found, _)) => reached = found.end,
                None => return false,
            }
        }
        true
    }

    /// Whether no address of a range is in an area, and all are inside the bounds.
    #[must_use]
    pub fn is_free(&self, range: Range<usize>) -> bool {
        let is_inside = self.bounds.start <= range.start && range.start <= range.end && range.end <= self.bounds.end;
        is_inside && self.first_from(range.start).is_none_or(|start| start >= range.end)
    }

    /// A free range of `bytes` with addresses divisible by `align`: the highest below the ceiling that a search finds, or
    /// else one above it.
    pub fn find_free(&mut self, bytes: usize, align: usize) -> Option<usize> {
        let below = |areas: &Self, from: usize| areas.free_below(from, bytes, align);
        let found = below(self, self.search_from)
            .or_else(|| below(self, self.ceiling))
            .or_else(|| below(self, self.bounds.end).filter(|start| *start >= self.ceiling));
        if let Some(start) = found
            && start + bytes <= self.ceiling
        {
            self.search_from = start + bytes;
        }
        found
    }

    /// The highest free range below `end`, of `bytes` with addresses divisible by `align`.
    #[must_use]
    pub fn find_free_below(&self, end: usize, bytes: usize, align: usize) -> Option<usize> {
        self.free_below(end, bytes, align)
    }

    fn free_below(&self, from: usize, bytes: usize, align: usize) -> Option<usize> {
        let mut end = match self.find(from.saturating_sub(1)) {
            Some((range, _)) if range.end > from => range.start,
            _ => from.min(self.bounds.end),
        };
        let mut entries = self.entries.range(..end).rev();
        loop {
            let before = entries.next();
            let gap_start = before.map_or(self.bounds.start, |(_, entry)| entry.end.max(self.bounds.start));
            let start = end.checked_sub(bytes).map(|start| start & !(align - 1));
            if let Some(start) = start
                && start >= gap_start
            {
                return Some(start);
            }
            end = *before?.0;
        }
    }

    /// Adds an area where nothing is.
    ///
    /// # Panics
    /// When something is, or the range is empty or out of bounds.
    pub fn insert(&mut self, range: Range<usize>, area: Area<B>) {
        assert!(!range.is_empty() && self.is_free(range.clone()), "{range:x?} is not free");
        self.bytes += range.len();
        self.entries.insert(range.start, Entry { end: range.end, area });
        self.join(range.start);
        self.join(range.end);
    }

    /// Makes one of the areas that meet at an address, if they agree.
    fn join(&mut self, at: usize) {
        let Some(after) = self.entries.get(&at) else { return };
        let Some((start, before)) = self.entries.range(..at).next_back() else { return };
        let agree = before.end == at
            && before.area.protection == after.area.protection
            && before.area.backing.continues(at - start, &after.area.backing);
        if agree {
            let (start, end) = (*start, after.end);
            self.entries.remove(&at);
            if let Some(before) = self.entries.get_mut(&start) {
                before.end = end;
            }
        }
    }

    /// Makes a boundary at an address, if one area is on both sides of it.
    fn split(&mut self, at: usize) {
        let Some((start, entry)) = self.entries.range_mut(..at).next_back() else { return };
        if entry.end > at {
            let backing = entry.area.backing.advance(at - start);
            let after = Entry { end: entry.end, area: Area { protection: entry.area.protection, backing } };
            entry.end = at;
            self.entries.insert(at, after);
        }
    }

    /// Takes all that lies in a range out, and tells what it was.
    pub fn remove(&mut self, range: Range<usize>) -> Vec<(Range<usize>, Area<B>)> {
        self.split(range.start);
        self.split(range.end);
        let starts: Vec<usize> = self.entries.range(range).map(|(start, _)| *start).collect();
        let removed: Vec<(Range<usize>, Area<B>)> = starts
            .into_iter()
            .filter_map(|start| self.entries.remove(&start).map(|entry| (start..entry.end, entry.area)))
            .collect();
        for (range, _) in &removed {
            self.bytes -= range.len();
            if range.end <= self.ceiling {
                self.search_from = self.search_from.max(range.end);
            }
        }
        removed
    }

    /// Changes what may be done in a range; the parts that `allowed` does not refuse. A part that is refused ends it, with
    /// those before it changed.
    ///
    /// # Errors
    /// Where no area is, or what `allowed` says.
    pub fn protect<E: From<Gap>>(
        &mut self,
        range: Range<usize>,
        protection: Protection,
        mut allowed: impl FnMut(&Area<B>) -> Result<(), E>,
    ) -> Result<(), (usize, E)> {
        let mut at = range.start;
        let mut result = Ok(());
        self.split(range.start);
        self.split(range.end);
        while at < range.end {
            let Some(entry) = self.entries.get_mut(&at) else {
                result = Err((at, Gap.into()));
                break;
            };
            if let Err(error) = allowed(&entry.area) {
                result = Err((at, error));
                break;
            }
            entry.area.protection = protection;
            at = entry.end;
        }
        let boundaries: Vec<usize> = self.entries.range(range.start..=range.end).map(|(start, _)| *start).collect();
        boundaries.into_iter().for_each(|boundary| self.join(boundary));
        result
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap as Model;

    const READ: Protection = Protection { read: true, write: false, execute: false };
    const WRITE: Protection = Protection { read: true, write: true, execute: false };

    /// A file from some byte on; 0 is no file.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    struct Behind(u32, usize);

    impl Backing for Behind {
        fn advance(&self, bytes: usize) -> Self {
            if self.0 == 0 { *self } else { Behind(self.0, self.1 + bytes) }
        }

        fn continues(&self, bytes: usize, next: &Self) -> bool {
            self.advance(bytes) == *next
        }
    }

    fn area(protection: Protection, backing: Behind) -> Area<Behind> {
        Area { protection, backing }
    }

    fn ranges(areas: &Areas<Behind>) -> Vec<(usize, usize)> {
        areas.iter().map(|(range, _)| (range.start, range.end)).collect()
    }

    #[test]
    fn neighbours_that_agree_are_one() {
        let mut areas = Areas::new(0..100, 100);
        areas.insert(10..20, area(READ, Behind(1, 0)));
        areas.insert(30..40, area(READ, Behind(1, 20)));
        areas.insert(20..30, area(READ, Behind(1, 10)));
        areas.insert(40..50, area(READ, Behind(1, 31)));
        areas.insert(50..60, area(READ, Behind(2, 41)));
        assert_eq!(ranges(&areas), [(10, 40), (40, 50), (50, 60)]);
    }

    #[test]
    fn a_hole_divides_and_keeps_the_place_in_the_file() {
        let mut areas = Areas::new(0..100, 100);
        areas.insert(10..60, area(READ, Behind(1, 100)));
        let removed = areas.remove(20..30);
        assert_eq!(removed, [(20..30, area(READ, Behind(1, 110)))]);
        assert_eq!(areas.find(35), Some((30..60, &area(READ, Behind(1, 120)))));
        assert_eq!((areas.find(20), areas.bytes()), (None, 40));
        assert!(areas.covers(30..60) && !areas.covers(15..35) && areas.is_free(20..30));
    }

    #[test]
    fn protection_divides_and_joins() {
        let mut areas = Areas::new(0..100, 100);
        areas.insert(10..50, area(READ, Behind(0, 0)));
        areas.protect(20..30, WRITE, |_| Ok::<(), Gap>(())).unwrap();
        assert_eq!(ranges(&areas), [(10, 20), (20, 30), (30, 50)]);
        areas.protect(10..50, WRITE, |_| Ok::<(), Gap>(())).unwrap();
        assert_eq!(ranges(&areas), [(10, 50)]);
        assert_eq!(areas.protect(40..60, READ, |_| Ok::<(), Gap>(())), Err((50, Gap)));
        assert_eq!(ranges(&areas), [(10, 40), (40, 50)], "what is before the gap is changed");
    }

    #[test]
    fn free_ranges_are_found_from_the_top() {
        let mut areas = Areas::new(0x10..0x1000, 0x800);
        assert_eq!(areas.find_free(0x10, 1), Some(0x7f0));
        areas.insert(0x7f0..0x800, area(READ, Behind(0, 0)));
        assert_eq!(areas.find_free(0x100, 0x100), Some(0x600));
        areas.insert(0x600..0x700, area(WRITE, Behind(0, 0)));
        areas.remove(0x7f0..0x800);
        assert_eq!(areas.find_free(0x20, 1), Some(0x7e0), "what was given back is found again");
        assert_eq!(areas.find_free(0x700, 1), Some(0x900), "above, when there is no room below");
        assert_eq!(areas.find_free(0xa00, 1), None);
    }

    /// Against a model that knows each address by itself.
    #[test]
    fn it_agrees_with_a_model() {
        let mut seed = 1_u64;
        let mut random = |below: usize| {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (seed >> 33) as usize % below
        };
        for _ in 0..200 {
            let mut areas = Areas::new(0..64, 64);
            let mut model: Model<usize, (Protection, Behind)> = Model::new();
            for _ in 0..60 {
                let start = random(63);
                let range = start..start + 1 + random(64 - start);
                let protection = if random(2) == 0 { READ } else { WRITE };
                match random(4) {
                    0 => {
                        areas.remove(range.clone());
                        range.for_each(|at| _ = model.remove(&at));
                    }
                    1 => {
                        let outcome = areas.protect(range.clone(), protection, |_| Ok::<(), Gap>(()));
                        let end = outcome.map_or_else(|(at, Gap)| at, |()| range.end);
                        (range.start..end).for_each(|at| model.get_mut(&at).unwrap().0 = protection);
                        assert_eq!(end < range.end, outcome.is_err() && !model.contains_key(&end));
                    }
                    _ if range.clone().all(|at| !model.contains_key(&at)) => {
                        let backing = Behind(random(2) as u32, start);
                        areas.insert(range.clone(), area(protection, backing));
                        range.for_each(|at| _ = model.insert(at, (protection, backing.advance(at - start))));
                    }
                    _ => assert!(!areas.is_free(range)),
                }
                let mut told = Model::new();
                for (range, area) in areas.iter() {
                    for at in range.clone() {
                        told.insert(at, (area.protection, area.backing.advance(at - range.start)));
                    }
                }
                assert_eq!(told, model);
                assert_eq!(areas.bytes(), model.len());
                let pairs: Vec<_> = areas.iter().map(|(range, area)| (range, area.clone())).collect();
                for pair in pairs.windows(2) {
                    let joined = pair[0].0.end == pair[1].0.start
                        && pair[0].1.protection == pair[1].1.protection
                        && pair[0].1.backing.continues(pair[0].0.len(), &pair[1].1.backing);
                    assert!(!joined, "{pair:?} should be one");
                }
            }
        }
    }
}
