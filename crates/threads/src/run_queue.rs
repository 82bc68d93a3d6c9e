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
        RunQueue {
            head: NONE,
            tail: NONE,
            len: 0,
        }
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

    /// Makes the first ready thread the running one. `false`: nobody is ready, and the thread that asked, though it waits
    /// or has ended, is still the one whose stack is stood on.
    pub fn run_next(&mut self) -> bool {
        let index = self.ready.head;
        if index == NONE {
            return false;
        }
        let slot = self.slot(index);
        slot.state = State::Running;
        let next = slot.next;
        self.ready.head = next;
        if next == NONE {
            self.ready.tail = NONE;
        }
        self.ready.len -= 1;
        self.current = index;
        true
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
