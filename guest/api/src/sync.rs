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
//! Locks are handed over in the order in which threads asked, and they are not poisoned: a panic ends the machine, so
//! nobody sees a lock whose holder panicked. `lock()` therefore returns the guard itself.

pub use alloc::sync::{Arc, Weak};
pub use core::sync::atomic;
pub use toro_kernel::sync::{
    Barrier, BarrierWaitResult, Condvar, LazyLock, Mutex, MutexGuard, Once, OnceLock, RwLock, RwLockReadGuard,
    RwLockWriteGuard, WaitTimeoutResult, WouldBlock,
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
