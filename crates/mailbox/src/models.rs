//! Every interleaving of cores that post, sleep, wait, wake and give up, as loom runs them.

#![expect(unsafe_code, reason = "letters are made and posted here")]

use crate::{Mailbox, Node, WaitList, Waiter, Wakes};
use core::ptr::NonNull;
use loom::sync::atomic::Ordering::{Acquire, Relaxed, Release};
use loom::sync::atomic::{AtomicBool, fence};
use loom::sync::{Arc, Mutex, Notify};
use loom::thread;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

/// A core to be: its mailbox and its interrupt line, and counts that are no part of the model.
struct Core {
    mailbox: Mailbox,
    interrupt: Notify,
    interrupts: AtomicUsize,
    sleeps: AtomicUsize,
}

impl Core {
    fn new() -> Arc<Core> {
        Arc::new(Core {
            mailbox: Mailbox::new(),
            interrupt: Notify::new(),
            interrupts: AtomicUsize::new(0),
            sleeps: AtomicUsize::new(0),
        })
    }

    fn raise_if(&self, asleep: bool) {
        if asleep {
            self.interrupts.fetch_add(1, SeqCst);
            self.interrupt.notify();
        }
    }

    fn send(&self, wakes: &mut Wakes) {
        while let Some(waiter) = wakes.take() {
            // SAFETY: a waiter stays until it has been delivered: `Thread::wait`.
            self.raise_if(unsafe { self.mailbox.post(Waiter::letter(waiter)) });
        }
    }

    /// Sleeps, unless there are letters or `look_again` finds something. The test hangs, and loom says so, where no
    /// interrupt comes.
    fn sleep(&self, look_again: impl Fn() -> bool) {
        if self.mailbox.try_sleep() {
            self.sleeps.fetch_add(1, SeqCst);
            if !look_again() {
                self.interrupt.wait();
            }
        }
    }
}

/// A letter that counts how often it was delivered.
#[repr(C)]
struct Parcel {
    node: Node,
    delivered: loom::cell::Cell<usize>,
}

fn open(node: NonNull<Node>) {
    // SAFETY: only nodes of parcels are posted with this function, and they live until the model ends.
    let parcel = unsafe { node.cast::<Parcel>().as_ref() };
    parcel.delivered.set(parcel.delivered.get() + 1);
}

fn parcel() -> NonNull<Parcel> {
    NonNull::from(Box::leak(Box::new(Parcel { node: Node::new(open), delivered: loom::cell::Cell::new(0) })))
}

/// A model of three threads: all orders with up to three switches that no thread asked for; without a bound it takes hours.
fn model_of_three(model: impl Fn() + Sync + Send + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(3);
    builder.check(model);
}

#[test]
fn every_letter_is_delivered_once_and_a_sleep_ends_by_one_interrupt() {
    model_of_three(|| {
        let core = Core::new();
        let parcels = [parcel(), parcel()].map(|parcel| parcel.as_ptr().expose_provenance());
        let posters = parcels.map(|address| {
            let core = Arc::clone(&core);
            thread::spawn(move || {
                let node = NonNull::new(core::ptr::with_exposed_provenance_mut(address)).unwrap();
                // SAFETY: parcels are freed at the end of the model.
                core.raise_if(unsafe { core.mailbox.post(node) });
            })
        });
        let mut delivered = 0;
        while delivered < parcels.len() {
            delivered += core.mailbox.take().deliver();
            if delivered < parcels.len() {
                core.sleep(|| false);
            }
        }
        posters.into_iter().for_each(|poster| poster.join().unwrap());
        assert!(!core.mailbox.has_letters());
        let (interrupts, sleeps) = (core.interrupts.load(SeqCst), core.sleeps.load(SeqCst));
        assert!(interrupts <= sleeps, "{interrupts} interrupts for {sleeps} sleeps");
        for address in parcels {
            // SAFETY: made by `Box::leak`, and no longer known to anybody.
            let parcel = unsafe { Box::from_raw(core::ptr::with_exposed_provenance_mut::<Parcel>(address)) };
            assert_eq!(parcel.delivered.get(), 1);
        }
    });
}

