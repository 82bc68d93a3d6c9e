//! How the end of a thread reaches whoever waits for it: what it returned, or the fault by which it ended.
//!
//! All but the value itself is the same for every type, and stands here once.

#![expect(unsafe_code, reason = "a value is written by one thread and taken by another")]

use super::{Guarded, WaitList};
use crate::arch::{depth, running};
use crate::fault::Fault;
use alloc::sync::Arc;
use core::cell::UnsafeCell;

/// What a thread leaves at its end, for the one who asks.
pub struct Ending<T> {
    end: Guarded<End>,
    /// Touched by the thread until its end is told, and afterwards by the one who asks.
    value: UnsafeCell<Option<T>>,
}

// SAFETY: the value is touched by one thread at a time, and given from one to another, as the line above says.
unsafe impl<T: Send> Sync for Ending<T> {}

struct End {
    is_over: bool,
    /// Nobody will ask.
    is_alone: bool,
    fault: Option<Fault>,
    /// What the thread held of the heap when it returned: the value's, above all.
    heap_bytes: i64,
    joiner: WaitList,
}

/// Somebody's share of an [`Ending`]: the thread's, or the asker's. It is memory of the kernel.
pub struct Share<T>(Option<Arc<Ending<T>>>);

/// The shares of a thread, and of the one who is to hear of its end.
#[must_use]
pub fn ending<T>() -> (Share<T>, Share<T>) {
    let _kernel = depth::enter();
    let end = End { is_over: false, is_alone: false, fault: None, heap_bytes: 0, joiner: WaitList::new() };
    let ending = Arc::new(Ending { end: Guarded::new(end), value: UnsafeCell::new(None) });
    (Share(Some(Arc::clone(&ending))), Share(Some(ending)))
}

impl Guarded<End> {
    /// Tells the end. What is given back, and whatever there is of a value, is nobody's.
    fn tell(&self, mut fault: Option<Fault>) -> (bool, Option<Fault>) {
        let heap_bytes = running::heap_bytes();
        let is_wanted = self.with(|end, wakes| {
            let is_wanted = !core::mem::replace(&mut end.is_over, true) && !end.is_alone;
            if is_wanted {
                (end.fault, end.heap_bytes) = (fault.take(), heap_bytes);
                end.joiner.wake_one(wakes);
            }
            is_wanted
        });
        (is_wanted, fault)
    }

    /// Waits for the end; the fault, if it was one.
    fn join(&self) -> Option<Fault> {
        let take = |end: &mut End| end.is_over.then(|| (end.fault.take(), end.heap_bytes));
        loop {
            if let Ok((fault, heap_bytes)) = self.wait(|end| &mut end.joiner, None, |end, _| take(end)) {
                if fault.is_none() {
                    running::add_heap_bytes(heap_bytes); // the joiner's from here on
                }
                return fault;
            }
        }
    }

    /// Says that nobody will ask; whether it is over, and the fault that is nobody's then.
    fn leave_alone(&self) -> (bool, Option<Fault>) {
        self.with(|end, _| {
            end.is_alone = true;
            (end.is_over, end.fault.take())
        })
    }
}

impl<T> Share<T> {
    fn ending(&self) -> &Ending<T> {
        self.0.as_deref().expect("a share is whole until it is dropped")
    }

    /// For the thread: it returned this.
    pub fn give(&self, value: T) {
        let ending = self.ending();
        // SAFETY: the end is not told yet.
        unsafe { *ending.value.get() = Some(value) };
        if !ending.end.tell(None).0 {
            // SAFETY: nobody asks, now or later.
            drop(unsafe { (*ending.value.get()).take() });
        }
    }

    /// For the thread: it ended by a fault.
    pub fn fail(&self, fault: Fault) {
        drop(self.ending().end.tell(Some(fault)));
    }

    /// For the one who asks: waits for the end.
    ///
    /// # Errors
    /// The fault by which it ended.
    pub fn join(self) -> Result<T, Fault> {
        let ending = self.ending();
        match ending.end.join() {
            Some(fault) => Err(fault),
            // SAFETY: the end was told, so the value is the asker's.
            None => Ok(unsafe { (*ending.value.get()).take() }.expect("a thread that returned has left a value")),
        }
    }

    /// For the one who asks: whether it is over.
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.ending().end.with(|end, _| end.is_over)
    }

    /// For the one who asks: drops the share, and what was left for it.
    pub fn leave_alone(self) {
        let (is_over, fault) = self.ending().end.leave_alone();
        drop(fault);
        if is_over {
            // SAFETY: the end was told, so the value is the asker's.
            drop(unsafe { (*self.ending().value.get()).take() });
        }
    }
}

impl<T> Drop for Share<T> {
    fn drop(&mut self) {
        let _kernel = depth::enter();
        drop(self.0.take());
    }
}
