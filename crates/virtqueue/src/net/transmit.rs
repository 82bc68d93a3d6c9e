//! Frames that leave: the caller writes each where the device reads it, and flushes once per batch.

use core::fmt;

use super::{Checksum, HEADER_BYTES, NEEDS_CSUM, Offloads, SEGMENTS_TCP4, SEGMENTS_TCP6};
use crate::{Broken, Buffers, Interrupts, Notify, Queue, RingMemory};

/// Place of a frame's kind, and that of IPv6.
const KIND: usize = 12;
const IPV6: [u8; 2] = [0x86, 0xdd];

/// The device has not yet sent what it was given: try again after its interrupt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Full;

impl fmt::Display for Full {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("all transmit buffers are with the device")
    }
}

impl core::error::Error for Full {}

/// The transmit half of a network device.
#[derive(Debug)]
pub struct Transmit<M, B> {
    queue: Queue<M>,
    buffers: B,
    offloads: Offloads,
    /// Somebody was refused since interrupts were last enabled, and must be woken by a completion.
    refused: bool,
}

impl<M: RingMemory, B: Buffers> Transmit<M, B> {
    /// Takes a fresh queue, and buffers that may hold anything.
    pub fn new(queue: Queue<M>, mut buffers: B, offloads: Offloads) -> Transmit<M, B> {
        for slot in 0..queue.layout().size() {
            buffers.bytes(slot)[..HEADER_BYTES].fill(0);
        }
        Transmit { queue, buffers, offloads, refused: false }
    }

    /// Will the next [`transmit`](Self::transmit) find room? If not, the next completion interrupts.
    #[inline]
    pub fn ready(&mut self) -> bool {
        self.queue.free_slot().is_some() || self.reclaim().is_ok()
    }

    /// As [`ready`](Self::ready), beside `others` frames for which room was promised before.
    pub fn ready_beside(&mut self, others: u16) -> bool {
        if self.room() <= others {
            let _first_free = self.reclaim();
        }
        let ready = self.room() > others;
        self.refused |= !ready;
        ready
    }

    /// Buffers that are not with the device.
    fn room(&self) -> u16 {
        if self.queue.broken().is_some() { 0 } else { self.queue.layout().size() - self.queue.in_flight() }
    }

    /// Lets `write` fill a buffer of at most `bytes_max` and return the length of the frame, 0 for none. The frame
    /// leaves at the next [`publish`](Self::publish).
    ///
    /// # Errors
    /// [`Full`] when every buffer is with the device, also when the queue is [`broken`](Self::broken); `write` was
    /// not called.
    ///
    /// # Panics
    /// When `bytes_max` is more than a buffer has beside its header, when `write` returns more than
    /// `bytes_max`, or when the device is to do what was not agreed: defects of the caller.
    #[inline]
    pub fn transmit(
        &mut self,
        bytes_max: usize,
        checksum: Checksum,
        write: impl FnOnce(&mut [u8]) -> usize,
    ) -> Result<(), Full> {
        let slot = match self.queue.free_slot() {
            Some(slot) => slot,
            None => self.reclaim()?,
        };
        let (header, room) = self.buffers.bytes(slot).split_at_mut(HEADER_BYTES);
        let room = &mut room[..bytes_max];
        let frame_bytes = write(room);
        assert!(frame_bytes <= bytes_max, "a frame of {frame_bytes} bytes in room for {bytes_max}");
        if frame_bytes == 0 {
            return Ok(());
        }
        // Without the offload the header stays as it was made: all zeros.
        match checksum {
            Checksum::Partial { start_bytes, offset_bytes } => {
                assert!(self.offloads.transmit_checksum, "the device completes no checksums");
                let ([s0, s1], [o0, o1]) = (start_bytes.to_le_bytes(), offset_bytes.to_le_bytes());
                header[..10].copy_from_slice(&[NEEDS_CSUM, 0, 0, 0, 0, 0, s0, s1, o0, o1]);
            }
            Checksum::Segments { start_bytes, offset_bytes, headers_bytes, segment_bytes } => {
                let is_v6 = room[KIND..KIND + 2] == IPV6;
                let agreed = if is_v6 { self.offloads.segmentation6 } else { self.offloads.segmentation };
                assert!(agreed, "the device cuts no frames");
                let kind = if is_v6 { SEGMENTS_TCP6 } else { SEGMENTS_TCP4 };
                let ([s0, s1], [o0, o1]) = (start_bytes.to_le_bytes(), offset_bytes.to_le_bytes());
                let ([h0, h1], [g0, g1]) = (headers_bytes.to_le_bytes(), segment_bytes.to_le_bytes());
                header[..10].copy_from_slice(&[NEEDS_CSUM, kind, h0, h1, g0, g1, s0, s1, o0, o1]);
            }
            Checksum::Complete if self.offloads.transmit_checksum => header[..10].fill(0),
            Checksum::Complete => {}
        }
        self.queue.post_bytes(slot, (HEADER_BYTES + frame_bytes) as u32);
        Ok(())
    }

    /// Takes back what the device has sent: only when there is no free slot left, so that its index is read once for
    /// many frames.
    fn reclaim(&mut self) -> Result<u16, Full> {
        // A broken queue stays full; `broken` says why.
        while let Ok(Some(_)) = self.queue.pop() {}
        let free = self.queue.free_slot();
        self.refused = free.is_none();
        free.ok_or(Full)
    }

    /// Shows the device the frames of this batch, and says whether it has to be told.
    #[inline]
    pub fn publish(&mut self) -> Notify {
        self.queue.publish()
    }

    /// Asks for an interrupt when a buffer comes free, if somebody was refused one; else for none.
    #[inline]
    pub fn enable_interrupts(&mut self) -> Interrupts {
        if !self.refused {
            return Interrupts::Armed;
        }
        let state = self.queue.enable_interrupts();
        self.refused = state == Interrupts::Armed;
        state
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

    /// Why nothing leaves any more, if so.
    pub fn broken(&self) -> Option<Broken> {
        self.queue.broken()
    }

    /// The queue and its buffers; a test lets its device work there.
    pub fn parts_mut(&mut self) -> (&mut Queue<M>, &mut B) {
        (&mut self.queue, &mut self.buffers)
    }
}
