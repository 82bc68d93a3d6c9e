//! Synchronisation between threads, shaped after `std::sync`; all of it can stand in a static.
//!
//! Everything here waits through [`WaitQueue`], and hands what was waited for
//! (a lock, a message's place) straight to the thread that waited longest: nobody who comes later overtakes it, and a woken
//! thread never finds the thing gone. There is no poisoning yet: a panic ends the machine, so nobody sees a lock whose
//! holder panicked.
//!
//! *One core.* The state is changed by plain loads and stores between two scheduling points, where nothing else runs. The
//! `unsafe impl Sync` lines below rest on that.

mod barrier;
mod channel;
mod condvar;
mod lazy;
mod mutex;
mod once;
mod rwlock;

pub use crate::sched::{WaitOutcome, WaitQueue};
pub use barrier::{Barrier, BarrierWaitResult};
pub use channel::{
    IntoIter, Iter, Receiver, RecvError, RecvTimeoutError, SendError, Sender, SyncSender, TryIter, TryRecvError,
    TrySendError, channel, sync_channel,
};
pub use condvar::{Condvar, WaitTimeoutResult};
pub use lazy::{LazyLock, OnceLock};
pub use mutex::{Mutex, MutexGuard, WouldBlock};
pub use once::Once;
pub use rwlock::{RwLock, RwLockReadGuard, RwLockWriteGuard};
