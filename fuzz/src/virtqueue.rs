//! A queue against a device that writes whatever it likes into the ring, at any time.

use crate::Input;
use toro_virtqueue::{Broken, Buffers, Direction, Layout, Options, Queue, RingMemory};

const BUFFER_BYTES: u32 = 64;

/// The memory of a ring.
pub(crate) struct Memory(pub(crate) Vec<u8>);

impl Memory {
    /// What the device writes: any byte at any place.
    pub(crate) fn scribble(&mut self, input: &mut Input<'_>) {
        let (at, value) = (usize::from(input.u16()) % self.0.len(), input.byte());
        self.0[at] = value;
    }
}

impl RingMemory for Memory {
    fn load_u16(&self, offset: usize) -> u16 {
        u16::from_le_bytes([self.0[offset], self.0[offset + 1]])
    }
    fn load_u32_pair(&self, offset: usize) -> (u32, u32) {
        let word = |at| u32::from_le_bytes([self.0[at], self.0[at + 1], self.0[at + 2], self.0[at + 3]]);
        (word(offset), word(offset + 4))
    }
    fn store_u16(&mut self, offset: usize, value: u16) {
        self.0[offset..offset + 2].copy_from_slice(&value.to_le_bytes());
    }
    fn store_u32(&mut self, offset: usize, value: u32) {
        self.0[offset..offset + 4].copy_from_slice(&value.to_le_bytes());
    }
    fn store_u64(&mut self, offset: usize, value: u64) {
        self.0[offset..offset + 8].copy_from_slice(&value.to_le_bytes());
    }
}

struct NoBuffers;

impl Buffers for NoBuffers {
    fn bytes_per_slot(&self) -> usize {
        BUFFER_BYTES as usize
    }
    fn device_address(&self, slot: u16) -> u64 {
        u64::from(slot) << 12
    }
    fn bytes(&mut self, _: u16) -> &mut [u8] {
        &mut []
    }
}

/// A completion written properly, true or not.
pub(crate) fn complete(queue: &mut Queue<Memory>, used: &mut u16, slot: u32, bytes: u32) {
    let layout = queue.layout();
    let entry = layout.used() + 4 + 8 * usize::from(*used % layout.size());
    queue.memory_mut().store_u32(entry, slot);
    queue.memory_mut().store_u32(entry + 4, bytes);
    *used = used.wrapping_add(1);
    queue.memory_mut().store_u16(layout.used() + 2, *used);
}

pub(crate) fn run(data: &[u8]) {
    let mut input = Input::new(data);
    let head = input.byte();
    let layout = Layout::new(1 << (head % 9)).expect("a power of two up to 256");
    let options = Options { direction: Direction::FromDevice, event_index: head & 128 != 0 };
    let mut queue = Queue::new(Memory(vec![0; layout.bytes()]), layout, options, &NoBuffers);
    let mut with_device = vec![false; layout.size().into()];
    let mut used = 0;
    let mut broken: Option<Broken> = None;
    while !input.is_empty() {
        match input.byte() % 8 {
            0 => {
                if let Some(slot) = queue.free_slot() {
                    assert!(!with_device[usize::from(slot)], "slot {slot} is free and with the device");
                    queue.post(slot);
                    with_device[usize::from(slot)] = true;
                } else {
                    assert!(queue.broken().is_some() || with_device.iter().all(|with| *with));
                }
            }
            1 => {
                let _ = queue.publish();
            }
            2 => match queue.pop() {
                Ok(Some(popped)) => {
                    assert_eq!(broken, None, "a broken queue gave slot {}", popped.slot);
                    assert!(std::mem::take(&mut with_device[usize::from(popped.slot)]), "slot {} twice", popped.slot);
                    assert!(popped.bytes <= BUFFER_BYTES);
                }
                Ok(None) => assert_eq!(broken, None),
                Err(why) => assert_eq!(*broken.get_or_insert(why), why),
            },
            3 => {
                let _ = queue.enable_interrupts();
            }
            4 => queue.disable_interrupts(),
            5 => queue.memory_mut().scribble(&mut input),
            6 => {
                let (slot, bytes) = (input.u32(), input.u32());
                complete(&mut queue, &mut used, slot, bytes);
            }
            _ => {
                let (slot, bytes) = (input.byte(), input.byte());
                complete(&mut queue, &mut used, slot.into(), bytes.into());
            }
        }
        let counted = with_device.iter().filter(|with| **with).count();
        // After the lie that broke it, a queue may have lost count.
        assert!(queue.broken().is_some() || usize::from(queue.in_flight()) == counted);
    }
}
