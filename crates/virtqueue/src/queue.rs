//! The split ring: post, publish, pop.

use core::fmt;
use core::sync::atomic::{Ordering, fence};

use crate::layout::{AVAIL_NO_INTERRUPT, DESCRIPTOR_NEXT, DESCRIPTOR_WRITE, Offsets, USED_NO_NOTIFY};
use crate::slots::Slots;
use crate::{Buffers, Layout, RingMemory};

/// Who writes into the buffers of a queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// The device fills them: receive, entropy.
    FromDevice,
    /// The device reads them: transmit.
    ToDevice,
}

/// What was agreed with the device about a queue.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// Who writes into the buffers.
    pub direction: Direction,
    /// `VIRTIO_F_EVENT_IDX` was negotiated.
    pub event_index: bool,
}

/// Whether the device has to be told about what was published.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use = "a device that is not notified when it asks to be may wait for ever"]
pub enum Notify {
    /// Write the queue's notification register.
    Needed,
    /// The device will look by itself.
    NotNeeded,
}

/// What is there after interrupts were asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use = "sleeping on completions that are already there may sleep for ever"]
pub enum Interrupts {
    /// Nothing is there; the next completion interrupts.
    Armed,
    /// Completions are already there: pop them, do not sleep.
    Pending,
}

/// A slot that the device gave back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Used {
    /// The slot; it belongs to the driver again.
    pub slot: u16,
    /// How many bytes the device says that it wrote; never more than the buffer holds.
    pub bytes: u32,
}

/// The device broke the rules of the ring; nothing in it can be believed until the device is reset.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Broken {
    /// It claims to have completed more slots than it was given.
    Index {
        /// Completions claimed since the last one that was seen.
        claimed: u16,
        /// Slots that it had.
        in_flight: u16,
    },
    /// It completed a slot that it did not have: never posted, completed twice, or no slot at all.
    Slot(u32),
    /// It claims to have written more bytes than the buffer holds.
    Length {
        /// Bytes claimed.
        claimed: u32,
        /// Bytes in the buffer.
        capacity: u32,
    },
}

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Broken::Index { claimed, in_flight } => {
                write!(f, "device completed {claimed} buffers, it had {in_flight}")
            }
            Broken::Slot(slot) => write!(f, "device completed slot {slot}, which it did not have"),
            Broken::Length { claimed, capacity } => {
                write!(f, "device claims {claimed} bytes in a buffer of {capacity}")
            }
        }
    }
}

impl core::error::Error for Broken {}

/// One split virtqueue, seen from the driver.
#[derive(Debug)]
pub struct Queue<M> {
    memory: M,
    layout: Layout,
    offsets: Offsets,
    options: Options,
    /// The most bytes the device may claim to have written into a buffer.
    capacity_bytes: u32,
    /// Slots that are with the device.
    posted: Slots,
    in_flight: u16,
    /// The avail index up to which entries are written, and up to which the device was shown them.
    avail_written: u16,
    avail_published: u16,
    /// The avail index when the device was last to be told.
    avail_told: u16,
    /// The used index up to which completions were popped, and up to which they are known to be there.
    used_popped: u16,
    used_known: u16,
    interrupts_on: bool,
    broken: Option<Broken>,
}

impl<M: RingMemory> Queue<M> {
    /// Makes the ring in `memory`, which is zeroed, and gives each slot its buffer.
    pub fn new(memory: M, layout: Layout, options: Options, buffers: &impl Buffers) -> Queue<M> {
        let buffer_bytes = buffers.bytes_per_slot() as u32;
        let (flags, capacity_bytes) = match options.direction {
            Direction::FromDevice => (DESCRIPTOR_WRITE, buffer_bytes),
            // Some devices report the bytes they read; nobody looks at it.
            Direction::ToDevice => (0, u32::MAX),
        };
        let mut queue = Queue {
            memory,
            layout,
            offsets: layout.offsets(),
            options,
            capacity_bytes,
            posted: Slots::default(),
            in_flight: 0,
            avail_written: 0,
            avail_published: 0,
            avail_told: 0,
            used_popped: 0,
            used_known: 0,
            interrupts_on: true,
            broken: None,
        };
        for slot in 0..layout.size() {
            let descriptor = layout.descriptor(slot);
            queue.memory.store_u64(descriptor, buffers.device_address(slot));
            queue.memory.store_u32(descriptor + 8, buffer_bytes);
            queue.memory.store_u16(descriptor + 12, flags);
        }
        queue.disable_interrupts();
        queue
    }

