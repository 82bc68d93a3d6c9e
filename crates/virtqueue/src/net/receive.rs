//! Frames that arrive: each is shown to the caller in the buffer, which then goes back to the device. One that is spread over
//! several buffers is put together first.

use super::{DATA_VALID, HEADER_BYTES, NEEDS_CSUM, Offloads, Verification};
use crate::{Broken, Buffers, Interrupts, Notify, Queue, RingMemory};
use alloc::vec::Vec;

/// What became of buffers that gave no frame.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ReceiveCounters {
    /// The device wrote less than a header and one byte.
    pub short: u64,
    /// The frame is spread over several buffers, and longer than what was agreed.
    pub oversize: u64,
}

/// The receive half of a network device.
#[derive(Debug)]
pub struct Receive<M, B> {
    queue: Queue<M>,
    buffers: B,
    offloads: Offloads,
    /// Buffers still to come of a frame that is spread over several.
    rest: u16,
    /// That frame is dropped.
    drops: bool,
    /// That frame, as far as it has come, and its header's flags.
    assembly: Vec<u8>,
    flags: u8,
    counters: ReceiveCounters,
}

impl<M: RingMemory, B: Buffers> Receive<M, B> {
    /// Takes a fresh queue and posts all its buffers; [`publish`](Self::publish) shows them to the device. Room for frames
    /// that are spread over several buffers is made here; without memory for it they are dropped.
    pub fn new(mut queue: Queue<M>, buffers: B, offloads: Offloads) -> Receive<M, B> {
        for slot in 0..queue.layout().size() {
            queue.post(slot);
        }
        let mut assembly = Vec::new();
        if offloads.merge_buffers {
            let _without = assembly.try_reserve_exact(offloads.receive_bytes_max);
        }
        let counters = ReceiveCounters::default();
        Receive { queue, buffers, offloads, rest: 0, drops: false, assembly, flags: 0, counters }
    }

    /// Shows `handle` each frame that is there, at most a queue full; returns how many.
    ///
    /// Frames that are longer than was agreed are dropped and counted.
    ///
    /// # Errors
    /// [`Broken`] when the device cannot be believed any more.
    #[inline]
    pub fn receive(&mut self, mut handle: impl FnMut(&mut [u8], Verification)) -> Result<usize, Broken> {
        let vouching = if self.offloads.receive_checksum { NEEDS_CSUM | DATA_VALID } else { 0 };
        let verification =
            |flags: u8| if flags & vouching != 0 { Verification::Verified } else { Verification::Unverified };
        let mut frames = 0;
        for _ in 0..self.queue.layout().size() {
            let Some(used) = self.queue.pop()? else { break };
            let bytes = self.buffers.bytes(used.slot);
            // `pop` has checked that the count is within the buffer.
            if self.rest == 0
                && let Some(written) = bytes.get_mut(..used.bytes as usize)
                && let Some((header, frame)) = written.split_first_chunk_mut::<HEADER_BYTES>()
                && !frame.is_empty()
                && (!self.offloads.merge_buffers || [header[10], header[11]] == [1, 0])
            {
                handle(frame, verification(header[0]));
                frames += 1;
            } else if self.take_part(used.slot, used.bytes as usize) {
                handle(&mut self.assembly, verification(self.flags));
                frames += 1;
            }
            self.queue.post(used.slot);
        }
        Ok(frames)
    }

    /// A buffer that is no whole frame; `true` when one is complete with it.
    #[cold]
    #[inline(never)]
    fn take_part(&mut self, slot: u16, bytes: usize) -> bool {
        let written = self.buffers.bytes(slot).get(..bytes).unwrap_or_default();
        let part = if self.rest > 0 {
            self.rest -= 1;
            written
        } else {
            let Some((header, frame)) =
                written.split_first_chunk::<HEADER_BYTES>().filter(|(_, frame)| !frame.is_empty())
            else {
                self.counters.short += 1;
                return false;
            };
            self.rest = u16::from_le_bytes([header[10], header[11]]).saturating_sub(1);
            self.drops = false;
            self.flags = header[0];
            self.assembly.clear();
            frame
        };
        // Its room was made at the start.
        if !self.drops
            && self.assembly.len() + part.len() <= self.assembly.capacity().min(self.offloads.receive_bytes_max)
        {
            self.assembly.extend_from_slice(part);
        } else if !core::mem::replace(&mut self.drops, true) {
            self.counters.oversize += 1;
        }
        self.rest == 0 && !self.drops
    }

    /// Gives the device its buffers back, and says whether it has to be told.
    #[inline]
    pub fn publish(&mut self) -> Notify {
        self.queue.publish()
    }

    /// Asks for an interrupt at the next frame. See [`Queue::enable_interrupts`].
    #[inline]
    pub fn enable_interrupts(&mut self) -> Interrupts {
        self.queue.enable_interrupts()
    }

    /// See [`Queue::has_completions`].
    #[inline]
    pub fn has_frames(&self) -> bool {
        self.queue.has_completions()
    }

    /// See [`Queue::owes_notification`].
    #[inline]
    pub fn owes_notification(&mut self) -> Notify {
        self.queue.owes_notification()
    }

    /// Asks for no more interrupts. See [`Queue::disable_interrupts`].
    #[inline]
    pub fn disable_interrupts(&mut self) {
        self.queue.disable_interrupts();
    }

    /// What was dropped so far.
    pub fn counters(&self) -> ReceiveCounters {
        self.counters
    }

    /// Why no more frames come, if so.
    pub fn broken(&self) -> Option<Broken> {
        self.queue.broken()
    }

    /// The queue and its buffers; a test lets its device work there.
    pub fn parts_mut(&mut self) -> (&mut Queue<M>, &mut B) {
        (&mut self.queue, &mut self.buffers)
    }
}
