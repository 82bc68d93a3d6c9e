//! What the cores' networks tell each other: an inbox for each, with room for so many letters and no more.
//!
//! Whoever puts letters into one rings afterwards, once for all of them; the core looks when it polls, and before it sleeps.

use crate::arch::SpinLock;
use crate::arch::cores::{self, CORES_MAX, CoreId};
use crate::sched;
use alloc::boxed::Box;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use toro_netstack::Message;

/// Messages of stacks that may wait for a core; past it they are lost, as packets may be.
const MESSAGES_MAX: usize = 256;
/// With room for the few letters that are not lost, because nobody says them again.
const LETTERS_MAX: usize = MESSAGES_MAX + 2 * CORES_MAX;

/// What a core tells another.
pub(super) enum Letter {
    /// From stack to stack.
    Stack(Message),
    /// To core 0: this core begins, with that pair of queues or without.
    Join { core: u8, pair: Option<u16> },
    /// From core 0: the card uses the core's own pair.
    Active,
    /// From core 0: the core is to use the shared queue.
    Shared,
}

impl Letter {
    fn is_said_once(&self) -> bool {
        if let Letter::Stack(message) = self { message.is_said_once() } else { true }
    }

    fn replaces(&self, before: &Letter) -> bool {
        matches!((self, before), (Letter::Stack(message), Letter::Stack(before)) if message.replaces(before))
    }
}

/// Letters in the order they came.
pub(super) struct Letters(Vec<Letter>);

struct Inbox {
    /// `None` until the core begins: those for it are lost.
    letters: SpinLock<Option<Box<Letters>>>,
    /// There are some.
    waiting: AtomicBool,
    dropped: AtomicU64,
}

static INBOXES: [Inbox; CORES_MAX] =
    [const { Inbox { letters: SpinLock::new(None), waiting: AtomicBool::new(false), dropped: AtomicU64::new(0) } };
        CORES_MAX];

/// Makes room for this core's letters, and as much for those taken out of the inbox.
#[cold]
#[inline(never)]
pub(super) fn open() -> Box<Letters> {
    let [inbox, taken] = [(); 2].map(|()| {
        let mut letters = Vec::new();
        if letters.try_reserve_exact(LETTERS_MAX).is_err() {
            log::error!("no memory for what other cores have to say to core {}", cores::current());
        }
        Box::new(Letters(letters))
    });
    here().letters.with(|letters| *letters = Some(inbox));
    taken
}

fn here() -> &'static Inbox {
    &INBOXES[cores::current().index()]
}

/// Puts a letter into a core's inbox; whoever put all that are to come says so with [`ring`].
#[inline(never)]
pub(super) fn put(core: usize, letter: Letter) {
    let inbox = &INBOXES[core];
    // What is left over is freed outside the lock.
    let (_left, kept) = inbox.letters.with(|letters| match letters {
        Some(letters) => {
            let (left, kept) = letters.add(letter);
            if kept {
                inbox.waiting.store(true, Relaxed);
            }
            (left, kept)
        }
        None => (Some(letter), false),
    });
    if !kept {
        inbox.dropped.fetch_add(1, Relaxed);
    }
}

/// Tells the cores of a set that there are letters.
#[inline(never)]
pub(super) fn ring(mut set: u64) {
    while set != 0 {
        if let Some(core) = CoreId::new(set.trailing_zeros() as usize) {
            sched::ring(core);
        }
        set &= set - 1;
    }
}

/// One letter.
#[inline(never)]
pub(super) fn send(core: usize, letter: Letter) {
    put(core, letter);
    ring(1 << core);
}

/// Whether letters wait for this core.
#[inline]
pub(super) fn is_waiting() -> bool {
    here().waiting.load(Relaxed)
}

impl Letters {
    /// Adds a letter, if there is room for it; what is left over, and whether the letter was added.
    #[inline]
    fn add(&mut self, letter: Letter) -> (Option<Letter>, bool) {
        let most = if letter.is_said_once() { LETTERS_MAX } else { MESSAGES_MAX };
        if self.0.len() >= MESSAGES_MAX
            && let Some(before) = self.0.iter_mut().find(|before| letter.replaces(before))
        {
            return (Some(core::mem::replace(before, letter)), true);
        }
        if self.0.len() >= most.min(self.0.capacity()) {
            return (Some(letter), false);
        }
        self.0.push(letter);
        (None, true)
    }

    /// Exchanges these, which were read, for those that wait for this core.
    pub(super) fn exchange(self: &mut Box<Self>) {
        here().letters.with(|letters| {
            if let Some(letters) = letters {
                core::mem::swap(letters, self);
            }
            here().waiting.store(false, Relaxed);
        });
    }

    /// Takes one after the other.
    pub(super) fn read(&mut self) -> impl Iterator<Item = Letter> {
        self.0.drain(..)
    }
}

/// Letters for this core that found no room.
pub(super) fn dropped() -> u64 {
    here().dropped.load(Relaxed)
}
