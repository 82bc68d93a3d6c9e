//! The VMM's memory map, cleaned: usable RAM in sorted, page-aligned ranges that do not overlap.
//!
//! A map may be unsorted, hold empty entries, and entries that overlap. Whatever any entry or the kernel
//! itself reserves is not usable, whichever came first; two usable entries that overlap are one.

use crate::PAGE_BYTES;

/// Ranges a cleaned map can hold.
pub const RANGES_MAX: usize = 64;

/// Physical addresses `start..end`, in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Range {
    /// First byte.
    pub start: u64,
    /// One past the last byte.
    pub end: u64,
}

impl Range {
    /// Bytes in the range.
    pub const fn bytes(self) -> u64 {
        self.end.saturating_sub(self.start)
    }

    const fn is_empty(self) -> bool {
        self.start >= self.end
    }
}

/// Why a memory map cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MapError {
    /// No entry of the map says that there is usable RAM.
    NoUsableMemory,
    /// An entry's end lies past the end of the address space.
    Overflow {
        /// The entry's first byte.
        start: u64,
        /// The entry's length in bytes.
        bytes: u64,
    },
    /// More than [`RANGES_MAX`] separate ranges.
    TooManyRanges,
}

impl core::fmt::Display for MapError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::NoUsableMemory => f.write_str("the memory map names no usable RAM"),
            Self::Overflow { start, bytes } => {
                write!(f, "the memory map has an entry past the address space: {bytes:#x} bytes at {start:#x}")
            }
            Self::TooManyRanges => write!(f, "the memory map has more than {RANGES_MAX} separate ranges"),
        }
    }
}

/// Usable RAM: sorted, page-aligned, disjoint ranges.
#[derive(Clone, Debug)]
pub struct Usable {
    ranges: [Range; RANGES_MAX],
    count: usize,
}

impl Usable {
    /// A map without RAM.
    pub const fn new() -> Self {
        Self { ranges: [Range { start: 0, end: 0 }; RANGES_MAX], count: 0 }
    }

    /// The ranges, by address.
    pub fn ranges(&self) -> &[Range] {
        &self.ranges[..self.count]
    }

    /// Usable bytes in all.
    pub fn bytes(&self) -> u64 {
        self.ranges().iter().map(|range| range.bytes()).sum()
    }

    /// Adds `start..start + bytes` as usable, shrunk to whole pages and merged with what it touches.
    ///
    /// # Errors
    /// [`MapError::Overflow`] and [`MapError::TooManyRanges`].
    pub fn add(&mut self, start: u64, bytes: u64) -> Result<(), MapError> {
        let end = start.checked_add(bytes).ok_or(MapError::Overflow { start, bytes })?;
        let Some(start) = start.checked_next_multiple_of(PAGE_BYTES) else { return Ok(()) };
        let mut new = Range { start, end: end & !(PAGE_BYTES - 1) };
        if new.is_empty() {
            return Ok(());
        }
        let mut kept = 0;
        for index in 0..self.count {
            let range = self.ranges[index];
            if range.end < new.start || new.end < range.start {
                self.ranges[kept] = range;
                kept += 1;
            } else {
                new = Range { start: new.start.min(range.start), end: new.end.max(range.end) };
            }
        }
        self.count = kept;
        self.insert(new)
    }

    /// Takes `start..start + bytes`, widened to whole pages, out of what is usable.
    ///
    /// # Errors
    /// [`MapError::Overflow`] and [`MapError::TooManyRanges`] (a hole splits a range in two).
    pub fn reserve(&mut self, start: u64, bytes: u64) -> Result<(), MapError> {
        let end = start.checked_add(bytes).ok_or(MapError::Overflow { start, bytes })?;
        let hole = Range {
            start: start & !(PAGE_BYTES - 1),
            end: end.checked_next_multiple_of(PAGE_BYTES).unwrap_or(!(PAGE_BYTES - 1)),
        };
        if hole.is_empty() || bytes == 0 {
            return Ok(());
        }
        let mut index = 0;
        while index < self.count {
            let range = self.ranges[index];
            if range.end <= hole.start || hole.end <= range.start {
                index += 1;
                continue;
            }
            self.remove(index);
            for part in [Range { end: hole.start, ..range }, Range { start: hole.end, ..range }] {
                if !part.is_empty() {
                    self.insert(part)?;
                    index += 1;
                }
            }
        }
        Ok(())
    }

    /// Takes the highest whole page below `end` out of what is usable.
    pub fn take_page_below(&mut self, end: u64) -> Option<u64> {
        let below = self.ranges().iter().rev().find(|range| range.start < end & !(PAGE_BYTES - 1))?;
        let page = (below.end.min(end) & !(PAGE_BYTES - 1)) - PAGE_BYTES;
        self.reserve(page, PAGE_BYTES).ok().map(|()| page)
    }

