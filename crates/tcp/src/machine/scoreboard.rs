//! What the peer has, of what lies beyond the first byte that it lacks (RFC 2018, RFC 6675): the sender's side of selective
//! acknowledgements. Empty, and without memory, as long as nothing is missing.

use crate::segment::after;
use alloc::vec::Vec;

/// Ranges kept. What would make one more is not noted: it goes out again for nothing, and no harm is done.
const RANGES_MAX: usize = 32;
/// So many segments, or so many ranges, beyond a hole mean that it was lost and not merely overtaken.
const DUPLICATES: u32 = 3;

/// Ranges that the peer has told of, in order and apart.
#[derive(Debug, Default)]
pub(super) struct Scoreboard {
    ranges: Vec<(u32, u32)>,
    /// Whatever the peer lacks before this was lost, though little has come beyond: it was sent long ago.
    lost_to: Option<u32>,
}

/// A range that the peer lacks, below others that it has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Hole {
    pub(super) from: u32,
    pub(super) to: u32,
    /// Enough has come beyond it (RFC 6675, 4: `IsLost`).
    pub(super) lost: bool,
}

impl Scoreboard {
    #[inline]
    pub(super) fn is_empty(&self) -> bool {
        self.ranges.is_empty()
    }

    pub(super) fn clear(&mut self) {
        self.ranges.clear();
        self.lost_to = None;
    }

    /// All that the peer lacks, below what it has, is lost.
    pub(super) fn give_up(&mut self) {
        self.lost_to = self.highest();
    }

    /// The end of what the peer has.
    pub(super) fn highest(&self) -> Option<u32> {
        self.ranges.last().map(|&(_, to)| to)
    }

    /// Whether the peer has everything from `from` to `top`.
    pub(super) fn has_all_beyond(&self, from: u32, top: u32) -> bool {
        self.ranges.contains(&(from, top))
    }

    /// The peer has `from..to`, which lies beyond what it lacks first; `true` when that is news.
    #[inline(never)]
    pub(super) fn add(&mut self, from: u32, to: u32) -> bool {
        // All that touch it become one with it.
        let first = self.ranges.partition_point(|&(_, end)| after(from, end));
        let end = first + self.ranges[first..].partition_point(|&(start, _)| !after(start, to));
        let mut merged = (from, to);
        if let Some(&(start, _)) = self.ranges[first..end].first()
            && after(from, start)
        {
            merged.0 = start;
        }
        if let Some(&(_, stop)) = self.ranges[first..end].last()
            && after(stop, to)
        {
            merged.1 = stop;
        }
        if end == first + 1 && self.ranges[first] == merged {
            return false;
        }
        if end == first && (self.ranges.len() == RANGES_MAX || self.ranges.try_reserve(1).is_err()) {
            return false;
        }
        self.ranges.splice(first..end, [merged]);
        true
    }

    /// Everything before `una` is acknowledged.
    pub(super) fn advance(&mut self, una: u32) {
        let gone = self.ranges.partition_point(|&(_, to)| !after(to, una));
        self.ranges.drain(..gone);
        if let Some(first) = self.ranges.first_mut()
            && after(una, first.0)
        {
            first.0 = una;
        }
    }

    /// Where to go on from `number` without saying again what the peer has.
    pub(super) fn skip(&self, number: u32) -> u32 {
        let has = self.ranges.iter().find(|&&(from, to)| !after(from, number) && after(to, number));
        has.map_or(number, |&(_, to)| to)
    }

    /// Where the next range begins beyond `number`.
    pub(super) fn next_from(&self, number: u32) -> Option<u32> {
        self.ranges.iter().map(|&(from, _)| from).find(|&from| after(from, number))
    }

    /// The holes from `una` on, in order.
    pub(super) fn holes(&self, una: u32, segment_bytes: u32) -> impl Iterator<Item = Hole> {
        self.ranges.iter().enumerate().map(move |(index, &(to, _))| {
            let from = if index == 0 { una } else { self.ranges[index - 1].1 };
            let beyond = &self.ranges[index..];
            let bytes: u32 = beyond.iter().map(|&(start, end)| end.wrapping_sub(start)).sum();
            let old = self.lost_to.is_some_and(|lost_to| !after(to, lost_to));
            let lost = old || beyond.len() as u32 >= DUPLICATES || bytes > (DUPLICATES - 1) * segment_bytes;
            Hole { from, to, lost }
        })
    }

    /// How much is still in the network (RFC 6675, 4: `SetPipe`) of what lies between `una` and `top`, if everything before
    /// `again` that was lost went out once more.
    pub(super) fn pipe_bytes(&self, una: u32, top: u32, again: u32, segment_bytes: u32) -> u32 {
        let highest = self.highest().unwrap_or(una);
        let mut pipe = top.wrapping_sub(highest);
        for Hole { from, to, lost } in self.holes(una, segment_bytes) {
            if !lost {
                pipe += to.wrapping_sub(from);
            }
            if after(again, from) {
                pipe += if after(again, to) { to } else { again }.wrapping_sub(from);
            }
        }
        pipe
    }
}

#[cfg(test)]
mod tests {
    use super::{Hole, RANGES_MAX, Scoreboard};

    #[test]
    fn ranges_merge_and_leave() {
        let mut board = Scoreboard::default();
        let base = u32::MAX - 50;
        let at = |offset: u32| base.wrapping_add(offset);
        assert!(board.add(at(100), at(110)) && board.add(at(40), at(50)) && board.add(at(60), at(70)));
        assert!(!board.add(at(40), at(50)) && !board.add(at(42), at(48)), "no news");
        assert!(board.add(at(50), at(60)));
        assert_eq!(board.ranges, [(at(40), at(70)), (at(100), at(110))]);
        assert!(board.add(at(65), at(120)));
        assert_eq!(board.ranges, [(at(40), at(120))]);
        assert_eq!((board.skip(at(39)), board.skip(at(40)), board.skip(at(119))), (at(39), at(120), at(120)));
        assert_eq!((board.next_from(at(0)), board.next_from(at(40))), (Some(at(40)), None));
        board.advance(at(60));
        assert_eq!(board.ranges, [(at(60), at(120))]);
        board.advance(at(120));
        assert!(board.is_empty());
    }

    #[test]
    fn holes_are_lost_when_enough_has_come_beyond() {
        let mut board = Scoreboard::default();
        assert!(board.add(1000, 2000) && board.add(3000, 4000));
        let holes: Vec<_> = board.holes(0, 1000).collect();
        assert_eq!(holes, [Hole { from: 0, to: 1000, lost: false }, Hole { from: 2000, to: 3000, lost: false }]);
        assert_eq!(board.pipe_bytes(0, 6000, 0, 1000), 1000 + 1000 + 2000);
        assert!(board.add(4000, 4500));
        let lost: Vec<_> = board.holes(0, 1000).map(|hole| hole.lost).collect();
        assert_eq!(lost, [true, false]);
        assert_eq!(board.pipe_bytes(0, 6000, 0, 1000), 1000 + 1500);
        assert_eq!(board.pipe_bytes(0, 6000, 500, 1000), 500 + 1000 + 1500);
        assert_eq!(board.pipe_bytes(0, 6000, 2500, 1000), 1000 + 1000 + 500 + 1500);
    }

    #[test]
    fn a_peer_cannot_make_it_grow() {
        let mut board = Scoreboard::default();
        for index in 0..100 {
            board.add(index * 10, index * 10 + 5);
        }
        assert_eq!(board.ranges.len(), RANGES_MAX);
    }
}
