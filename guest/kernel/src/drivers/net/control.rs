//! What the card is told over its control queue, and answers in its own time: how many pairs of queues it is to use, and
//! that this machine was announced.

use super::{Doorbell, SharedBuffers, SharedRing, Transport};
use crate::drivers::DeviceError;
use crate::drivers::transport::Line;
use toro_virtqueue::net::{Answer, Control};
use toro_virtqueue::{Direction, Interrupts, Notify, Options, Queue};

const BUFFER_BYTES: usize = 16;

type Queues = Control<SharedRing, SharedBuffers>;

/// The card's control queue. Its answer interrupts the core that has the first pair.
#[derive(Debug)]
pub struct ControlQueue {
    control: Queues,
    doorbell: Doorbell,
}

impl ControlQueue {
    /// Starts queue `index` as the control queue.
    #[cold]
    pub(super) fn start(transport: &Transport, index: u16, event_index: bool) -> Result<Self, DeviceError> {
        let layout = transport.layout(index, Queues::SLOTS)?;
        if layout.size() < Queues::SLOTS {
            return Err(DeviceError::Queue(index));
        }
        let ring = SharedRing::new(layout.bytes())?;
        let buffers = SharedBuffers::new(layout.size(), BUFFER_BYTES)?;
        let doorbell = transport.start_queue(index, layout, &ring, Some(Line::FIRST))?;
        let options = Options { direction: Direction::ToDevice, event_index };
        let control = Control::new(Queue::new(ring, layout, options, &buffers), buffers);
        Ok(ControlQueue { control, doorbell })
    }

    /// Tells the card to use `pairs` pairs; `false` while it has not answered the last command.
    #[cold]
    #[inline(never)]
    pub fn set_pairs(&mut self, pairs: u16) -> bool {
        let told = self.control.set_pairs(pairs);
        self.ring(told)
    }

    /// Tells it that this machine was announced; `false` as above.
    #[cold]
    pub fn acknowledge_announcement(&mut self) -> bool {
        let told = self.control.acknowledge_announcement();
        self.ring(told)
    }

    fn ring(&self, told: Option<Notify>) -> bool {
        if told == Some(Notify::Needed) {
            self.doorbell.ring();
        }
        told.is_some()
    }

    /// Whether the card owes an answer.
    pub fn is_asked(&self) -> bool {
        self.control.is_asked()
    }

    /// The card's answer, once it is there: whether it does as it was told.
    #[cold]
    #[inline(never)]
    pub fn answer(&mut self) -> Option<bool> {
        match self.control.answer() {
            Ok(Answer::Nothing) => None,
            Ok(answer) => Some(answer == Answer::Done),
            Err(broken) => {
                log::error!("virtio-net: {broken}");
                Some(false)
            }
        }
    }

    /// Asks for an interrupt at the answer; true when it is there already.
    #[cold]
    #[inline(never)]
    pub fn enable_interrupts(&mut self) -> bool {
        self.control.enable_interrupts() == Interrupts::Pending
    }
}