    fn insert(&mut self, new: Range) -> Result<(), MapError> {
        if self.count == RANGES_MAX {
            return Err(MapError::TooManyRanges);
        }
        let at = self.ranges().partition_point(|range| range.start < new.start);
        self.ranges.copy_within(at..self.count, at + 1);
        self.ranges[at] = new;
        self.count += 1;
        Ok(())
    }

    fn remove(&mut self, index: usize) {
        self.ranges.copy_within(index + 1..self.count, index);
        self.count -= 1;
    }
}

impl Default for Usable {
    fn default() -> Self {
        Self::new()
    }
}

/// Cleans a map: `entries` gives `(start, bytes, is_ram)` and is walked twice, RAM first.
///
/// # Errors
/// See [`MapError`]; a map without any usable page is an error.
pub fn clean(entries: impl Iterator<Item = (u64, u64, bool)> + Clone) -> Result<Usable, MapError> {
    let mut usable = Usable::new();
    for (start, bytes, _) in entries.clone().filter(|entry| entry.2) {
        usable.add(start, bytes)?;
    }
    for (start, bytes, _) in entries.filter(|entry| !entry.2) {
        // A reserved entry that runs past the end of the address space reserves up to the end.
        usable.reserve(start, bytes.min(u64::MAX - start))?;
    }
    if usable.count == 0 { Err(MapError::NoUsableMemory) } else { Ok(usable) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cleaned(entries: &[(u64, u64, bool)]) -> Result<Vec<(u64, u64)>, MapError> {
        clean(entries.iter().copied()).map(|map| map.ranges().iter().map(|r| (r.start, r.end)).collect())
    }

    #[test]
    fn unsorted_entries_and_empty_ones_are_accepted() {
        let map = [(0x10_0000, 0x10_0000, true), (0, 0, false), (0, 0x9_fc00, true), (0, 0, true)];
        assert_eq!(cleaned(&map), Ok(vec![(0, 0x9_f000), (0x10_0000, 0x20_0000)]));
    }

    #[test]
    fn a_reserved_entry_wins_over_ram_whatever_the_order() {
        let expected = Ok(vec![(0, 0x3000), (0x5000, 0x8000)]);
        assert_eq!(cleaned(&[(0x3800, 0x1000, false), (0, 0x8000, true)]), expected);
        assert_eq!(cleaned(&[(0, 0x8000, true), (0x3800, 0x1000, false)]), expected);
    }

    #[test]
    fn ram_that_overlaps_is_counted_once() {
        let map = [(0, 0x4000, true), (0x2000, 0x4000, true), (0x6000, 0x1000, true), (0, 0x1000, true)];
        assert_eq!(cleaned(&map), Ok(vec![(0, 0x7000)]));
    }

    #[test]
    fn a_map_without_ram_is_refused() {
        assert_eq!(cleaned(&[]), Err(MapError::NoUsableMemory));
        assert_eq!(cleaned(&[(0, 0x8000, false), (0x9000, 0, true)]), Err(MapError::NoUsableMemory));
        assert_eq!(cleaned(&[(0x1000, 0x1000, true), (0, u64::MAX, false)]), Err(MapError::NoUsableMemory));
    }

    #[test]
    fn an_entry_past_the_address_space_is_refused() {
        let (start, bytes) = (u64::MAX - 0xfff, 0x2000);
        assert_eq!(cleaned(&[(start, bytes, true)]), Err(MapError::Overflow { start, bytes }));
    }

    #[test]
    fn part_of_the_last_page_is_no_ram() {
        assert_eq!(cleaned(&[(u64::MAX - 0x10, 0x10, true)]), Err(MapError::NoUsableMemory));
    }

    #[test]
    fn a_hole_splits_a_range() {
        let mut map = clean([(0, 0x10_0000, true)].into_iter()).unwrap();
        map.reserve(0x4010, 0x10).unwrap();
        map.reserve(0xf_f000, 0x10_0000).unwrap();
        assert_eq!(map.ranges(), [Range { start: 0, end: 0x4000 }, Range { start: 0x5000, end: 0xf_f000 }]);
        assert_eq!(map.bytes(), 0xf_e000);
    }

    #[test]
    fn a_page_below_a_limit_is_taken() {
        let mut map = clean([(0x1000, 0x4000, true), (0x10_0000, 0x10_0000, true)].into_iter()).unwrap();
        assert_eq!(map.take_page_below(0xa_0000), Some(0x4000));
        assert_eq!(map.take_page_below(0x3_800), Some(0x2000), "a part of a page is none");
        assert_eq!(map.ranges()[..2], [Range { start: 0x1000, end: 0x2000 }, Range { start: 0x3000, end: 0x4000 }]);
        assert_eq!(map.take_page_below(0x1800), None);
        assert_eq!(map.take_page_below(0), None);
    }

    #[test]
    fn too_many_ranges_are_refused_not_dropped() {
        let entries = (0..=RANGES_MAX as u64).map(|i| (i * 0x4000, 0x1000, true));
        assert_eq!(clean(entries).unwrap_err(), MapError::TooManyRanges);
    }
}
