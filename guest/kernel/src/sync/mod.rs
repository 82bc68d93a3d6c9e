//! Synchronisation between threads, shaped after `std::sync`; all of it can stand in a static.
//!
//! Everything here is a [`Guarded`] state with the lists of those who wait for it, whatever cores they are on, and hands what
//! was waited for (a lock, a turn) straight to the thread that waited longest: nobody who comes later overtakes it, and a
//! woken thread never finds the thing gone. A lock whose holder ends by a fault is *poisoned*: it says which thread holds it, by its
//! ticket, so that those who want it find out that this one lives no more, and those who wait for it are told to look.

mod barrier;
mod channel;
mod collective;
mod condvar;
mod lazy;
mod mutex;
mod once;
mod poison;
mod rwlock;

pub use crate::sched::{Guarded, WaitList, WaitOutcome, Wakes};
pub use barrier::{Barrier, BarrierWaitResult};
pub use channel::{
    IntoIter, Iter, Receiver, RecvError, RecvTimeoutError, SendError, Sender, SyncSender, TryIter, TryRecvError,
    TrySendError, channel, sync_channel,
};
pub(crate) use collective::is_inside as is_inside_collective;
pub use collective::{all_reduce, broadcast, gather, reduce, scatter};
pub use condvar::{Condvar, WaitTimeoutResult};
pub use lazy::{LazyLock, OnceLock};
pub use mutex::{Mutex, MutexGuard, WouldBlock};
pub use once::Once;
pub use poison::{LockResult, PoisonError};
pub use rwlock::{RwLock, RwLockReadGuard, RwLockWriteGuard};
