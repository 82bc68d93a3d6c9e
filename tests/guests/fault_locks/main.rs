//! Threads that fault while they hold a lock: nobody waits for them, and what they held is poisoned.
#![no_std]
#![no_main]

use core::hint::black_box;
use toro::fault::{self, catch};
use toro::prelude::*;
use toro::sync::atomic::{AtomicU32, Ordering::Relaxed};
use toro::sync::{Arc, Condvar, LazyLock, Mutex, Once, OnceLock, PoisonError, RwLock};
use toro::thread::{self, Builder, CoreId, JoinHandle};

toro::main!(main);

fn main() {
    for core in thread::cores() {
        mutex(core);
        waiters(core);
        rwlock(core);
        once(core);
    }
    condvar();
    stress();
    println!("nobody waits");
}

/// A thread of `core` that ends by a fault, told to nobody.
fn faulty(core: CoreId, f: impl FnOnce() + Send + 'static) {
    assert!(Builder::new().core(core).catch(f).expect("a thread").is_err());
}

fn there<T: Send + 'static>(core: CoreId, f: impl FnOnce() -> T + Send + 'static) -> JoinHandle<T> {
    thread::spawn_on(core, f)
}

fn mutex(core: CoreId) {
    static VALUE: Mutex<u32> = Mutex::new(1);
    *VALUE.lock() = 1;
    faulty(core, || {
        let mut held = VALUE.lock();
        *held = 2;
        black_box(&mut held);
        fault::raise(());
    });
    assert!(VALUE.is_poisoned());
    assert!(catch(|| drop(VALUE.lock())).is_err_and(|fault| fault.message().contains("poisoned")));
    assert!(catch(|| drop(VALUE.try_lock())).is_err());
    let held = VALUE.checked_lock().expect_err("it is poisoned").into_inner();
    assert_eq!(*held, 2);
    assert!(format!("{VALUE:?}").contains("<locked>"));
    drop(held);
    assert!(VALUE.is_poisoned());
    VALUE.clear_poison();
    assert!(!VALUE.is_poisoned() && VALUE.checked_lock().is_ok());
    // Cleared before anybody has looked.
    faulty(core, || panic!("{}", VALUE.lock()));
    VALUE.clear_poison();
    assert_eq!(VALUE.try_lock().map(|value| *value).ok(), Some(2));
    // A lock that was given back is as sound as any, whatever its thread comes to.
    faulty(core, || {
        drop(VALUE.lock());
        fault::raise(());
    });
    assert_eq!(*VALUE.lock(), 2);
}

/// Those who wait already, on all cores, are told.
fn waiters(core: CoreId) {
    let lock = Arc::new(Mutex::new(Vec::new()));
    // Whether the lock is held, how many are about to wait for it, and whether its holder is to fault.
    let [held, begun, faults] = [(); 3].map(|()| Arc::new(AtomicU32::new(0)));
    let (theirs, is_held, is_over) = (Arc::clone(&lock), Arc::clone(&held), Arc::clone(&faults));
    let holder = Builder::new().core(core).spawn(move || {
        theirs.lock().push(0);
        let _held = theirs.lock();
        is_held.store(1, Relaxed);
        wait_until(|| is_over.load(Relaxed) == 1);
        fault::raise(())
    });
    wait_until(|| held.load(Relaxed) == 1);
    let mut waiting = Vec::new();
    for number in 1..=6 {
        let (lock, begins) = (Arc::clone(&lock), Arc::clone(&begun));
        let core = thread::cores().nth(number as usize % thread::cores().len()).expect("a core");
        waiting.push(there(core, move || {
            begins.fetch_add(1, Relaxed);
            lock.checked_lock().unwrap_or_else(PoisonError::into_inner).push(number);
        }));
    }
    wait_until(|| begun.load(Relaxed) == 6);
    let_them_wait();
    faults.store(1, Relaxed);
    assert!(holder.expect("a thread").join().is_err());
    waiting.into_iter().for_each(|thread| thread.join().expect("it is told"));
    let mut order = lock.checked_lock().expect_err("it is poisoned").into_inner();
    order.sort_unstable();
    assert_eq!(*order, [0, 1, 2, 3, 4, 5, 6]);
}

fn wait_until(is_so: impl Fn() -> bool) {
    while !is_so() {
        thread::yield_now();
    }
}

