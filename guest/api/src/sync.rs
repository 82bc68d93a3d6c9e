//! Synchronisation between threads, shaped after `std::sync`; all of it can stand in a static.
//!
//! ```no_run
//! # fn example() {
//! use toro::sync::{Condvar, Mutex};
//!
//! static READY: Mutex<bool> = Mutex::new(false);
//! static CHANGED: Condvar = Condvar::new();
//!
//! let worker = toro::thread::spawn(|| {
//!     *READY.lock() = true;
//!     CHANGED.notify_one();
//! });
//! let ready = CHANGED.wait_while(READY.lock(), |ready| !*ready);
//! assert!(*ready);
//! # }
//! ```
//!
//! Locks are handed over in the order in which threads asked. One whose holder ends by a fault is *poisoned*: what it guards may be
//! half changed, for a fault strikes between any two instructions. `lock()` returns the guard itself, and panics when the lock
//! is poisoned, which is what most programs mean by `lock().unwrap()`; [`Mutex::checked_lock`] returns what `lock` does in `std`.
//! A thread that reads an [`RwLock`] poisons nothing. Nobody waits for a thread that has ended.
//!
//! # All cores together
//!
//! [`broadcast`], [`reduce`], [`all_reduce`], [`scatter`], [`gather`] and [`Barrier::of_cores`] are for one thread on each core
//! that runs. All of them call the same operations in the same order. A value of any `Copy` type goes from stack to stack along
//! a tree, so that the number of steps one after the other grows with the logarithm of the cores.
//!
//! ```no_run
//! # fn example() {
//! use toro::prelude::*;
//! use toro::sync::{Barrier, all_reduce, broadcast, gather, reduce, scatter};
//! use toro::thread::{self, CoreId};
//!
//! const ROOT: CoreId = CoreId::BOOT;
//!
//! fn on_each_core() {
//!     let core = thread::current_core();
//!     let seed = broadcast(ROOT, if core == ROOT { toro::random::u64() } else { 0 });
//!     let numbers: Option<Vec<u64>> = (core == ROOT).then(|| (0..10 * thread::cores().len() as u64).collect());
//!
//!     let mut mine = [0; 10]; // of each core's ten numbers
//!     scatter(ROOT, numbers.as_deref(), &mut mine);
//!     let sum = all_reduce(mine.iter().map(|number| number ^ seed).sum(), u64::wrapping_add);
//!     if let Some(largest) = reduce(ROOT, mine[9], u64::max) {
//!         println!("core {core} alone knows {largest}, all know {sum}");
//!     }
//!     let mut all = vec![[0; 10]; thread::cores().len()];
//!     gather(ROOT, &[mine], Some(&mut all)); // filled on the root
//!     Barrier::of_cores().wait();
//! }
//!
//! let others: Vec<_> = thread::cores().skip(1).map(|core| thread::spawn_on(core, on_each_core)).collect();
//! on_each_core();
//! others.into_iter().for_each(|other| drop(other.join()));
//! # }
//! ```
//!
//! A core that comes late is waited for: its peers look for some microseconds, then their other threads run, or they sleep.
//! Cores that disagree, on the operation, its root or its type, are a panic that says who called what. A core that was named
//! by the machine and never started takes no part, though parts of [`scatter`] and [`gather`] are counted with it; the first
//! operation waits until that is known. A thread that was meant for it, and runs on the first core, does not call them.

pub use alloc::sync::{Arc, Weak};
pub use core::sync::atomic;
pub use toro_kernel::arch::SpinLock;
pub use toro_kernel::sync::{
    Barrier, BarrierWaitResult, Condvar, LazyLock, LockResult, Mutex, MutexGuard, Once, OnceLock, PoisonError, RwLock,
    RwLockReadGuard, RwLockWriteGuard, WaitTimeoutResult, WouldBlock, all_reduce, broadcast, gather, reduce, scatter,
};

/// Messages from many threads to one, shaped after `std::sync::mpsc`.
///
/// ```no_run
/// # fn example() {
/// let (sender, receiver) = toro::sync::mpsc::channel();
/// for number in 0..3 {
///     let sender = sender.clone();
///     toro::thread::spawn(move || sender.send(number));
/// }
/// drop(sender);
/// let sum: i32 = receiver.iter().sum();
/// assert_eq!(sum, 3);
/// # }
/// ```
pub mod mpsc {
    pub use toro_kernel::sync::{
        IntoIter, Iter, Receiver, RecvError, RecvTimeoutError, SendError, Sender, SyncSender, TryIter, TryRecvError,
        TrySendError, channel, sync_channel,
    };
}
