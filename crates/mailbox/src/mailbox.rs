//! The list of letters of one core, and whether the core is asleep, in one word.

#![expect(unsafe_code, reason = "letters are linked by pointers into what their senders own")]

use crate::primitives::{AtomicPtr, Ordering, UnsafeCell, const_fn, fence};
use core::ptr::{self, NonNull};

/// A letter: first field of whatever is sent, so that [`act`](Self::act) finds the rest by the same address.
#[derive(Debug)]
pub struct Node {
    /// The letter posted before this one, while both are in the mailbox.
    older: UnsafeCell<*mut Node>,
    act: unsafe fn(NonNull<Node>),
}

// SAFETY: `older` is written by the one who posts and read by the one who takes, and posting happens before taking.
unsafe impl Send for Node {}
// SAFETY: as above; a shared reference gives nothing but `act`.
unsafe impl Sync for Node {}

impl Node {
    const_fn! {
        /// A letter; the core that takes it calls `act` with its address.
        #[must_use]
        pub fn new(act: unsafe fn(NonNull<Node>)) -> Self {
            Node { older: UnsafeCell::new(ptr::null_mut()), act }
        }
    }
}

/// The letters for one core, and whether it is asleep.
///
/// The word is null (awake, no letters), `ASLEEP` (no letters), or the newest letter, in which case the core is awake or
/// about to be: whoever posted the oldest of them has interrupted it if it was asleep.
#[derive(Debug)]
pub struct Mailbox {
    word: AtomicPtr<Node>,
}

/// No address of a letter: nodes are aligned.
const ASLEEP: *mut Node = ptr::without_provenance_mut(1);
const AWAKE: *mut Node = ptr::null_mut();

impl Mailbox {
    const_fn! {
        /// The empty mailbox of a core that is awake.
        #[must_use]
        pub fn new() -> Self {
            Mailbox { word: AtomicPtr::new(AWAKE) }
        }
    }

    /// Adds a letter, by any core. `true`: the core slept; the caller, and nobody else, must interrupt it.
    ///
    /// # Safety
    /// The node stays where it is, and is posted nowhere else, until its `act` has been called; `act` may be called with it,
    /// on the mailbox's core.
    pub unsafe fn post(&self, node: NonNull<Node>) -> bool {
        let mut word = self.word.load(Ordering::Relaxed);
        loop {
            let older = if word == ASLEEP { AWAKE } else { word };
            // SAFETY: by this function's contract the node lives, and is ours until the exchange below.
            unsafe { node.as_ref().older.with_mut(|place| *place = older) };
            match self.word.compare_exchange_weak(word, node.as_ptr(), Ordering::Release, Ordering::Relaxed) {
                Ok(_) => return word == ASLEEP,
                Err(now) => word = now,
            }
        }
    }

    /// Says that something for this core lies in a place of its own, which it looks at before it sleeps: after
    /// [`try_sleep`](Self::try_sleep). `true`: the core slept; the caller, and nobody else, must interrupt it.
    pub fn ring(&self) -> bool {
        fence(Ordering::SeqCst); // what was written there before what is read here
        self.word.load(Ordering::Relaxed) == ASLEEP
            && self.word.compare_exchange(ASLEEP, AWAKE, Ordering::Relaxed, Ordering::Relaxed).is_ok()
    }

    /// Whether letters wait to be taken.
    #[inline]
    #[must_use]
    pub fn has_letters(&self) -> bool {
        !matches!(self.word.load(Ordering::Relaxed), AWAKE | ASLEEP)
    }

    /// Whether the core sleeps, or is about to: it looks at everything once more when it wakes.
    #[must_use]
    pub fn is_asleep(&self) -> bool {
        fence(Ordering::SeqCst); // whatever the caller has published before
        self.word.load(Ordering::Relaxed) == ASLEEP
    }

    /// The word that everybody writes who wakes this core: what a sleep that ends by a write watches.
    #[cfg(not(test))]
    #[must_use]
    pub fn word(&'static self) -> &'static core::sync::atomic::AtomicUsize {
        let place = self.word.as_ptr().cast::<usize>();
        // SAFETY: a pointer is as large as a word and aligned like one, lives for good here, and both are only ever used as
        // atomics of that size.
        unsafe { core::sync::atomic::AtomicUsize::from_ptr(place) }
    }

    /// Says that this core is going to sleep. `false`: there are letters, it must not. After `true` it looks once more at
    /// what is not in here, sleeps until an interrupt, and calls [`take`](Self::take), by which it is awake again.
    #[must_use]
    pub fn try_sleep(&self) -> bool {
        let asleep = self.word.compare_exchange(AWAKE, ASLEEP, Ordering::Relaxed, Ordering::Relaxed).is_ok();
        fence(Ordering::SeqCst); // "asleep" before the last look
        asleep
    }

    /// Takes all letters, for this core alone; it is awake from here on.
    pub fn take(&self) -> Letters {
        let newest = self.word.swap(AWAKE, Ordering::Acquire);
        fence(Ordering::SeqCst); // "awake" before whatever this core looks at next
        Letters { next: if newest == ASLEEP { AWAKE } else { in_order(newest) } }
    }
}

impl Default for Mailbox {
    fn default() -> Self {
        Self::new()
    }
}

/// Turns a list that begins with its newest letter round; the first one posted.
fn in_order(mut newest: *mut Node) -> *mut Node {
    let mut first = ptr::null_mut();
    while let Some(node) = NonNull::new(newest) {
        // SAFETY: by `post`'s contract a letter lives until its `act`, and those taken are the taker's.
        newest = unsafe { node.as_ref().older.with_mut(|older| ptr::replace(older, first)) };
        first = node.as_ptr();
    }
    first
}

/// Letters that were taken, in the order they were posted.
#[derive(Debug)]
#[must_use = "a letter that is not delivered is a wake-up that is lost"]
pub struct Letters {
    next: *mut Node,
}

impl Letters {
    /// Calls each letter's `act`; how many there were.
    pub fn deliver(self) -> usize {
        let mut next = self.next;
        let mut count = 0;
        while let Some(node) = NonNull::new(next) {
            // SAFETY: as in `in_order`; the node may be gone as soon as `act` is called, so the next is read before.
            let act = unsafe {
                next = node.as_ref().older.with(|place| *place);
                node.as_ref().act
            };
            // SAFETY: `post`'s caller has allowed this call, on this core.
            unsafe { act(node) };
            count += 1;
        }
        count
    }
}
