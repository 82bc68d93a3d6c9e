//! Where the three parts of a split ring lie in its memory.

/// The most slots a queue can have; a device that offers more is given this many.
pub const SIZE_MAX: u16 = 256;

/// Flag of a descriptor: another one of the same chain follows.
pub(crate) const DESCRIPTOR_NEXT: u16 = 1;
/// Flag of a descriptor: the device writes into this buffer.
pub(crate) const DESCRIPTOR_WRITE: u16 = 2;
/// Flag of the avail ring, without `EVENT_IDX`: the device need not interrupt.
pub(crate) const AVAIL_NO_INTERRUPT: u16 = 1;
/// Flag of the used ring, without `EVENT_IDX`: the driver need not notify.
pub(crate) const USED_NO_NOTIFY: u16 = 1;

/// Byte offsets of a split ring of `size` slots: descriptor table, avail ring, used ring.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Layout {
    size: u16,
}

impl Layout {
    /// The layout for `size` slots: a power of two, at most [`SIZE_MAX`].
    pub const fn new(size: u16) -> Option<Layout> {
        if size.is_power_of_two() && size <= SIZE_MAX { Some(Layout { size }) } else { None }
    }

    /// The largest layout that fits both what the device offers and what the driver wants.
    ///
    /// `None` when the device offers no slot at all, which is how it says that the queue does not exist.
    pub const fn fitting(offered: u32, wanted: u16) -> Option<Layout> {
        let offered = if offered > SIZE_MAX as u32 { SIZE_MAX } else { offered as u16 };
        let size = if offered < wanted { offered } else { wanted };
        if size == 0 { None } else { Layout::new(1 << size.ilog2()) }
    }

    /// How many slots the ring has.
    pub const fn size(self) -> u16 {
        self.size
    }

    /// Bytes of the whole ring. The memory must begin on a 16-byte boundary.
    pub const fn bytes(self) -> usize {
        self.used() + 6 + 8 * self.size as usize
    }

    /// Offset of the descriptor table (what the transport calls the descriptor area).
    pub const fn descriptors(self) -> usize {
        0
    }

    /// Offset of the avail ring (the driver area).
    pub const fn avail(self) -> usize {
        16 * self.size as usize
    }

    /// Offset of the used ring (the device area).
    pub const fn used(self) -> usize {
        (self.avail() + 6 + 2 * self.size as usize).next_multiple_of(4)
    }

    pub(crate) const fn descriptor(self, slot: u16) -> usize {
        16 * slot as usize
    }

    /// All other offsets, computed once.
    pub(crate) const fn offsets(self) -> Offsets {
        let (avail, used, size) = (self.avail(), self.used(), self.size as usize);
        Offsets {
            avail_flags: avail,
            avail_index: avail + 2,
            avail_entries: avail + 4,
            used_event: avail + 4 + 2 * size,
            used_flags: used,
            used_index: used + 2,
            used_entries: used + 4,
            avail_event: used + 4 + 8 * size,
            mask: self.size - 1,
        }
    }
}

/// Offsets of what is touched on the data path.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Offsets {
    pub(crate) avail_flags: usize,
    pub(crate) avail_index: usize,
    avail_entries: usize,
    /// Where the driver says after which completion it wants an interrupt (`EVENT_IDX`).
    pub(crate) used_event: usize,
    pub(crate) used_flags: usize,
    pub(crate) used_index: usize,
    used_entries: usize,
    /// Where the device says after which posted slot it wants a notification (`EVENT_IDX`).
    pub(crate) avail_event: usize,
    mask: u16,
}

impl Offsets {
    #[inline(always)]
    pub(crate) const fn avail_entry(&self, index: u16) -> usize {
        self.avail_entries + 2 * (index & self.mask) as usize
    }

    #[inline(always)]
    pub(crate) const fn used_entry(&self, index: u16) -> usize {
        self.used_entries + 8 * (index & self.mask) as usize
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use virtio_spec::virtq;

    #[test]
    fn offsets_are_those_of_the_specification() {
        for size in [2, 64, 256] {
            let layout = Layout::new(size).unwrap();
            let count = size as usize;
            let offsets = layout.offsets();
            assert_eq!(layout.avail(), count * size_of::<virtq::Desc>());
            assert_eq!(offsets.avail_entry(0) - layout.avail(), size_of::<[u16; 2]>());
            assert_eq!(offsets.used_entry(1) - offsets.used_entry(0), size_of::<virtq::UsedElem>());
            assert_eq!(offsets.used_event, offsets.avail_entry(size - 1) + 2);
            assert_eq!(offsets.avail_event, offsets.used_entry(size - 1) + 8);
            assert_eq!(layout.bytes(), offsets.avail_event + 2);
            assert_eq!(layout.used() % 4, 0);
        }
        assert_eq!(DESCRIPTOR_NEXT, virtq::DescF::NEXT.bits().to_ne());
        assert_eq!(DESCRIPTOR_WRITE, virtq::DescF::WRITE.bits().to_ne());
        assert_eq!(AVAIL_NO_INTERRUPT, virtq::AvailF::NO_INTERRUPT.bits().to_ne());
        assert_eq!(USED_NO_NOTIFY, virtq::UsedF::NO_NOTIFY.bits().to_ne());
    }

    #[test]
    fn sizes_are_powers_of_two_within_what_both_sides_want() {
        assert_eq!(Layout::new(0), None);
        assert_eq!(Layout::new(3), None);
        assert_eq!(Layout::new(512), None);
        assert_eq!(Layout::fitting(0, 64), None);
        assert_eq!(Layout::fitting(1024, 256).unwrap().size(), 256);
        assert_eq!(Layout::fitting(0x1_0000, 64).unwrap().size(), 64);
        assert_eq!(Layout::fitting(100, 128).unwrap().size(), 64);
    }
}
