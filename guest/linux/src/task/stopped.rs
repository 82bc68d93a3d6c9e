//! When a signal ends the program, its threads stop where they are, and leave what they have in registers for the report.
//!
//! The thread that ends the program alerts the others, as for a signal; whoever waits on the program's behalf stops waiting.
//! One that does not come in time is left out.

use super::Task;
use core::time::Duration;
use toro::prelude::*;
use toro::thread;
use toro::time::Instant;
use toro_abi::thread_state::{FXSAVE_BYTES, STATE_BYTES, THREADS_MAX};

/// How long the others are waited for.
const PATIENCE: Duration = Duration::from_millis(500);

/// What a thread has left.
pub(super) struct Left {
    pub(super) number: u32,
    pub(super) name: String,
    pub(super) instruction: usize,
    /// As `toro_abi::thread_state` has it.
    pub(super) state: Vec<u8>,
}

impl Task {
    /// Stops the other threads. If one of them is ending the program, this one stops instead.
    pub(crate) fn stop_others(&mut self) {
        let process = self.process;
        if !process.begin_crash(self.tid()) {
            self.stand_still();
        }
        process.tasks.each(|other| {
            if !other.is(&self.handle) {
                other.alert();
            }
        });
        let deadline = Instant::now() + PATIENCE;
        let runs = |other: &super::TaskHandle| !other.is(&self.handle) && other.0.left.with(|left| left.is_none());
        while Instant::now() < deadline && process.tasks.any(runs) {
            thread::park_until(Some(deadline));
        }
    }

    /// Stops for good.
    pub(crate) fn stand_still(&mut self) -> ! {
        let left = self.leave_state();
        self.handle.0.left.with(|place| *place = Some(left));
        if let Some(crashed) = self.process.crashed_thread().and_then(|tid| self.process.tasks.get(tid)) {
            crashed.wake();
        }
        self.process.tasks.runs(false);
        loop {
            thread::park();
        }
    }

    fn leave_state(&mut self) -> Left {
        let registers = *self.context.registers();
        let mut state = Vec::new();
        // Without room for it, the thread is told of without its registers.
        if state.try_reserve_exact(STATE_BYTES).is_ok() {
            let bases = [self.context.fs_base(), self.context.gs_base()];
            let values = registers.named().map(|(_, value)| value).chain(bases);
            values.for_each(|value| state.extend_from_slice(&value.to_le_bytes()));
            let extended = self.context.extended();
            state.extend_from_slice(&extended[..extended.len().min(FXSAVE_BYTES)]);
        }
        let (number, name) = (self.tid() as u32, self.handle.printable_name());
        Left { number, name, instruction: registers.rip as usize, state }
    }

    /// This thread and all that have stopped, as far as anybody wants to know of them.
    pub(super) fn stopped_threads(&mut self) -> Vec<Left> {
        let mut all = vec![self.leave_state()];
        self.process.tasks.each(|other| {
            if all.len() < THREADS_MAX {
                all.extend(other.0.left.with(Option::take));
            }
        });
        all
    }
}
