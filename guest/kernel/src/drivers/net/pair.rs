//! One pair of queues: frames in and frames out, in place.

use super::{Card, Doorbell, SharedBuffers, SharedRing};
use crate::arch::interrupt::{self, Vector};
use crate::drivers::transport::Line;
use alloc::sync::Arc;
use toro_virtqueue::net::{self, Checksum, Full, Verification};
use toro_virtqueue::{Broken, Interrupts, Notify};

/// A pair of queues.
#[derive(Debug)]
pub struct Pair {
    /// Frames in.
    pub receiver: Receiver,
    /// Frames out.
    pub transmitter: Transmitter,
}

/// The receiving half, and the interrupts of both.
#[derive(Debug)]
pub struct Receiver {
    receive: net::Receive<SharedRing, SharedBuffers>,
    doorbell: Doorbell,
    card: Arc<Card>,
    line: Line,
    vector: Vector,
    /// Interrupts taken when the device was last told so.
    acknowledged: u64,
    reported: bool,
}

impl Receiver {
    pub(super) fn new(
        receive: net::Receive<SharedRing, SharedBuffers>,
        doorbell: Doorbell,
        card: Arc<Card>,
        line: Line,
        vector: Vector,
    ) -> Self {
        // Whatever raised the line before.
        let acknowledged = u64::MAX;
        Receiver { receive, doorbell, card, line, vector, acknowledged, reported: false }
    }

    /// Lets the pair interrupt this core.
    ///
    /// `false`: the card has no interrupt for it.
    #[cold]
    #[must_use]
    pub fn adopt(&self) -> bool {
        self.card.0.route_interrupts(self.line, self.vector).is_ok()
    }

    /// Gives the card the buffers that are free.
    pub(super) fn publish(&mut self) {
        if self.receive.publish() == Notify::Needed {
            self.doorbell.ring();
        }
    }

    /// Shows `handle` each frame that has arrived, in place, and what is known of its checksum; gives the buffers back
    /// and returns how many frames there were. At most a queue full, so call again until it returns 0.
    #[inline]
    pub fn receive(&mut self, handle: impl FnMut(&mut [u8], Verification)) -> usize {
        let frames = match self.receive.receive(handle) {
            Ok(frames) => frames,
            Err(broken) => {
                report(&mut self.reported, broken);
                0
            }
        };
        self.publish();
        frames
    }

    /// Asks for an interrupt at the next frame. True when something is there already: do not sleep.
    #[inline(always)]
    pub fn enable_interrupts(&mut self) -> bool {
        // A line that stays high gives no further edge, so it is lowered before anything new can come.
        let taken = interrupt::count(self.vector);
        if taken != self.acknowledged {
            self.acknowledged = taken;
            self.card.0.acknowledge_interrupt();
        }
        self.receive.enable_interrupts() == Interrupts::Pending
    }

    /// A second look, right before the core sleeps: whether a frame is there. See
    /// [`toro_virtqueue::Queue::has_completions`].
    #[inline]
    pub fn look_again(&mut self) -> bool {
        if self.receive.owes_notification() == Notify::Needed {
            self.doorbell.ring();
        }
        self.receive.has_frames()
    }

    /// Asks for no more interrupts: the core is awake and polls.
    #[inline]
    pub fn disable_interrupts(&mut self) {
        self.receive.disable_interrupts();
    }
}

/// The transmitting half.
#[derive(Debug)]
pub struct Transmitter {
    transmit: net::Transmit<SharedRing, SharedBuffers>,
    doorbell: Doorbell,
    reported: bool,
}

impl Transmitter {
    pub(super) fn new(transmit: net::Transmit<SharedRing, SharedBuffers>, doorbell: Doorbell) -> Self {
        Transmitter { transmit, doorbell, reported: false }
    }

    /// Will the next [`transmit`](Self::transmit) find room? If not, a completion will interrupt.
    #[inline]
    pub fn ready(&mut self) -> bool {
        self.transmit.ready()
    }

    /// Will it find room beside `others` frames that others have been promised room for?
    pub fn ready_beside(&mut self, others: u16) -> bool {
        self.transmit.ready_beside(others)
    }

    /// Lets `write` fill a buffer of at most `bytes_max` and return the frame's length. The frame leaves at the next
    /// [`flush`](Self::flush).
    ///
    /// # Errors
    /// [`Full`] when every buffer is with the device; `write` was not called.
    ///
    /// # Panics
    /// As [`toro_virtqueue::net::Transmit::transmit`], on lengths and checksums that the card cannot have.
    #[inline]
    pub fn transmit(
        &mut self,
        bytes_max: usize,
        checksum: Checksum,
        write: impl FnOnce(&mut [u8]) -> usize,
    ) -> Result<(), Full> {
        let result = self.transmit.transmit(bytes_max, checksum, write);
        if result.is_err()
            && let Some(broken) = self.transmit.broken()
        {
            report(&mut self.reported, broken);
        }
        result
    }

    /// Shows the card what was transmitted since the last call: one notification for all, if it wants one.
    #[inline]
    pub fn flush(&mut self) {
        if self.transmit.publish() == Notify::Needed {
            self.doorbell.ring();
        }
    }

    /// Tells the card of what was transmitted, if [`flush`](Self::flush) should have.
    #[inline]
    pub fn look_again(&mut self) {
        if self.transmit.owes_notification() == Notify::Needed {
            self.doorbell.ring();
        }
    }

    /// Asks for an interrupt at the next completion when somebody was refused room. True when there is room already.
    #[inline]
    pub fn enable_interrupts(&mut self) -> bool {
        self.transmit.enable_interrupts() == Interrupts::Pending
    }

    /// Asks for no more interrupts.
    #[inline]
    pub fn disable_interrupts(&mut self) {
        self.transmit.disable_interrupts();
    }
}

#[cold]
fn report(reported: &mut bool, broken: Broken) {
    if !core::mem::replace(reported, true) {
        log::error!("virtio-net: {broken}; the network has stopped");
    }
}
