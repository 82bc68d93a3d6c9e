//! The table of threads: birth and death.

use crate::wait::{WaitOutcome, Waiting};
use crate::{NONE, Slack, run_queue::RunQueue};
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
    /// Of all waits whose thread has none of its own, and the time when deadlines were last looked at.
    pub(crate) slack: Slack,
    pub(crate) now_ns: u64,
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
    /// The timer that looks after the deadline: set for the latest end of this wait, or for an earlier time.
    pub(crate) timer: Option<Timer>,
    pub(crate) outcome: WaitOutcome,
    /// The slack of this thread's waits, where it has its own.
    pub(crate) slack: Option<Slack>,
    pub(crate) payload: Option<P>,
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Timer {
    pub(crate) key: TimerKey,
    pub(crate) fires_ns: u64,
}

/// Debuggers know these numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum State {
    Free = 0,
    Ready = 1,
    Running = 2,
    Waiting = 3,
}

/// Where a debugger finds things in the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Layout {
    /// Bytes of a place.
    pub place_bytes: usize,
    /// In a place, a byte: 0 it is free, 1 its thread is ready, 2 it runs, 3 it waits.
    pub state: usize,
    /// In a place, the payload.
    pub payload: usize,
}

impl<P> Threads<P> {
    /// An empty table; allocates nothing, so it can stand in a static.
    #[must_use]
    pub const fn new() -> Self {
        Threads {
            slots: Vec::new(),
            ready: RunQueue::new(),
            timers: TimerQueue::new(),
            current: NONE,
            slack: Slack::NONE,
            now_ns: 0,
            free: NONE,
        }
    }

    /// Sets the slack of all waits that begin from now on, but for those of threads that have their own.
    pub fn set_slack(&mut self, slack: Slack) {
        self.slack = slack;
    }

    /// Gives the running thread a slack of its own, or takes it away.
    pub fn set_current_slack(&mut self, slack: Option<Slack>) {
        self.slot(self.current).slack = slack;
    }

    /// The slack of the running thread's waits.
    #[must_use]
    pub fn current_slack(&self) -> Slack {
        self.slots.get(self.current as usize).and_then(|slot| slot.slack).unwrap_or(self.slack)
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

    /// Places in the table, taken or free: each thread's is below.
    #[must_use]
    pub fn places(&self) -> usize {
        self.slots.len()
    }

    /// What a debugger has to know of the table; it is true of payloads of which `Option` needs no more room.
    pub const LAYOUT: Layout = Layout {
        place_bytes: size_of::<Slot<P>>(),
        state: core::mem::offset_of!(Slot<P>, state),
        payload: core::mem::offset_of!(Slot<P>, payload),
    };

    /// Where the first place is, for debuggers; the table moves when it grows.
    #[must_use]
    pub fn address(&self) -> usize {
        self.slots.as_ptr().addr()
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
            slot.slack = None;
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
            slack: None,
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
