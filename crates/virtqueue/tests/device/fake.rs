//! A device that works in the same memory as the driver, and can be told to lie.

use toro_virtqueue::{Buffers, Direction, Layout, Options, Queue, RingMemory};

/// The memory of one ring.
pub(crate) struct Memory(Vec<u8>);

impl Memory {
    fn load<const N: usize>(&self, offset: usize) -> [u8; N] {
        assert_eq!(offset % N, 0, "access of {N} bytes at {offset}");
        self.0[offset..offset + N].try_into().unwrap()
    }

    fn store<const N: usize>(&mut self, offset: usize, bytes: [u8; N]) {
        assert_eq!(offset % N, 0, "access of {N} bytes at {offset}");
        self.0[offset..offset + N].copy_from_slice(&bytes);
    }

    pub(crate) fn load_u64(&self, offset: usize) -> u64 {
        u64::from_le_bytes(self.load(offset))
    }
}

impl RingMemory for Memory {
    fn load_u16(&self, offset: usize) -> u16 {
        u16::from_le_bytes(self.load(offset))
    }
    fn load_u32_pair(&self, offset: usize) -> (u32, u32) {
        (u32::from_le_bytes(self.load(offset)), u32::from_le_bytes(self.load(offset + 4)))
    }
    fn store_u16(&mut self, offset: usize, value: u16) {
        self.store(offset, value.to_le_bytes());
    }
    fn store_u32(&mut self, offset: usize, value: u32) {
        self.store(offset, value.to_le_bytes());
    }
    fn store_u64(&mut self, offset: usize, value: u64) {
        self.store(offset, value.to_le_bytes());
    }
}

/// Buffers whose device address is their slot number times 0x1_0000.
pub(crate) struct Slabs(Vec<Vec<u8>>);

impl Slabs {
    pub(crate) fn new(slots: u16, bytes: usize) -> Slabs {
        Slabs(vec![vec![0; bytes]; slots.into()])
    }
}

impl Buffers for Slabs {
    fn bytes_per_slot(&self) -> usize {
        self.0[0].len()
    }
    fn device_address(&self, slot: u16) -> u64 {
        u64::from(slot) << 16
    }
    fn bytes(&mut self, slot: u16) -> &mut [u8] {
        &mut self.0[usize::from(slot)]
    }
}

/// A queue of `size` slots over fresh memory.
pub(crate) fn queue(size: u16, direction: Direction, event_index: bool, buffers: &Slabs) -> Queue<Memory> {
    let layout = Layout::new(size).unwrap();
    Queue::new(Memory(vec![0; layout.bytes()]), layout, Options { direction, event_index }, buffers)
}

/// One buffer as the device finds it in the ring.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Offered {
    pub(crate) slot: u16,
    pub(crate) address: u64,
    pub(crate) bytes: u32,
    pub(crate) writable: bool,
}

/// The device's side of one queue, after the specification.
#[derive(Default)]
pub(crate) struct Device {
    taken: u16,
    used: u16,
    signalled: u16,
}

impl Device {
    /// The next buffer the driver has published.
    pub(crate) fn take(&mut self, queue: &mut Queue<Memory>) -> Option<Offered> {
        let layout = queue.layout();
        let memory = queue.memory_mut();
        if memory.load_u16(layout.avail() + 2) == self.taken {
            return None;
        }
        let slot = memory.load_u16(layout.avail() + 4 + 2 * usize::from(self.taken % layout.size()));
        self.taken = self.taken.wrapping_add(1);
        let descriptor = 16 * usize::from(slot);
        let flags = memory.load_u16(descriptor + 12);
        assert_eq!(flags & !3, 0, "no indirect descriptors");
        Some(Offered {
            slot,
            address: memory.load_u64(descriptor),
            bytes: memory.load_u32_pair(descriptor + 8).0,
            writable: flags & 2 != 0,
        })
    }

    /// The buffer behind `slot` in its chain.
    pub(crate) fn next(&mut self, queue: &mut Queue<Memory>, slot: u16) -> Option<Offered> {
        let memory = queue.memory_mut();
        let descriptor = 16 * usize::from(slot);
        if memory.load_u16(descriptor + 12) & 1 == 0 {
            return None;
        }
        let slot = memory.load_u16(descriptor + 14);
        let descriptor = 16 * usize::from(slot);
        Some(Offered {
            slot,
            address: memory.load_u64(descriptor),
            bytes: memory.load_u32_pair(descriptor + 8).0,
            writable: memory.load_u16(descriptor + 12) & 2 != 0,
        })
    }

    /// Gives a buffer back. `slot` and `bytes` are written as they are, true or not.
    pub(crate) fn complete(&mut self, queue: &mut Queue<Memory>, slot: u32, bytes: u32) {
        let layout = queue.layout();
        let entry = layout.used() + 4 + 8 * usize::from(self.used % layout.size());
        queue.memory_mut().store_u32(entry, slot);
        queue.memory_mut().store_u32(entry + 4, bytes);
        self.used = self.used.wrapping_add(1);
        queue.memory_mut().store_u16(layout.used() + 2, self.used);
    }

    /// Claims `count` more completions than there are.
    pub(crate) fn jump(&mut self, queue: &mut Queue<Memory>, count: u16) {
        let offset = queue.layout().used() + 2;
        self.used = self.used.wrapping_add(count);
        queue.memory_mut().store_u16(offset, self.used);
    }

    /// Asks to be notified of the next published buffer (`EVENT_IDX`).
    pub(crate) fn want_notification(&mut self, queue: &mut Queue<Memory>) {
        let layout = queue.layout();
        let taken = self.taken;
        queue.memory_mut().store_u16(layout.used() + 4 + 8 * usize::from(layout.size()), taken);
    }

    /// Whether the driver asked for an interrupt for what was completed since the last call (`EVENT_IDX`).
    pub(crate) fn interrupts(&mut self, queue: &mut Queue<Memory>) -> bool {
        let layout = queue.layout();
        let event = queue.memory_mut().load_u16(layout.avail() + 4 + 2 * usize::from(layout.size()));
        let old = std::mem::replace(&mut self.signalled, self.used);
        self.used.wrapping_sub(event).wrapping_sub(1) < self.used.wrapping_sub(old)
    }
}
