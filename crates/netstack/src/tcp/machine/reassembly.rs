//! What has come beyond a gap: a few ranges of the stream, counted from the first byte that is missing.

/// Ranges kept; data that would make one more is dropped, and comes again.
const RANGES_MAX: usize = 4;

/// Ranges in order, never touching each other nor the beginning.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Reassembly {
    ranges: [(u32, u32); RANGES_MAX],
    count: usize,
    /// A byte of the range that grew last.
    newest: u32,
}

impl Reassembly {
    pub(super) fn is_empty(&self) -> bool {
        self.count == 0
    }

    pub(super) fn ranges(&self) -> &[(u32, u32)] {
        &self.ranges[..self.count]
    }

    /// The range that grew last.
    pub(super) fn newest(&self) -> Option<(u32, u32)> {
        self.ranges().iter().copied().find(|&(from, to)| (from..to).contains(&self.newest))
    }

    /// Notes that `start..end` is there. `false`: it would be one range too many.
    pub(super) fn add(&mut self, mut start: u32, mut end: u32) -> bool {
        let mut merged = [(0, 0); RANGES_MAX + 1];
        let mut count = 0;
        let mut placed = false;
        for &(from, to) in self.ranges() {
            if to < start {
                merged[count] = (from, to);
                count += 1;
            } else if from > end {
                if !placed {
                    merged[count] = (start, end);
                    count += 1;
                    placed = true;
                }
                merged[count] = (from, to);
                count += 1;
            } else {
                start = start.min(from);
                end = end.max(to);
            }
        }
        if !placed {
            merged[count] = (start, end);
            count += 1;
        }
        if count > RANGES_MAX {
            return false;
        }
        self.ranges.copy_from_slice(&merged[..RANGES_MAX]);
        self.count = count;
        self.newest = start;
        true
    }

    /// The stream has grown by `bytes`: moves everything, and returns how many more bytes follow without a gap.
    pub(super) fn advance(&mut self, bytes: u32) -> u32 {
        let mut more = 0;
        let mut kept = Reassembly::default();
        for &(from, to) in self.ranges() {
            if from <= bytes + more {
                more = more.max(to.saturating_sub(bytes));
            } else {
                kept.ranges[kept.count] = (from, to);
                kept.count += 1;
            }
        }
        for range in &mut kept.ranges[..kept.count] {
            *range = (range.0 - bytes - more, range.1 - bytes - more);
        }
        kept.newest = self.newest.wrapping_sub(bytes + more);
        *self = kept;
        more
    }
}

#[cfg(test)]
mod tests {
    use super::Reassembly;

    #[test]
    fn ranges_grow_together_and_join_the_stream() {
        let mut gaps = Reassembly::default();
        assert!(gaps.add(10, 20) && gaps.add(30, 40) && gaps.add(15, 25));
        assert_eq!(gaps.ranges(), [(10, 25), (30, 40)]);
        assert!(gaps.add(25, 30));
        assert_eq!(gaps.ranges(), [(10, 40)]);
        assert_eq!(gaps.advance(5), 0);
        assert_eq!(gaps.ranges(), [(5, 35)]);
        assert_eq!(gaps.advance(7), 28);
        assert!(gaps.is_empty());
    }

    #[test]
    fn the_newest_range_is_known() {
        let mut gaps = Reassembly::default();
        assert_eq!(gaps.newest(), None);
        assert!(gaps.add(30, 40) && gaps.add(50, 60) && gaps.add(10, 20));
        assert_eq!(gaps.newest(), Some((10, 20)));
        assert!(gaps.add(40, 45));
        assert_eq!(gaps.newest(), Some((30, 45)));
        assert_eq!(gaps.advance(10), 10);
        assert_eq!(gaps.newest(), Some((10, 25)));
        assert_eq!(gaps.advance(10), 15);
        assert_eq!((gaps.newest(), gaps.ranges()), (None, [(5, 15)].as_slice()));
    }

    #[test]
    fn one_range_too_many_is_refused() {
        let mut gaps = Reassembly::default();
        for at in [10, 20, 30, 40] {
            assert!(gaps.add(at, at + 5));
        }
        assert!(!gaps.add(50, 55));
        assert!(gaps.add(44, 46));
        assert_eq!(gaps.advance(100), 0);
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
