//! The table of threads: birth and death.

use crate::wait::{WaitOutcome, Waiting};
use crate::{NONE, run_queue::RunQueue};
use alloc::collections::TryReserveError;
use alloc::vec::Vec;
use toro_timers::{TimerKey, TimerQueue};

/// The threads of one core.
#[derive(Debug)]
pub struct Threads<P> {
    pub(crate) slots: Vec<Slot<P>>,
    pub(crate) ready: RunQueue,
    pub(crate) timers: TimerQueue<u32>,
    pub(crate) current: u32,
    free: u32,
}

#[derive(Debug)]
pub(crate) struct Slot<P> {
    pub(crate) state: State,
    /// The next thread of the run queue, or the next free slot.
    pub(crate) next: u32,
    pub(crate) waiting: Waiting,
    /// When the wait ends by itself; `u64::MAX`: never.
    pub(crate) deadline_ns: u64,
    /// The timer that looks after the deadline, or after an earlier one.
    pub(crate) timer: Option<Timer>,
    pub(crate) outcome: WaitOutcome,
    pub(crate) payload: Option<P>,
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Timer {
    pub(crate) key: TimerKey,
    pub(crate) fires_ns: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    Free,
    Ready,
    Running,
    Waiting,
}

impl<P> Threads<P> {
    /// An empty table; allocates nothing, so it can stand in a static.
    #[must_use]
    pub const fn new() -> Self {
        Threads { slots: Vec::new(), ready: RunQueue::new(), timers: TimerQueue::new(), current: NONE, free: NONE }
    }

    /// Adds a thread that is ready to run, behind those that already are.
    ///
    /// All that the thread's later waits need is reserved here: waiting cannot fail.
    ///
    /// # Errors
    /// When memory for it is not there; the payload comes back, for its destructors may need the scheduler.
    pub fn spawn(&mut self, payload: P) -> Result<(), P> {
        if self.free == NONE && self.reserve_slot().is_err() {
            return Err(payload);
        }
        let index = self.take_slot(payload);
        self.make_ready(index);
        Ok(())
    }

    /// Ends the running thread and hands its payload back. The stack in it may still be the one the caller stands on.
    pub fn exit_current(&mut self) -> P {
        let index = core::mem::replace(&mut self.current, NONE);
        let free = self.free;
        let slot = self.slot(index);
        let payload = slot.payload.take().expect("the running thread has its payload");
        slot.state = State::Free;
        slot.next = free;
        let timer = slot.timer.take();
        if let Some(timer) = timer {
            self.timers.cancel(timer.key);
        }
        self.free = index;
        payload
    }

    /// The running thread's place in the table, for [`resume`](Self::resume); nobody else's until it ends.
    ///
    /// # Panics
    /// When no thread runs.
    #[must_use]
    pub fn here(&self) -> u32 {
        assert!(self.current != NONE, "who waits is a thread");
        self.current
    }

    /// The payload of the running thread; `None` before the first and while nobody has followed one that ended.
    pub fn current_payload(&mut self) -> Option<&mut P> {
        self.slots.get_mut(self.current as usize)?.payload.as_mut()
    }

    pub(crate) fn slot(&mut self, index: u32) -> &mut Slot<P> {
        &mut self.slots[index as usize]
    }

    fn reserve_slot(&mut self) -> Result<(), TryReserveError> {
        self.slots.try_reserve(1)?;
        self.timers.reserve(self.slots.len() + 1)
    }

    fn take_slot(&mut self, payload: P) -> u32 {
        if self.free != NONE {
            let index = self.free;
            let slot = self.slot(index);
            slot.payload = Some(payload);
            self.free = slot.next;
            return index;
        }
        let index = u32::try_from(self.slots.len()).expect("fewer than 2^32 threads fit in memory");
        self.slots.push(Slot {
            state: State::Free,
            next: NONE,
            waiting: Waiting::NOWHERE,
            deadline_ns: u64::MAX,
            timer: None,
            outcome: WaitOutcome::Woken,
            payload: Some(payload),
        });
        index
    }
}

impl<P> Default for Threads<P> {
    fn default() -> Self {
        Self::new()
    }
}
