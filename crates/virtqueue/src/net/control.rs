//! The control queue, for what is asked of it: how many pairs of queues the device uses; and for what it is told, that the
//! machine was announced.

use crate::spec::net_control;
use crate::{Broken, Buffers, Interrupts, Notify, Queue, RingMemory};

/// Slot of the command; behind it, in the same chain, the slot of the answer.
const COMMAND: u16 = 0;
const ANSWER: u16 = 1;
/// An answer that no device gives.
const NO_ANSWER: u8 = 0xff;

/// The control queue of a network device: one command at a time.
#[derive(Debug)]
pub struct Control<M, B> {
    queue: Queue<M>,
    buffers: B,
    asked: bool,
}

/// What became of a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// Nothing was asked, or the device has not answered.
    Nothing,
    /// The device does as it was told.
    Done,
    /// It does not.
    Refused,
}

impl<M: RingMemory, B: Buffers> Control<M, B> {
    /// Slots that the queue needs.
    pub const SLOTS: u16 = 2;

    /// Takes a fresh queue of at least [`SLOTS`](Self::SLOTS) slots, and its buffers.
    pub fn new(mut queue: Queue<M>, buffers: B) -> Control<M, B> {
        queue.link(COMMAND, ANSWER, 1);
        Control { queue, buffers, asked: false }
    }

    /// Whether a command waits for its answer.
    pub fn is_asked(&self) -> bool {
        self.asked
    }

    /// Tells the device to use `pairs` pairs of queues. `None` while another command waits for its answer, and for good
    /// once the queue is broken.
    pub fn set_pairs(&mut self, pairs: u16) -> Option<Notify> {
        let [low, high] = pairs.to_le_bytes();
        self.tell(&[net_control::CLASS_MQ, net_control::MQ_VQ_PAIRS_SET, low, high])
    }

    /// Tells the device that the machine was announced, as it wanted. `None` as above.
    pub fn acknowledge_announcement(&mut self) -> Option<Notify> {
        self.tell(&[net_control::CLASS_ANNOUNCE, net_control::ANNOUNCE_ACK])
    }

    fn tell(&mut self, command: &[u8]) -> Option<Notify> {
        if self.asked || self.queue.broken().is_some() {
            return None;
        }
        self.buffers.bytes(COMMAND)[..command.len()].copy_from_slice(command);
        self.buffers.bytes(ANSWER)[0] = NO_ANSWER;
        self.queue.post_bytes(COMMAND, command.len() as u32);
        self.asked = true;
        Some(self.queue.publish())
    }

    /// Looks whether the device has answered.
    ///
    /// # Errors
    /// [`Broken`] when what the device wrote cannot be true.
    pub fn answer(&mut self) -> Result<Answer, Broken> {
        let popped = self.queue.pop();
        if popped == Ok(None) {
            return Ok(Answer::Nothing);
        }
        self.asked = false; // nor does an answer come once the queue is broken
        popped?;
        Ok(if self.buffers.bytes(ANSWER)[0] == net_control::OK { Answer::Done } else { Answer::Refused })
    }

    /// Asks for an interrupt at the answer. See [`Queue::enable_interrupts`].
    pub fn enable_interrupts(&mut self) -> Interrupts {
        self.queue.enable_interrupts()
    }

    /// The queue and its buffers; a test lets its device work there.
    pub fn parts_mut(&mut self) -> (&mut Queue<M>, &mut B) {
        (&mut self.queue, &mut self.buffers)
    }
}