/// A core that watches its mailbox: whoever writes there ends its sleep, and the interrupt comes when it comes.
#[test]
fn a_sleep_may_end_before_its_interrupt_comes() {
    model_of_three(|| {
        let core = Core::new();
        let posters = [0, 1].map(|_| {
            let core = Arc::clone(&core);
            thread::spawn(move || {
                // SAFETY: parcels are never freed.
                let asleep = unsafe { core.mailbox.post(parcel().cast()) };
                core.interrupt.notify(); // the write itself
                core.raise_if(asleep);
            })
        });
        let mut delivered = 0;
        while delivered < posters.len() {
            delivered += core.mailbox.take().deliver();
            if delivered < posters.len() {
                core.sleep(|| false);
            }
        }
        posters.into_iter().for_each(|poster| poster.join().unwrap());
        assert!(!core.mailbox.has_letters());
        assert!(core.interrupts.load(SeqCst) <= core.sleeps.load(SeqCst));
    });
}

#[test]
fn letters_of_one_sender_stay_in_order() {
    loom::model(|| {
        let core = Core::new();
        let there = Arc::clone(&core);
        let list = Arc::new(Mutex::new(Vec::new()));
        let seen = Arc::clone(&list);
        let poster = thread::spawn(move || {
            for _ in 0..2 {
                let parcel = parcel();
                seen.lock().unwrap().push(parcel.as_ptr().expose_provenance());
                // SAFETY: parcels are freed at the end of the model.
                there.raise_if(unsafe { there.mailbox.post(parcel.cast()) });
            }
        });
        let mut count = core.mailbox.take().deliver();
        poster.join().unwrap();
        count += core.mailbox.take().deliver();
        assert_eq!(count, 2);
        for address in list.lock().unwrap().drain(..) {
            // SAFETY: made by `Box::leak`, and no longer known to anybody.
            drop(unsafe { Box::from_raw(core::ptr::with_exposed_provenance_mut::<Parcel>(address)) });
        }
    });
}

#[test]
fn a_ring_is_not_lost_between_the_last_look_and_sleep() {
    loom::model(|| {
        let core = Core::new();
        let elsewhere = Arc::new(AtomicBool::new(false));
        let (there, flag) = (Arc::clone(&core), Arc::clone(&elsewhere));
        let sender = thread::spawn(move || {
            flag.store(true, Relaxed);
            there.raise_if(there.mailbox.ring());
        });
        while !elsewhere.load(Relaxed) {
            core.sleep(|| elsewhere.load(Relaxed));
            assert_eq!(core.mailbox.take().deliver(), 0);
        }
        sender.join().unwrap();
        assert!(core.interrupts.load(SeqCst) <= core.sleeps.load(SeqCst));
    });
}

/// Letters come to the core that drains its mailbox; in these models each core has one thread, whose number is the core's.
static WOKEN: [AtomicUsize; 2] = [AtomicUsize::new(0), AtomicUsize::new(0)];

fn wake(node: NonNull<Node>) {
    // SAFETY: a waiter that has been posted stays until this call.
    let waiter = unsafe { node.cast::<Waiter>().as_ref() };
    WOKEN[waiter.thread() as usize].fetch_add(1, SeqCst);
}

/// The thread of core `number` waits; after its first look its time is over, if `gives_up`. Whether it was woken.
fn wait(core: &Core, number: u32, list: &Mutex<WaitList>, gives_up: bool) -> bool {
    let waiter = Waiter::new(number, number, wake);
    // SAFETY: this function returns once it has removed the waiter, or got it as a letter.
    unsafe { list.lock().unwrap().push(&waiter) };
    let mut waits = true;
    while WOKEN[number as usize].load(SeqCst) == 0 {
        core.mailbox.take().deliver();
        if WOKEN[number as usize].load(SeqCst) > 0 {
            break;
        }
        if core::mem::take(&mut waits) && gives_up {
            if list.lock().unwrap().remove(&waiter) {
                return false;
            }
        } else {
            core.sleep(|| false);
        }
    }
    true
}

fn clear() {
    WOKEN.iter().for_each(|woken| woken.store(0, SeqCst));
}

