//! What threads of all cores share and wait for: the one mechanism under every blocking call that is not a core's own.

#![expect(unsafe_code, reason = "a waiting thread's place on a list lies on its stack")]

use super::{CORE, WaitList, WaitOutcome, Wakes, letters, notices, shortage, turn};
use crate::arch::{SpinLock, depth};
use core::fmt;

/// A state and the lists of those who wait for it to change, under one lock.
///
/// ```ignore
/// struct Gate { open: bool, outside: WaitList }
///
/// gate.wait(|gate| &mut gate.outside, None, |gate, _| gate.open.then_some(()))     // looks and waits, in one step
/// gate.with(|gate, wakes| { gate.open = true; gate.outside.wake_all(wakes); });    // changes and wakes
/// ```
/// What is passed to it runs under a [`SpinLock`]: it is short, allocates and drops nothing, and calls nobody back. Threads are
/// woken once the lock is released.
///
/// With `LONG` it may be longer, and allocate: a core that waits for the lock gives back memory that others ask for.
pub struct Guarded<S, const LONG: bool = false> {
    state: SpinLock<S>,
}

impl<S, const LONG: bool> Guarded<S, LONG> {
    /// A state for which nobody waits.
    #[must_use]
    pub const fn new(state: S) -> Self {
        Guarded { state: SpinLock::new(state) }
    }

    /// Looks at the state, changes it, and wakes whom `f` takes off its lists.
    #[inline]
    pub fn with<R>(&self, f: impl FnOnce(&mut S, &mut Wakes) -> R) -> R {
        let _kernel = depth::enter();
        let mut wakes = Wakes::new();
        let result = self.enter(|state| f(state, &mut wakes));
        letters::wake(wakes);
        result
    }

    /// Looks at the state and changes it; wakes nobody.
    #[inline]
    pub fn enter<R>(&self, f: impl FnOnce(&mut S) -> R) -> R {
        if LONG { self.state.with_meanwhile(shortage::answer, f) } else { self.state.with(f) }
    }

    /// Asks once for what the thread wants; if the answer is `None`, waits on `list` until somebody takes it off there, or until
    /// `deadline_ns`. Nothing can change between question and waiting.
    ///
    /// # Errors
    /// The thread has waited. This is how that ended: woken, it looks again, unless being woken is the answer.
    pub fn wait<R>(
        &self,
        list: impl Fn(&mut S) -> &mut WaitList,
        deadline_ns: Option<u64>,
        ask: impl FnOnce(&mut S, &mut Wakes) -> Option<R>,
    ) -> Result<R, WaitOutcome> {
        self.wait_after(list, deadline_ns, ask, || {})
    }

    /// As [`wait`](Self::wait); a thread that is to wait calls `release` once it is on the list.
    pub fn wait_after<R>(
        &self,
        list: impl Fn(&mut S) -> &mut WaitList,
        deadline_ns: Option<u64>,
        ask: impl FnOnce(&mut S, &mut Wakes) -> Option<R>,
        release: impl FnOnce(),
    ) -> Result<R, WaitOutcome> {
        self.wait_until(list, ask, || {
            release();
            deadline_ns
        })
    }

    /// As [`wait`](Self::wait); a thread that is to wait asks `deadline_ns` for its deadline, once it is on the list.
    ///
    /// # Errors
    /// As there.
    #[inline]
    pub fn wait_until<R>(
        &self,
        list: impl Fn(&mut S) -> &mut WaitList,
        ask: impl FnOnce(&mut S, &mut Wakes) -> Option<R>,
        deadline_ns: impl FnOnce() -> Option<u64>,
    ) -> Result<R, WaitOutcome> {
        let mut waiter = None;
        let answer = self.with(|state, wakes| {
            let answer = ask(state, wakes);
            if answer.is_none() {
                let waiter = waiter.insert(letters::waiter());
                // SAFETY: `wait_on_list` returns when the waiter was removed, or has come to this core as a letter.
                unsafe { list(state).push(waiter) };
            }
            answer
        });
        answer.ok_or_else(|| {
            let deadline_ns = deadline_ns();
            let _kernel = depth::enter();
            let remove = |waiter| self.enter(|state| list(state).remove(waiter));
            wait_on_list(deadline_ns, || waiter.as_ref().is_some_and(remove))
        })
    }
}

impl<S> Guarded<S> {
    /// Asks for what another thread may hold; if the answer is `None`, waits on `list` until it is handed over: then `None` is
    /// what is returned. When a thread has ended by a fault meanwhile, it may have been the one, and `ask` is asked again.
    pub fn wait_for_holder<R>(
        &self,
        list: impl Fn(&mut S) -> &mut WaitList,
        ask: impl Fn(&mut S, &mut Wakes) -> Option<R>,
    ) -> Option<R> {
        let _kernel = depth::enter();
        let _watching = notices::watch(); // before the question: an end that is not seen there is told
        let waiter = letters::waiter();
        let mut answer = self.with(|state, wakes| {
            let answer = ask(state, wakes);
            if answer.is_none() {
                // SAFETY: this function returns when the waiter was removed, or has come to this core as a letter.
                unsafe { list(state).push(&waiter) };
            }
            answer
        });
        while answer.is_none() {
            CORE.with(|core| core.threads.suspend(None));
            turn::give_way();
            if CORE.with(|core| core.threads.outcome()) == WaitOutcome::Woken {
                return None;
            }
            answer = self.with(|state, wakes| {
                if !list(state).holds(&waiter) {
                    return None; // its letter is under way
                }
                let answer = ask(state, wakes)?;
                list(state).remove(&waiter);
                Some(answer)
            });
        }
        answer
    }
}

/// Waits on the list on which the running thread is. `give_up` takes it off there, or says that somebody has.
fn wait_on_list(deadline_ns: Option<u64>, give_up: impl FnOnce() -> bool) -> WaitOutcome {
    CORE.with(|core| core.threads.suspend(deadline_ns));
    turn::give_way();
    if CORE.with(|core| core.threads.outcome()) == WaitOutcome::Woken {
        return WaitOutcome::Woken;
    }
    if give_up() {
        return WaitOutcome::TimedOut;
    }
    // Somebody has woken this thread, on whose stack the letter lies: it must arrive first.
    CORE.with(|core| core.threads.suspend(None));
    turn::give_way();
    WaitOutcome::Woken
}

impl<S, const LONG: bool> fmt::Debug for Guarded<S, LONG> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Guarded").finish_non_exhaustive()
    }
}
