//! Who passes what to whom when all cores do something together: a binomial tree.
//!
//! Counted from the root, core `n` is the child of `n` without its lowest bit. So a core has at most as many children as the
//! number of cores has bits, the way to the root is as short, and a core and all below it are neighbours: the children in
//! ascending order follow each other without a gap.

/// A binomial tree over some cores.
#[derive(Clone, Copy, Debug)]
pub struct Tree {
    /// A bit for each core.
    members: u64,
    count: usize,
    /// The root's place among the members.
    root: usize,
}

impl Tree {
    /// The tree over those whose bit is set in `members`, from `root`, which is one of them.
    #[must_use]
    pub fn new(members: u64, root: usize) -> Tree {
        Tree { members, count: members.count_ones() as usize, root: place(members, root) }
    }

    /// The one to which `core` passes what it has from those below; the root has none.
    #[must_use]
    pub fn parent(&self, core: usize) -> Option<usize> {
        let number = self.number(core);
        (number > 0).then(|| self.core(number & (number - 1)))
    }

    /// Those that pass to `core` what they have; from the root on around the members, the one with the fewest below it first.
    #[must_use]
    pub fn children(self, core: usize) -> impl DoubleEndedIterator<Item = usize> {
        let number = self.number(core);
        let rest = self.count - number; // at least 1
        let below_end = if number == 0 { rest } else { rest.min(1 << number.trailing_zeros()) };
        (0..usize::BITS - (below_end - 1).leading_zeros()).map(move |bit| self.core(number + (1 << bit)))
    }

    /// Counted from the root.
    fn number(&self, core: usize) -> usize {
        let place = place(self.members, core);
        if place >= self.root { place - self.root } else { place + self.count - self.root }
    }

    fn core(&self, number: usize) -> usize {
        let place = number + self.root;
        nth(self.members, if place >= self.count { place - self.count } else { place })
    }
}

/// How many members come before `core`.
fn place(members: u64, core: usize) -> usize {
    if is_gapless(members) { core } else { (members & ((1 << core) - 1)).count_ones() as usize }
}

/// The member before which there are `place` others.
fn nth(mut members: u64, place: usize) -> usize {
    if is_gapless(members) {
        return place;
    }
    for _ in 0..place {
        members &= members - 1;
    }
    members.trailing_zeros() as usize
}

/// As on a machine all of whose cores have come.
fn is_gapless(members: u64) -> bool {
    members & members.wrapping_add(1) == 0
}

#[cfg(test)]
mod tests {
    use super::Tree;

    /// Machines of every size, some with cores missing.
    fn worlds() -> impl Iterator<Item = u64> {
        let gapless = (1..=64).map(|count| u64::MAX >> (64 - count));
        gapless.chain([0b101, 0b1011, 0x8000_0000_0000_0001, 0x5555_5555_5555_5555, u64::MAX - 0b110])
    }

    fn cores(members: u64) -> Vec<usize> {
        (0..64).filter(|core| members >> core & 1 == 1).collect()
    }

    /// Runs `check` for each tree, with its members in order from its root on.
    fn every_tree(check: impl Fn(Tree, &[usize])) {
        for members in worlds() {
            let mut cores = cores(members);
            for _ in 0..cores.len() {
                check(Tree::new(members, cores[0]), &cores);
                cores.rotate_left(1);
            }
        }
    }

    #[test]
    fn parents_and_children_agree() {
        every_tree(|tree, cores| {
            let mut found = 1;
            for &core in cores {
                for child in tree.children(core) {
                    assert_eq!(tree.parent(child), Some(core), "{tree:?}");
                    found += 1;
                }
            }
            assert_eq!(tree.parent(cores[0]), None);
            assert_eq!(found, cores.len(), "every core but the root is somebody's child: {tree:?}");
        });
    }

    #[test]
    fn the_root_is_near() {
        every_tree(|tree, cores| {
            let longest = cores.len().next_power_of_two().trailing_zeros();
            for &core in cores {
                let mut steps = 0;
                let mut here = core;
                while let Some(parent) = tree.parent(here) {
                    (here, steps) = (parent, steps + 1);
                }
                assert!(here == cores[0] && steps <= longest, "{steps} steps from {core}: {tree:?}");
                assert!(tree.children(core).count() <= longest as usize);
            }
        });
    }

    #[test]
    fn what_is_passed_up_is_in_order() {
        fn collect(tree: Tree, core: usize) -> Vec<usize> {
            let below = tree.children(core).flat_map(|child| collect(tree, child));
            core::iter::once(core).chain(below).collect()
        }
        every_tree(|tree, cores| assert_eq!(collect(tree, cores[0]), cores, "{tree:?}"));
    }
}