// One test for these models, since they share `WOKEN`.
#[test]
fn a_wake_up_reaches_exactly_one_and_none_is_spent_on_who_gave_up() {
    for gives_up in [false, true] {
        loom::model(move || {
            clear();
            let (core, list) = (Core::new(), Arc::new(Mutex::new(WaitList::new())));
            let (there, waiters) = (Arc::clone(&core), Arc::clone(&list));
            let waiting = thread::spawn(move || wait(&there, 0, &waiters, gives_up));
            let mut woke = false;
            while !woke {
                let mut wakes = Wakes::new();
                woke = list.lock().unwrap().wake_one(&mut wakes);
                core.send(&mut wakes);
                if gives_up {
                    break;
                }
                thread::yield_now();
            }
            assert_eq!(waiting.join().unwrap(), woke);
            assert!(list.lock().unwrap().is_empty() || !woke);
        });
    }
    // Two threads on two cores, one of which gives up, and one wake-up.
    model_of_three(|| {
        clear();
        let cores = [Core::new(), Core::new()];
        let list = Arc::new(Mutex::new(WaitList::new()));
        let threads = [0, 1].map(|number| {
            let (core, list) = (Arc::clone(&cores[number as usize]), Arc::clone(&list));
            thread::spawn(move || wait(&core, number, &list, true))
        });
        let mut wakes = Wakes::new();
        let woke = list.lock().unwrap().wake_one(&mut wakes);
        while let Some(waiter) = wakes.take() {
            // SAFETY: a waiter that was taken off its list stays until it is delivered.
            let core = &cores[unsafe { waiter.as_ref() }.core() as usize];
            // SAFETY: as above.
            core.raise_if(unsafe { core.mailbox.post(Waiter::letter(waiter)) });
        }
        let woken = threads.map(|thread| thread.join().unwrap()).iter().filter(|woken| **woken).count();
        assert_eq!(woken, usize::from(woke));
        assert!(list.lock().unwrap().is_empty());
    });
}

/// What several threads want, and one holds; who holds it may end by a fault, as `Guarded::wait_for_holder` knows.
struct Held {
    state: Mutex<(bool, WaitList)>,
    holder_lives: AtomicBool,
    watching: loom::sync::atomic::AtomicUsize,
}

/// The one that waits was handed what was held.
static HANDED_OVER: AtomicUsize = AtomicUsize::new(0);

fn hand_over(_: NonNull<Node>) {
    HANDED_OVER.store(1, SeqCst);
}

/// The thread of core 0 waits for what is held; whether it was handed over, or inherited.
fn wait_for_holder(core: &Core, held: &Held, notice: NonNull<Parcel>) -> bool {
    held.watching.fetch_add(1, Relaxed);
    fence(loom::sync::atomic::Ordering::SeqCst);
    let waiter = Waiter::new(0, 0, hand_over);
    let take = |state: &mut (bool, WaitList)| {
        let takes = !state.0 || !held.holder_lives.load(Acquire);
        state.0 |= takes;
        takes
    };
    {
        let mut state = held.state.lock().unwrap();
        if take(&mut state) {
            return false;
        }
        // SAFETY: this function returns once it has removed the waiter, or got it as a letter.
        unsafe { state.1.push(&waiter) };
    }
    loop {
        core.mailbox.take().deliver();
        if HANDED_OVER.load(SeqCst) > 0 {
            return true;
        }
        // SAFETY: the parcel lives until the model ends.
        if unsafe { notice.as_ref() }.delivered.replace(0) > 0 {
            let mut state = held.state.lock().unwrap();
            if state.1.holds(&waiter) && take(&mut state) {
                assert!(state.1.remove(&waiter));
                return false;
            }
        } else {
            core.sleep(|| false);
        }
    }
}

#[test]
fn nobody_waits_for_a_holder_that_has_ended() {
    for dies in [false, true] {
        loom::model(move || {
            HANDED_OVER.store(0, SeqCst);
            let core = Core::new();
            let held = Arc::new(Held {
                state: Mutex::new((true, WaitList::new())),
                holder_lives: AtomicBool::new(true),
                watching: loom::sync::atomic::AtomicUsize::new(0),
            });
            let notice = parcel().as_ptr().expose_provenance();
            let at = |address| NonNull::new(core::ptr::with_exposed_provenance_mut::<Parcel>(address)).unwrap();
            let (there, wanted) = (Arc::clone(&core), Arc::clone(&held));
            let waiting = thread::spawn(move || wait_for_holder(&there, &wanted, at(notice)));
            if dies {
                held.holder_lives.store(false, Release);
                fence(loom::sync::atomic::Ordering::SeqCst);
                if held.watching.load(Relaxed) > 0 {
                    // SAFETY: the parcel is freed at the end of the model.
                    core.raise_if(unsafe { core.mailbox.post(at(notice).cast()) });
                }
            } else {
                let mut wakes = Wakes::new();
                let mut state = held.state.lock().unwrap();
                state.0 = state.1.wake_one(&mut wakes);
                drop(state);
                core.send(&mut wakes);
            }
            let handed_over = waiting.join().unwrap();
            assert!(held.state.lock().unwrap().0 && !(dies && handed_over));
            // SAFETY: made by `Box::leak`, and no longer known to anybody.
            drop(unsafe { Box::from_raw(at(notice).as_ptr()) });
        });
    }
}
