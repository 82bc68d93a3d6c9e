//! Readiness: how an object tells those who wait for it.
//!
//! An object owns a [`Source`] and calls [`Source::notify`] when something may have become possible. Whoever waits is on the
//! source first and looks at the object then, so nothing is lost in between: a thread parks with a permit that the
//! notification gives, an epoll item goes onto its list. Notifications may come from the network's poller: nothing here waits.

use crate::objects::epoll::Item;
use crate::task::TaskHandle;
use core::fmt;
use toro::prelude::*;
use toro::sync::{Arc, SpinLock};
use toro_linux_abi::raw::{EPOLLERR, EPOLLHUP, EPOLLIN, EPOLLOUT, EPOLLPRI, EPOLLRDHUP, EPOLLRDNORM, EPOLLWRNORM};

/// What is possible with an object: bits of `poll` and `epoll`, which are the same.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Events(pub u32);

impl Events {
    /// Nothing.
    pub(crate) const NONE: Self = Events(0);
    /// A read would not wait.
    pub(crate) const IN: Self = Events(EPOLLIN | EPOLLRDNORM);
    /// A write would not wait.
    pub(crate) const OUT: Self = Events(EPOLLOUT | EPOLLWRNORM);
    /// There is urgent data.
    pub(crate) const PRIORITY: Self = Events(EPOLLPRI);
    /// The other side will send no more.
    pub(crate) const READ_HUP: Self = Events(EPOLLRDHUP);
    /// Both directions have ended.
    pub(crate) const HUP: Self = Events(EPOLLHUP);
    /// There is an error to fetch.
    pub(crate) const ERROR: Self = Events(EPOLLERR);
    /// What is told though nobody asked for it.
    pub(crate) const ALWAYS: Self = Events(EPOLLERR | EPOLLHUP);

    /// These and those.
    pub(crate) const fn and(self, other: Self) -> Self {
        Events(self.0 | other.0)
    }

    /// These if `condition` holds, else none.
    pub(crate) const fn when(self, condition: bool) -> Self {
        if condition { self } else { Self::NONE }
    }

    /// Those of these that are among `wanted`.
    pub(crate) const fn among(self, wanted: Self) -> Self {
        Events(self.0 & wanted.0)
    }

    /// Whether there are none.
    pub(crate) const fn is_none(self) -> bool {
        self.0 == 0
    }
}

/// Who is told.
#[derive(Clone)]
pub(crate) enum Watcher {
    /// A thread that waits.
    Task(TaskHandle),
    /// An entry of an epoll instance.
    Item(Arc<Item>),
}

impl Watcher {
    fn notify(&self) {
        match self {
            Self::Task(task) => task.wake(),
            Self::Item(item) => item.notify(),
        }
    }

    fn is(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Task(one), Self::Task(other)) => one.is(other),
            (Self::Item(one), Self::Item(other)) => Arc::ptr_eq(one, other),
            _ => false,
        }
    }
}

/// Who waits for an object.
pub(crate) struct Source {
    watchers: SpinLock<Vec<Watcher>>,
}

impl Source {
    /// One that nobody watches.
    pub(crate) const fn new() -> Self {
        Source { watchers: SpinLock::new(Vec::new()) }
    }

    /// Adds somebody; twice, if asked twice.
    pub(crate) fn add(&self, watcher: Watcher) {
        self.watchers.with(|watchers| watchers.push(watcher));
    }

    /// Takes somebody off, once.
    pub(crate) fn remove(&self, watcher: &Watcher) {
        let removed = self.watchers.with(|watchers| {
            let at = watchers.iter().rposition(|there| there.is(watcher))?;
            Some(watchers.swap_remove(at))
        });
        drop(removed); // outside the lock: it may be the last
    }

    /// The entries of epoll instances among those who watch.
    pub(crate) fn items(&self) -> Vec<Arc<Item>> {
        let item = |watcher: &Watcher| match watcher {
            Watcher::Item(item) => Some(Arc::clone(item)),
            Watcher::Task(_) => None,
        };
        self.watchers.with(|watchers| watchers.iter().filter_map(item).collect())
    }

    /// Tells all: look at the object.
    pub(crate) fn notify(&self) {
        self.watchers.with(|watchers| watchers.iter().for_each(Watcher::notify));
    }
}

impl fmt::Debug for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Source").finish_non_exhaustive()
    }
}