    /// Makes `second`, of which the device may write the first `bytes`, the end of a chain that begins with `first`. Only
    /// `first` is posted from then on, and comes back for both.
    ///
    /// # Panics
    /// When one is no slot of this queue: a defect of the driver.
    pub fn link(&mut self, first: u16, second: u16, bytes: u32) {
        let size = self.layout.size();
        assert!(first < size && second < size, "slots {first} and {second} of {size}");
        let [first, end] = [first, second].map(|slot| self.layout.descriptor(slot));
        self.memory.store_u16(first + 12, DESCRIPTOR_NEXT);
        self.memory.store_u16(first + 14, second);
        self.memory.store_u32(end + 8, bytes);
        self.memory.store_u16(end + 12, DESCRIPTOR_WRITE);
    }

    /// Where the parts of the ring are.
    pub fn layout(&self) -> Layout {
        self.layout
    }

    /// How many slots are with the device.
    pub fn in_flight(&self) -> u16 {
        self.in_flight
    }

    /// Why the queue is dead, if it is.
    pub fn broken(&self) -> Option<Broken> {
        self.broken
    }

    /// The ring's memory; a test lets its device work there.
    pub fn memory_mut(&mut self) -> &mut M {
        &mut self.memory
    }

    /// A slot that is not with the device, if there is one; none once the queue is broken.
    #[inline]
    pub fn free_slot(&self) -> Option<u16> {
        self.posted.first_absent(self.layout.size())
    }

    /// Gives `slot` with its whole buffer to the device, which sees it at the next [`publish`](Self::publish). Does
    /// nothing once the queue is broken.
    ///
    /// # Panics
    /// When the slot is already with the device, or is none of this queue: a defect of the driver.
    #[inline(always)]
    pub fn post(&mut self, slot: u16) {
        if slot >= self.layout.size() || !self.posted.insert(slot) {
            return self.refuse(slot);
        }
        self.memory.store_u16(self.offsets.avail_entry(self.avail_written), slot);
        self.avail_written = self.avail_written.wrapping_add(1);
        self.in_flight += 1;
    }

    #[cold]
    fn refuse(&self, slot: u16) {
        let size = self.layout.size();
        assert!(slot < size && self.broken.is_some(), "slot {slot} of {size} is already posted");
    }

    /// Like [`post`](Self::post), with only the first `bytes` of the buffer.
    ///
    /// # Panics
    /// As [`post`](Self::post).
    #[inline(always)]
    pub fn post_bytes(&mut self, slot: u16, bytes: u32) {
        debug_assert!(slot < self.layout.size());
        self.memory.store_u32(self.layout.descriptor(slot) + 8, bytes);
        self.post(slot);
    }

    /// Shows the device all slots posted since the last call, and says whether it has to be told.
    #[inline(always)]
    pub fn publish(&mut self) -> Notify {
        let (old, new) = (self.avail_published, self.avail_written);
        if old == new || self.broken.is_some() {
            return Notify::NotNeeded;
        }
        fence(Ordering::Release);
        self.memory.store_u16(self.offsets.avail_index, new);
        self.avail_published = new;
        // The device says that it sleeps and then looks at the index; here the index is written and then the
        // device's word is read. One of the two sees the other.
        fence(Ordering::SeqCst);
        let needed = if self.options.event_index {
            self.has_passed_event(old)
        } else {
            self.memory.load_u16(self.offsets.used_flags) & USED_NO_NOTIFY == 0
        };
        if !needed {
            return Notify::NotNeeded;
        }
        self.avail_told = new;
        Notify::Needed
    }

    /// Whether the device has to be told after all; with `EVENT_IDX` only. See [`has_completions`](Self::has_completions).
    #[inline]
    pub fn owes_notification(&mut self) -> Notify {
        if !self.options.event_index || self.avail_told == self.avail_published || self.broken.is_some() {
            return Notify::NotNeeded;
        }
        if !self.has_passed_event(self.avail_told) {
            return Notify::NotNeeded;
        }
        self.avail_told = self.avail_published;
        Notify::Needed
    }

