//! Frames that arrive: each is shown to the caller in the buffer, which then goes back to the device.

use super::{DATA_VALID, HEADER_BYTES, NEEDS_CSUM, Offloads, Verification};
use crate::{Broken, Buffers, Interrupts, Notify, Queue, RingMemory};

/// What became of buffers that gave no frame.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ReceiveCounters {
    /// The device wrote less than a header and one byte.
    pub short: u64,
    /// The frame is spread over several buffers: longer than the agreed MTU.
    pub oversize: u64,
}

/// The receive half of a network device.
#[derive(Debug)]
pub struct Receive<M, B> {
    queue: Queue<M>,
    buffers: B,
    offloads: Offloads,
    /// Buffers still to come of a frame that is being dropped.
    skip: u16,
    counters: ReceiveCounters,
}

impl<M: RingMemory, B: Buffers> Receive<M, B> {
    /// Takes a fresh queue and posts all its buffers; [`publish`](Self::publish) shows them to the device.
    pub fn new(mut queue: Queue<M>, buffers: B, offloads: Offloads) -> Receive<M, B> {
        for slot in 0..queue.layout().size() {
            queue.post(slot);
        }
        Receive { queue, buffers, offloads, skip: 0, counters: ReceiveCounters::default() }
    }

    /// Shows `handle` each frame that is there, at most a queue full; returns how many.
    ///
    /// Frames that do not fit in one buffer are dropped and counted.
    ///
    /// # Errors
    /// [`Broken`] when the device cannot be believed any more.
    #[inline]
    pub fn receive(&mut self, mut handle: impl FnMut(&mut [u8], Verification)) -> Result<usize, Broken> {
        let vouching = if self.offloads.receive_checksum { NEEDS_CSUM | DATA_VALID } else { 0 };
        let mut frames = 0;
        for _ in 0..self.queue.layout().size() {
            let Some(used) = self.queue.pop()? else { break };
            let bytes = self.buffers.bytes(used.slot);
            // `pop` has checked that the count is within the buffer.
            if let Some(written) = bytes.get_mut(..used.bytes as usize)
                && let Some((header, frame)) = written.split_first_chunk_mut::<HEADER_BYTES>()
                && !frame.is_empty()
            {
                let buffers = u16::from_le_bytes([header[10], header[11]]);
                let is_single = !self.offloads.merge_buffers || buffers == 1;
                if is_single && self.skip == 0 {
                    let vouched = header[0] & vouching != 0;
                    handle(frame, if vouched { Verification::Verified } else { Verification::Unverified });
                    frames += 1;
                } else {
                    self.drop_part(buffers);
                }
            } else {
                self.skip = self.skip.saturating_sub(1);
                self.counters.short += 1;
            }
            self.queue.post(used.slot);
        }
        Ok(frames)
    }

    /// A buffer of a frame that is spread over several: drops it, and knows how many follow.
    #[cold]
    fn drop_part(&mut self, buffers: u16) {
        if self.skip > 0 {
            self.skip -= 1;
        } else {
            self.skip = buffers.saturating_sub(1);
            self.counters.oversize += 1;
        }
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