fn rwlock(core: CoreId) {
    let lock = Arc::new(RwLock::new(5));
    let fault_with = |hold: fn(&RwLock<u32>)| {
        let lock = Arc::clone(&lock);
        faulty(core, move || hold(&lock));
    };
    // Who reads poisons nothing, and holds nobody up.
    fault_with(|lock| {
        let _first = (lock.read(), lock.try_read());
        fault::raise(())
    });
    assert!(!lock.is_poisoned());
    *lock.write() = 6;
    let [held, faults] = [(); 2].map(|()| Arc::new(AtomicU32::new(0)));
    let (other, is_held, is_over) = (Arc::clone(&lock), Arc::clone(&held), Arc::clone(&faults));
    let reader = Builder::new().core(core).spawn(move || {
        let value = other.read();
        is_held.store(1, Relaxed);
        wait_until(|| is_over.load(Relaxed) == 1);
        fault::raise(*value)
    });
    wait_until(|| held.load(Relaxed) == 1);
    let other = Arc::clone(&lock);
    let writer = thread::spawn(move || *other.write() += 1);
    let other = Arc::clone(&lock);
    let behind = there(core, move || *other.read());
    let_them_wait();
    faults.store(1, Relaxed);
    assert!(reader.expect("a thread").join().is_err());
    writer.join().expect("nobody reads any more");
    assert!(matches!(behind.join(), Ok(6 | 7)));
    assert_eq!(*lock.read(), 7);
    fault_with(|lock| {
        *lock.write() = 8;
        let _held = lock.write();
        fault::raise(())
    });
    assert!(lock.is_poisoned() && lock.checked_read().is_err());
    let other = Arc::clone(&lock);
    assert!(catch(move || *other.read()).is_err());
    *lock.checked_write().expect_err("it is poisoned").into_inner() = 9;
    lock.clear_poison();
    assert_eq!(*lock.read(), 9);
    assert!(lock.try_write().is_ok());
    // The clones that the frames had are lost, and so this one is never the last.
    assert!(Arc::into_inner(lock).is_none());
}

fn once(core: CoreId) {
    let once = Arc::new(Once::new());
    let other = Arc::clone(&once);
    faulty(core, move || other.call_once(|| fault::raise(())));
    let other = Arc::clone(&once);
    assert!(catch(move || other.call_once(|| {})).is_err());
    once.call_once_force(|| {});
    once.call_once(|| unreachable!());

    let cell = Arc::new(OnceLock::new());
    let other = Arc::clone(&cell);
    faulty(core, move || println!("{}", other.get_or_init(|| -> u32 { fault::raise(()) })));
    assert_eq!((cell.get(), *cell.get_or_init(|| 3), cell.get()), (None, 3, Some(&3)));

    let lazy: Arc<LazyLock<u32>> = Arc::new(LazyLock::new(|| fault::raise(())));
    for _ in 0..2 {
        let other = Arc::clone(&lazy);
        faulty(core, move || println!("{}", **other));
    }
    // Who waits while it is made, too.
    let once = Arc::new(Once::new());
    let [begun, faults] = [(); 2].map(|()| Arc::new(AtomicU32::new(0)));
    let (other, has_begun, is_over) = (Arc::clone(&once), Arc::clone(&begun), Arc::clone(&faults));
    let maker = Builder::new().core(core).spawn(move || {
        other.call_once(|| {
            has_begun.store(1, Relaxed);
            wait_until(|| is_over.load(Relaxed) == 1);
            fault::raise(())
        });
    });
    wait_until(|| begun.load(Relaxed) == 1);
    let other = Arc::clone(&once);
    let waits = thread::spawn(move || other.call_once_force(|| {}));
    let_them_wait();
    faults.store(1, Relaxed);
    assert!(maker.expect("a thread").join().is_err());
    waits.join().expect("it is told");
    assert!(once.is_completed());
}

/// Gives those who are about to wait the time to do so, as far as that goes: what comes of it must be the same.
fn let_them_wait() {
    (0..100).for_each(|_| thread::yield_now());
}

fn condvar() {
    static STATE: Mutex<u32> = Mutex::new(0);
    static CHANGED: Condvar = Condvar::new();
    let waits = Builder::new().spawn(|| drop(CHANGED.wait_while(STATE.lock(), |state| *state == 0)));
    thread::yield_now();
    faulty(thread::current_core(), || {
        *STATE.lock() = 1;
        CHANGED.notify_one();
        let _held = STATE.lock();
        fault::raise(())
    });
    // It was woken, and finds the lock poisoned.
    let fault = waits.expect("a thread").join().expect_err("the lock is poisoned");
    assert!(fault.message().contains("poisoned"), "{fault}");
}

/// Threads on all cores fault now and then while they hold a lock for which the others wait.
fn stress() {
    const EACH: u32 = 200;
    static COUNT: Mutex<u32> = Mutex::new(0);
    static SHARED: RwLock<u32> = RwLock::new(0);
    let work = |seed: u64| {
        let mut random = seed;
        let mut faults = 0;
        for _ in 0..EACH {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            let choice = random >> 60;
            let one = move || {
                let mut count = COUNT.checked_lock().unwrap_or_else(PoisonError::into_inner);
                let shared = SHARED.checked_read().unwrap_or_else(PoisonError::into_inner);
                if choice.is_multiple_of(2) {
                    thread::yield_now();
                }
                if choice == 7 {
                    fault::raise(());
                }
                drop(shared);
                *SHARED.checked_write().unwrap_or_else(PoisonError::into_inner) += 1;
                *count += 1;
                if choice == 9 {
                    fault::raise(());
                }
            };
            faults += u32::from(catch(one).is_err() && choice == 7);
        }
        faults
    };
    let cores = thread::cores().len() as u64;
    let threads: Vec<_> = (0..4 * cores)
        .map(|seed| there(thread::cores().nth((seed % cores) as usize).expect("a core"), move || work(seed)))
        .collect();
    let faults: u32 = threads.into_iter().map(|thread| thread.join().expect("its faults are caught")).sum();
    let all = 4 * cores as u32 * EACH - faults;
    COUNT.clear_poison();
    SHARED.clear_poison();
    assert_eq!((*COUNT.lock(), *SHARED.read(), faults > 0), (all, all, true));
}