    /// Whether the index that the device waits for is among those published since `old` (virtio 1.2, section 2.7.10).
    #[inline(always)]
    fn has_passed_event(&self, old: u16) -> bool {
        let (new, event) = (self.avail_published, self.memory.load_u16(self.offsets.avail_event));
        new.wrapping_sub(event).wrapping_sub(1) < new.wrapping_sub(old)
    }

    /// Whether there is something to [`pop`](Self::pop): for a second look, some time after
    /// [`enable_interrupts`](Self::enable_interrupts) and right before a sleep.
    ///
    /// QEMU's translator before 8.1 leaves barriers out for a machine of one processor, though its devices work beside that. What
    /// was written before a barrier is then seen by the device only once the host's processor has drained its buffer of
    /// stores, and until then each side may miss the other's last word. Some hundred instructions later it has.
    #[inline]
    pub fn has_completions(&self) -> bool {
        self.broken.is_none() && self.memory.load_u16(self.offsets.used_index) != self.used_popped
    }

    /// Takes back the next slot that the device has finished with.
    ///
    /// # Errors
    /// [`Broken`] when what the device wrote cannot be true.
    #[inline(always)]
    pub fn pop(&mut self) -> Result<Option<Used>, Broken> {
        if self.used_popped == self.used_known && !self.look_for_used()? {
            return Ok(None);
        }
        let entry = self.offsets.used_entry(self.used_popped);
        let (slot, bytes) = self.memory.load_u32_pair(entry);
        if !self.posted.remove(slot) {
            return Err(self.fail(Broken::Slot(slot)));
        }
        if bytes > self.capacity_bytes {
            let capacity = self.capacity_bytes;
            return Err(self.fail(Broken::Length { claimed: bytes, capacity }));
        }
        self.used_popped = self.used_popped.wrapping_add(1);
        self.in_flight -= 1;
        Ok(Some(Used { slot: slot as u16, bytes }))
    }

    /// Reads the device's index; true when there is something to pop.
    #[inline(always)]
    fn look_for_used(&mut self) -> Result<bool, Broken> {
        let index = self.memory.load_u16(self.offsets.used_index);
        if index == self.used_popped && self.broken.is_none() {
            return Ok(false);
        }
        self.believe_index(index)
    }

    #[inline(always)]
    fn believe_index(&mut self, index: u16) -> Result<bool, Broken> {
        if let Some(broken) = self.broken {
            return Err(broken);
        }
        let claimed = index.wrapping_sub(self.used_popped);
        // Slots that were posted but not yet published are no excuse either.
        let shown = self.in_flight - self.avail_written.wrapping_sub(self.avail_published);
        if claimed > shown {
            return Err(self.fail(Broken::Index { claimed, in_flight: shown }));
        }
        fence(Ordering::Acquire);
        self.used_known = index;
        Ok(true)
    }

    /// Asks for an interrupt at the next completion, and says whether one is already there.
    #[inline]
    pub fn enable_interrupts(&mut self) -> Interrupts {
        self.interrupts_on = true;
        if self.options.event_index {
            self.memory.store_u16(self.offsets.used_event, self.used_popped);
        } else {
            self.memory.store_u16(self.offsets.avail_flags, 0);
        }
        fence(Ordering::SeqCst);
        // A broken queue reports nothing pending: it would be polled for ever.
        if self.has_completions() { Interrupts::Pending } else { Interrupts::Armed }
    }

    /// Asks for no more interrupts: a hint, one may still be on its way.
    #[inline]
    pub fn disable_interrupts(&mut self) {
        if !self.interrupts_on {
            return;
        }
        self.interrupts_on = false;
        if self.options.event_index {
            // As far away as an index can be.
            self.memory.store_u16(self.offsets.used_event, self.used_popped.wrapping_sub(1));
        } else {
            self.memory.store_u16(self.offsets.avail_flags, AVAIL_NO_INTERRUPT);
        }
    }

    #[cold]
    fn fail(&mut self, broken: Broken) -> Broken {
        // Whoever pops again looks at the index first, and finds the reason there; nobody finds a free slot.
        self.used_known = self.used_popped;
        self.posted = Slots::full();
        *self.broken.get_or_insert(broken)
    }
}
