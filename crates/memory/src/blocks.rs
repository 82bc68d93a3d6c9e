//! Free RAM in runs of 2 MiB blocks: what no allocator has touched yet, or what came back whole.
//!
//! Handing out a block is where its cost begins (mapping, frame metadata), so boot does not depend on
//! how much RAM there is. Runs are first fit by address and merge when they come back.

/// Runs of free blocks that can be told apart.
const RUNS_MAX: usize = 128;

#[derive(Clone, Copy)]
struct Run {
    first: u32,
    count: u32,
}

/// The free runs, by address.
pub struct Blocks {
    runs: [Run; RUNS_MAX],
    count: usize,
}

/// The list of runs is full: the caller keeps the block.
#[derive(Debug, PartialEq, Eq)]
pub struct Full;

impl Blocks {
    /// No free block.
    pub const fn new() -> Self {
        Self { runs: [Run { first: 0, count: 0 }; RUNS_MAX], count: 0 }
    }

    /// Takes `count` neighbouring blocks; the number of the first.
    pub fn take(&mut self, count: u32) -> Option<u32> {
        let index = self.runs[..self.count].iter().position(|run| run.count >= count)?;
        let run = &mut self.runs[index];
        let first = run.first;
        run.first += count;
        run.count -= count;
        if run.count == 0 {
            self.runs.copy_within(index + 1..self.count, index);
            self.count -= 1;
        }
        Some(first)
    }

    /// Gives blocks `first..first + count` to the free runs.
    ///
    /// # Errors
    /// [`Full`] when they touch no run and there is no room for another.
    pub fn give(&mut self, first: u32, count: u32) -> Result<(), Full> {
        let at = self.runs[..self.count].partition_point(|run| run.first < first);
        let joins_before = at > 0 && self.runs[at - 1].first + self.runs[at - 1].count == first;
        let joins_after = at < self.count && first + count == self.runs[at].first;
        match (joins_before, joins_after) {
            (true, true) => {
                self.runs[at - 1].count += count + self.runs[at].count;
                self.runs.copy_within(at + 1..self.count, at);
                self.count -= 1;
            }
            (true, false) => self.runs[at - 1].count += count,
            (false, true) => self.runs[at] = Run { first, count: count + self.runs[at].count },
            (false, false) => {
                if self.count == RUNS_MAX {
                    return Err(Full);
                }
                self.runs.copy_within(at..self.count, at + 1);
                self.runs[at] = Run { first, count };
                self.count += 1;
            }
        }
        Ok(())
    }

    /// Free blocks in all.
    pub fn free_blocks(&self) -> u32 {
        self.runs[..self.count].iter().map(|run| run.count).sum()
    }
}

impl Default for Blocks {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_that_come_back_merge_with_their_neighbours() {
        let mut blocks = Blocks::new();
        blocks.give(10, 8).unwrap();
        assert_eq!((blocks.take(2), blocks.take(3), blocks.take(1)), (Some(10), Some(12), Some(15)));
        blocks.give(10, 2).unwrap();
        blocks.give(15, 1).unwrap();
        assert_eq!(blocks.take(4), None);
        blocks.give(12, 3).unwrap();
        assert_eq!(blocks.free_blocks(), 8);
        assert_eq!(blocks.take(8), Some(10));
        assert_eq!(blocks.take(1), None);
    }

    #[test]
    fn a_full_list_says_so_and_loses_nothing() {
        let mut blocks = Blocks::new();
        for run in 0..RUNS_MAX as u32 {
            blocks.give(run * 2, 1).unwrap();
        }
        assert_eq!(blocks.give(1000, 1), Err(Full));
        blocks.give(1, 1).unwrap();
        assert_eq!(blocks.free_blocks(), RUNS_MAX as u32 + 1);
    }
}
