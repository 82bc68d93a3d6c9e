//! A set of slot numbers: which slots are with the device.

use crate::SIZE_MAX;

const WORDS: usize = SIZE_MAX as usize / 64;

/// A bit for each slot.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Slots([u64; WORDS]);

impl Slots {
    /// Every slot.
    pub(crate) const fn full() -> Slots {
        Slots([u64::MAX; WORDS])
    }

    /// Adds `slot`; false when it was there, or is not below [`SIZE_MAX`].
    #[inline(always)]
    pub(crate) fn insert(&mut self, slot: u16) -> bool {
        let bit = 1 << (slot % 64);
        match self.0.get_mut(usize::from(slot / 64)) {
            Some(word) if *word & bit == 0 => {
                *word |= bit;
                true
            }
            _ => false,
        }
    }

    /// Removes `slot`; false when it was not there.
    #[inline(always)]
    pub(crate) fn remove(&mut self, slot: u32) -> bool {
        let bit = 1 << (slot % 64);
        match self.0.get_mut(slot as usize / 64) {
            Some(word) if *word & bit != 0 => {
                *word &= !bit;
                true
            }
            _ => false,
        }
    }

    /// The lowest slot below `size` that is not in the set.
    #[inline(always)]
    pub(crate) fn first_absent(&self, size: u16) -> Option<u16> {
        let (index, word) = self.0.iter().enumerate().find(|(_, word)| **word != u64::MAX)?;
        let slot = (index * 64) as u16 + word.trailing_ones() as u16;
        (slot < size).then_some(slot)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slot_is_in_the_set_once() {
        let mut slots = Slots::default();
        assert!(slots.insert(255) && !slots.insert(255) && !slots.insert(256));
        assert!(slots.remove(255) && !slots.remove(255));
        assert!(!slots.remove(u32::MAX));
    }

    #[test]
    fn the_first_absent_slot_skips_those_present() {
        let mut slots = Slots::default();
        for slot in 0..100 {
            assert_eq!(slots.first_absent(100), Some(slot));
            assert!(slots.insert(slot));
        }
        assert_eq!(slots.first_absent(100), None);
        assert!(slots.remove(70));
        assert_eq!(slots.first_absent(100), Some(70));
    }
}
