//! Synchronisation between threads, shaped after `std::sync`; all of it can stand in a static.
//!
//! Everything here is a [`Guarded`] state with the lists of those who wait for it, whatever cores they are on, and hands what
//! was waited for (a lock, a turn) straight to the thread that waited longest: nobody who comes later overtakes it, and a
//! woken thread never finds the thing gone. There is no poisoning yet: a panic ends the machine, so nobody sees a lock whose
//! holder panicked.

mod barrier;
mod channel;
mod collective;
mod condvar;
mod lazy;
mod mutex;
mod once;
mod rwlock;

pub use crate::sched::{Guarded, WaitList, WaitOutcome, Wakes};
pub use barrier::{Barrier, BarrierWaitResult};
pub use channel::{
    IntoIter, Iter, Receiver, RecvError, RecvTimeoutError, SendError, Sender, SyncSender, TryIter, TryRecvError,
    TrySendError, channel, sync_channel,
};
pub use collective::{all_reduce, broadcast, gather, reduce, scatter};
pub use condvar::{Condvar, WaitTimeoutResult};
pub use lazy::{LazyLock, OnceLock};
pub use mutex::{Mutex, MutexGuard, WouldBlock};
pub use once::Once;
pub use rwlock::{RwLock, RwLockReadGuard, RwLockWriteGuard};
