//! What has come beyond a gap: ranges of the stream, counted from the first byte that is missing. Without memory, as long as
//! nothing is.

use alloc::vec::Vec;

/// Ranges kept; data that would make one more is dropped, and comes again. As many as are lost of a wide window on a bad way.
const RANGES_MAX: usize = 64;

/// Ranges in order, never touching each other nor the beginning.
#[derive(Debug, Default)]
pub(super) struct Reassembly {
    ranges: Vec<Range>,
}

/// What is there from one byte to another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Range {
    from: u32,
    to: u32,
    /// The peer was told of all of it.
    is_told: bool,
}

impl Reassembly {
    pub(super) fn is_empty(&self) -> bool {
        self.ranges.is_empty()
    }

    /// Notes that `from..to` is there. `false`: it would be one range too many.
    pub(super) fn add(&mut self, from: u32, to: u32) -> bool {
        // All that it touches become one with it.
        let first = self.ranges.partition_point(|range| range.to < from);
        let behind = first + self.ranges[first..].partition_point(|range| range.from <= to);
        let is_new = first == behind;
        if is_new && (self.ranges.len() == RANGES_MAX || self.ranges.try_reserve(1).is_err()) {
            return false;
        }
        let touched = &self.ranges[first..behind];
        let from = touched.first().map_or(from, |range| range.from.min(from));
        let to = touched.last().map_or(to, |range| range.to.max(to));
        self.ranges.splice(first..behind, [Range { from, to, is_told: false }]);
        true
    }

    /// Names some ranges to the peer: those that it has not been told of, the lowest first, as if each had come alone; then
    /// others again, the highest first, since these were told least often. How many there were.
    pub(super) fn tell(&mut self, most: usize, mut say: impl FnMut(u32, u32)) -> usize {
        let count = most.min(self.ranges.len());
        let news = self.ranges.iter().filter(|range| !range.is_told).count().min(count);
        let untold = self.ranges.iter().filter(|range| !range.is_told).take(news);
        let again = self.ranges.iter().rev().filter(|range| range.is_told).take(count - news);
        untold.chain(again).for_each(|range| say(range.from, range.to));
        self.ranges.iter_mut().filter(|range| !range.is_told).take(news).for_each(|range| range.is_told = true);
        count
    }

    /// Whether there is something that the peer has not been told of.
    pub(super) fn has_news(&self) -> bool {
        self.ranges.iter().any(|range| !range.is_told)
    }

    /// The stream has grown by `bytes`: moves everything, and returns how many more bytes follow without a gap.
    pub(super) fn advance(&mut self, bytes: u32) -> u32 {
        let joined = self.ranges.partition_point(|range| range.from <= bytes);
        // They do not touch each other, so the last of them reaches furthest.
        let more = self.ranges[..joined].last().map_or(0, |range| range.to.saturating_sub(bytes));
        if joined == self.ranges.len() {
            self.ranges = Vec::new();
        } else {
            self.ranges.drain(..joined);
        }
        for range in &mut self.ranges {
            range.from -= bytes + more;
            range.to -= bytes + more;
        }
        more
    }
}

#[cfg(test)]
mod tests {
    use super::{RANGES_MAX, Reassembly};

    /// All ranges, in order.
    fn all(gaps: &Reassembly) -> Vec<(u32, u32)> {
        gaps.ranges.iter().map(|range| (range.from, range.to)).collect()
    }

    /// What the next acknowledgement names.
    fn told(gaps: &mut Reassembly) -> Vec<(u32, u32)> {
        let mut told = Vec::new();
        assert_eq!(gaps.tell(3, |from, to| told.push((from, to))), told.len());
        told
    }

    #[test]
    fn ranges_grow_together_and_join_the_stream() {
        let mut gaps = Reassembly::default();
        assert!(gaps.add(10, 20) && gaps.add(30, 40) && gaps.add(15, 25));
        assert_eq!(all(&gaps), [(10, 25), (30, 40)]);
        assert!(gaps.add(25, 30));
        assert_eq!(all(&gaps), [(10, 40)]);
        assert_eq!(gaps.advance(5), 0);
        assert_eq!(all(&gaps), [(5, 35)]);
        assert_eq!(gaps.advance(7), 28);
        assert!(gaps.is_empty());
    }

    #[test]
    fn news_is_told_before_what_was_told() {
        let mut gaps = Reassembly::default();
        assert_eq!((told(&mut gaps), gaps.has_news()), (vec![], false));
        assert!(gaps.add(30, 40) && gaps.has_news());
        assert_eq!((told(&mut gaps), gaps.has_news()), (vec![(30, 40)], false));
        assert!(gaps.add(50, 60) && gaps.add(10, 20));
        assert_eq!(told(&mut gaps), [(10, 20), (50, 60), (30, 40)]);
        assert!(gaps.add(40, 45) && gaps.add(70, 80));
        assert_eq!((told(&mut gaps), gaps.has_news()), (vec![(30, 45), (70, 80), (50, 60)], false));
        assert_eq!(gaps.advance(10), 10);
        assert_eq!(told(&mut gaps), [(50, 60), (30, 40), (10, 25)]);
    }

    #[test]
    fn what_came_together_is_told_by_several_acknowledgements() {
        let mut gaps = Reassembly::default();
        for at in 1..=7 {
            assert!(gaps.add(10 * at, 10 * at + 5));
        }
        assert_eq!((told(&mut gaps), gaps.has_news()), (vec![(10, 15), (20, 25), (30, 35)], true));
        assert_eq!((told(&mut gaps), gaps.has_news()), (vec![(40, 45), (50, 55), (60, 65)], true));
        assert_eq!((told(&mut gaps), gaps.has_news()), (vec![(70, 75), (60, 65), (50, 55)], false));
    }

    #[test]
    fn one_range_too_many_is_refused() {
        let mut gaps = Reassembly::default();
        let count = RANGES_MAX as u32;
        for at in 1..=count {
            assert!(gaps.add(10 * at, 10 * at + 5));
        }
        assert!(!gaps.add(10 * count + 10, 10 * count + 15));
        assert!(gaps.add(10 * count + 4, 10 * count + 6));
        assert_eq!(gaps.advance(10 * count + 60), 0);
        assert!(gaps.is_empty());
    }

    #[test]
    fn any_order_of_pieces_gives_the_whole() {
        let mut seed = 1u32;
        for _ in 0..2000 {
            let mut gaps = Reassembly::default();
            let mut have = [false; 64];
            let mut expected = 0;
            for _ in 0..40 {
                seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                let (start, len) = ((seed >> 8) % 60, 1 + (seed >> 20) % 4);
                let (start, end) = (start.max(expected), (start + len).max(expected));
                if start == end {
                    continue;
                }
                if start == expected {
                    have[start as usize..end as usize].fill(true);
                    expected = end + gaps.advance(end - start);
                } else if gaps.add(start - expected, end - expected) {
                    have[start as usize..end as usize].fill(true);
                }
            }
            let reached = have.iter().position(|there| !there).unwrap_or(64) as u32;
            assert_eq!(expected, reached);
        }
    }
}
