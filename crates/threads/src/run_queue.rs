//! Who runs next: first come, first served.

use crate::table::State;
use crate::{NONE, Threads};

#[derive(Debug)]
pub(crate) struct RunQueue {
    head: u32,
    tail: u32,
    len: usize,
}

impl RunQueue {
    pub(crate) const fn new() -> Self {
        RunQueue { head: NONE, tail: NONE, len: 0 }
    }
}

/// What it takes to let the chosen thread run.
#[derive(Debug)]
pub enum Turn<'a, P> {
    /// Nobody is ready. The thread that asked, though it waits or has ended, still stands on its stack.
    Nobody,
    /// The thread that asked was chosen.
    Same,
    /// Another was chosen.
    Switch {
        /// The thread that asked; `None` when it has ended, or nobody ran before.
        from: Option<&'a mut P>,
        /// The thread that was chosen, from now on the running one.
        to: &'a mut P,
    },
}

impl<P> Turn<'_, P> {
    /// Whether a thread was chosen.
    #[must_use]
    pub fn found(&self) -> bool {
        !matches!(self, Turn::Nobody)
    }
}

impl<P> Threads<P> {
    /// How many threads are ready to run.
    #[must_use]
    pub fn ready(&self) -> usize {
        self.ready.len
    }

    /// Puts the running thread behind all that are ready.
    pub fn yield_current(&mut self) {
        self.make_ready(self.current);
    }

    /// Makes the first ready thread the running one, and says what that takes.
    pub fn run_next(&mut self) -> Turn<'_, P> {
        let index = self.ready.head;
        if index == NONE {
            return Turn::Nobody;
        }
        let slot = self.slot(index);
        slot.state = State::Running;
        let next = slot.next;
        self.ready.head = next;
        if next == NONE {
            self.ready.tail = NONE;
        }
        self.ready.len -= 1;
        let previous = core::mem::replace(&mut self.current, index);
        self.turn(previous, index)
    }

    fn turn(&mut self, previous: u32, next: u32) -> Turn<'_, P> {
        if previous == next {
            return Turn::Same;
        }
        let (from, to) = if previous == NONE {
            (None, &mut self.slots[next as usize])
        } else {
            let (lower, upper) = self.slots.split_at_mut(previous.max(next) as usize);
            let (lower, upper) = (&mut lower[previous.min(next) as usize], &mut upper[0]);
            let (from, to) = if previous < next { (lower, upper) } else { (upper, lower) };
            (from.payload.as_mut(), to)
        };
        let to = to.payload.as_mut().expect("a ready thread has its payload");
        Turn::Switch { from, to }
    }

    pub(crate) fn make_ready(&mut self, index: u32) {
        let slot = self.slot(index);
        slot.state = State::Ready;
        slot.next = NONE;
        let tail = core::mem::replace(&mut self.ready.tail, index);
        match tail {
            NONE => self.ready.head = index,
            tail => self.slot(tail).next = index,
        }
        self.ready.len += 1;
    }
}
