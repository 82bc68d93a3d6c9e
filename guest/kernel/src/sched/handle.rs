//! A thread as others know it: its name for ever, and the way to wake it.

use super::{Guarded, WaitList};
use crate::arch::depth;
use alloc::sync::Arc;
use core::num::NonZero;
use core::ops::Deref;
use core::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// Names a thread; never used for another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ThreadId(NonZero<u64>);

impl ThreadId {
    /// The identifier as a number, unique over the life of the machine and never 0.
    #[must_use]
    pub const fn as_u64(self) -> NonZero<u64> {
        self.0
    }

    fn next() -> Self {
        static LAST: AtomicU64 = AtomicU64::new(0);
        ThreadId(NonZero::new(LAST.fetch_add(1, Relaxed) + 1).expect("2^64 threads take centuries to make"))
    }
}

/// A thread, to name it and to [`unpark`](Self::unpark) it, from any core.
#[derive(Clone, Debug)]
pub struct Thread(Kept);

/// Memory of the kernel that a program may be the last to let go: it is on no thread's account.
#[derive(Clone, Debug)]
struct Kept(Option<Arc<Inner>>);

impl Deref for Kept {
    type Target = Inner;

    #[inline]
    fn deref(&self) -> &Inner {
        self.0.as_deref().expect("it is kept until it is dropped")
    }
}

impl Drop for Kept {
    fn drop(&mut self) {
        let _kernel = depth::enter();
        drop(self.0.take());
    }
}

#[derive(Debug)]
struct Inner {
    id: ThreadId,
    name: Option<Arc<str>>,
    permit: Guarded<Permit>,
}

/// What [`Thread::unpark`] gives and [`park`] takes.
#[derive(Debug)]
struct Permit {
    given: bool,
    /// The thread itself, or nobody.
    parked: WaitList,
}

impl Thread {
    pub(super) fn new(name: Option<Arc<str>>) -> Self {
        let permit = Guarded::new(Permit { given: false, parked: WaitList::new() });
        Thread(Kept(Some(Arc::new(Inner { id: ThreadId::next(), name, permit }))))
    }

    /// Its identifier.
    #[inline]
    #[must_use]
    pub fn id(&self) -> ThreadId {
        self.0.id
    }

    /// Its name, if it was given one. The first thread is called `main`.
    #[must_use]
    pub fn name(&self) -> Option<&str> {
        self.0.name.as_deref()
    }

    /// The same, for another thread to have.
    #[must_use]
    pub fn shared_name(&self) -> Option<Arc<str>> {
        self.0.name.clone()
    }

    /// Ends the thread's [`park`], or its next one. Nothing happens when it has ended.
    pub fn unpark(&self) {
        self.0.permit.with(|permit, wakes| permit.given = !permit.parked.wake_one(wakes));
    }
}

/// Waits until somebody calls [`Thread::unpark`] for this thread, or until `deadline_ns`; not at all if somebody has since
/// the last time.
pub fn park(deadline_ns: Option<u64>) {
    let Some(thread) = super::current() else { return };
    let take = |permit: &mut Permit| core::mem::take(&mut permit.given).then_some(());
    let _how = thread.0.permit.wait(|permit| &mut permit.parked, deadline_ns, |permit, _| take(permit));
}
