//! Calls of threads on other cores: a thread on the owner makes them.
//!
//! A connection is its core's alone, so that no lock stands in the way of its own threads. That a program may use it from
//! elsewhere is a convenience with a price: a thread and two messages for each call.

#![expect(unsafe_code, reason = "a thread works with what its caller, which waits for it, has on the stack")]

use super::Error;
use super::sockets::Queues;
use crate::arch::cores::{self, CoreId};
use crate::sched::{self, Builder, Guarded, WaitList};
use alloc::boxed::Box;
use alloc::sync::Arc;

/// Whether a call was made, and who waits for that.
struct Done {
    done: bool,
    caller: WaitList,
}

/// Makes `call` on `core`, in a thread of its own, and waits until it has returned.
///
/// # Errors
/// [`Error::OutOfMemory`] when there is none for the thread.
#[cold]
#[inline(never)]
fn carry(core: CoreId, call: &mut (dyn FnMut() + Send)) -> Result<(), Error> {
    // SAFETY: only the thread below uses it, and this function does not return before that has said that it is done with
    // it: the wait has no deadline, a thread cannot be ended by another, and a panic ends the machine.
    let call: &'static mut (dyn FnMut() + Send) = unsafe { core::mem::transmute(call) };
    let done = Arc::new(Guarded::new(Done { done: false, caller: WaitList::new() }));
    let reply = Arc::clone(&done);
    let builder = Builder { core: Some(core), ..Builder::new() };
    let body = move || {
        call();
        reply.with(|done, wakes| {
            done.done = true;
            done.caller.wake_all(wakes);
        });
    };
    sched::spawn(builder, Box::new(body)).map_err(|_| Error::OutOfMemory)?;
    while done.wait(|done| &mut done.caller, None, |done, _| done.done.then_some(())).is_err() {}
    Ok(())
}

/// A socket as programs hold it: which, and on whose core.
#[derive(Debug)]
pub(super) struct Handle<I> {
    core: CoreId,
    pub(super) id: I,
    pub(super) queues: Arc<Queues>,
}

impl<I: Copy + Send + Sync + 'static> Handle<I> {
    /// A socket of this core.
    pub(super) fn new(id: I, queues: Arc<Queues>) -> Self {
        Handle { core: cores::current(), id, queues }
    }

    /// Makes `call` where the socket is.
    #[inline]
    pub(super) fn call<R: Send>(&self, call: impl FnOnce(I, &Queues) -> Result<R, Error> + Send) -> Result<R, Error> {
        if self.core == cores::current() { call(self.id, &self.queues) } else { self.call_there(call) }
    }

    #[cold]
    #[inline(never)]
    fn call_there<R: Send>(&self, call: impl FnOnce(I, &Queues) -> Result<R, Error> + Send) -> Result<R, Error> {
        let mut call = Some(call);
        let mut result = Err(Error::OutOfMemory);
        carry(self.core, &mut || {
            if let Some(call) = call.take() {
                result = call(self.id, &self.queues);
            }
        })?;
        result
    }

    /// Runs `end` where the socket is, now or soon: nobody waits for it.
    #[inline]
    pub(super) fn end(&self, end: impl FnOnce(I) + Send + 'static) {
        let id = self.id;
        if self.core == cores::current() {
            end(id);
        } else {
            sched::call_on(self.core, Box::new(move || end(id)));
        }
    }
}
