//! Driver and device on two threads: both sleep whenever they may, and no wake-up is lost.

use crate::fake::Slabs;
use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering::Relaxed, Ordering::SeqCst, fence};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;
use toro_virtqueue::{Direction, Interrupts, Layout, Notify, Options, Queue, RingMemory};

const ROUNDS: u32 = 200_000;
const SLOTS: u16 = 8;
/// A wake-up that takes longer was lost.
const LIMIT: Duration = Duration::from_secs(60);

/// The ring by 16-bit words; every field has one writer, so wider accesses may be several words.
#[derive(Clone)]
struct Memory(Arc<[AtomicU16]>);

impl Memory {
    fn new(layout: Layout) -> Memory {
        Memory((0..layout.bytes().div_ceil(2)).map(|_| AtomicU16::new(0)).collect())
    }
}

impl RingMemory for Memory {
    fn load_u16(&self, offset: usize) -> u16 {
        self.0[offset / 2].load(Relaxed)
    }
    fn load_u32_pair(&self, offset: usize) -> (u32, u32) {
        let word = |at| u32::from(self.load_u16(at)) | u32::from(self.load_u16(at + 2)) << 16;
        (word(offset), word(offset + 4))
    }
    fn store_u16(&mut self, offset: usize, value: u16) {
        self.0[offset / 2].store(value, Relaxed);
    }
    fn store_u32(&mut self, offset: usize, value: u32) {
        self.store_u16(offset, value as u16);
        self.store_u16(offset + 2, (value >> 16) as u16);
    }
    fn store_u64(&mut self, offset: usize, value: u64) {
        self.store_u32(offset, value as u32);
        self.store_u32(offset + 4, (value >> 32) as u32);
    }
}

/// The device by the letter of the specification: fills each buffer with its number in the sequence.
fn device(mut memory: Memory, layout: Layout, kicks: &Receiver<()>, interrupt: &Sender<()>) {
    let (avail, used, size) = (layout.avail(), layout.used(), usize::from(layout.size()));
    let (used_event, avail_event) = (avail + 4 + 2 * size, used + 4 + 8 * size);
    let (mut taken, mut signalled) = (0_u16, 0_u16);
    let mut done = 0;
    while done < ROUNDS {
        while memory.load_u16(avail + 2) == taken {
            memory.store_u16(avail_event, taken);
            fence(SeqCst);
            if memory.load_u16(avail + 2) == taken {
                kicks.recv_timeout(LIMIT).expect("a kick");
            }
        }
        fence(SeqCst);
        let slot = memory.load_u16(avail + 4 + 2 * (usize::from(taken) % size));
        let entry = used + 4 + 8 * (usize::from(taken) % size);
        memory.store_u32(entry, slot.into());
        memory.store_u32(entry + 4, done % 64);
        taken = taken.wrapping_add(1);
        fence(SeqCst);
        memory.store_u16(used + 2, taken);
        fence(SeqCst);
        let event = memory.load_u16(used_event);
        if taken.wrapping_sub(event).wrapping_sub(1) < taken.wrapping_sub(signalled) && interrupt.send(()).is_err() {
            return; // the driver has all it wanted
        }
        signalled = taken;
        done += 1;
    }
}

#[test]
fn no_kick_and_no_interrupt_is_lost() {
    let layout = Layout::new(SLOTS).unwrap();
    let memory = Memory::new(layout);
    let (kick, kicks) = channel();
    let (interrupt, interrupts) = channel();
    let shared = memory.clone();
    let device = std::thread::spawn(move || device(shared, layout, &kicks, &interrupt));

    let options = Options { direction: Direction::FromDevice, event_index: true };
    let mut queue = Queue::new(memory, layout, options, &Slabs::new(SLOTS, 64));
    (0..SLOTS).for_each(|slot| queue.post(slot));
    let mut received = 0;
    let mut slept = 0;
    loop {
        if queue.publish() == Notify::Needed && kick.send(()).is_err() {
            assert!(received + u32::from(SLOTS) >= ROUNDS, "the device ended early");
        }
        if received == ROUNDS {
            break;
        }
        let before = received;
        while let Some(used) = queue.pop().unwrap() {
            assert_eq!(used.bytes, received % 64, "in order, and written before it was shown");
            received += 1;
            queue.post(used.slot);
        }
        if received == before && queue.enable_interrupts() == Interrupts::Armed {
            interrupts.recv_timeout(LIMIT).expect("an interrupt");
            slept += 1;
            queue.disable_interrupts();
        }
    }
    device.join().unwrap();
    assert!(slept > 0, "the driver never slept, so nothing was shown");
}
