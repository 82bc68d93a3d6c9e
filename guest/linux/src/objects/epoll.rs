//! epoll: entries that notifications put onto a list, from which `epoll_wait` takes those that are really ready.
//!
//! An entry is on its object's source for as long as it exists. Level-triggered ones go back onto the list when they were
//! reported, and are looked at again at the next wait; edge-triggered ones wait for the next notification.

use super::{Object, OpenFile, Whence};
use crate::files::anonymous_status;
use crate::process;
use crate::watch::{Events, Source, Watcher};
use toro::collections::{BTreeMap, VecDeque};
use toro::prelude::*;
use toro::sync::{Arc, Mutex, SpinLock, Weak};
use toro_linux_abi::errno::Errno;
use toro_linux_abi::layout::{EpollEvent, Stat};
use toro_linux_abi::raw::{EPOLLERR, EPOLLET, EPOLLEXCLUSIVE, EPOLLHUP, EPOLLIN, EPOLLONESHOT, EPOLLOUT, EPOLLWAKEUP};
use toro_linux_abi::tree::FileType;

/// How many steps lead from an instance over those that it watches to the last, at most: what goes through them recurses.
const NESTING_MAX: usize = 4;

/// Held from the look at who watches whom until one more instance watches another.
static NESTING: Mutex<()> = Mutex::new(());

/// A descriptor and the object behind it.
type Key = (i32, usize);

/// An epoll instance.
pub(crate) struct Epoll {
    state: SpinLock<State>,
    /// Held while an item is put into the set, the file and the source, or taken out of them; [`NESTING`] goes before.
    change: Mutex<()>,
    source: Source,
    ino: u64,
}

#[derive(Default)]
struct State {
    items: BTreeMap<Key, Arc<Item>>,
    /// Those that were notified, or are to be looked at again.
    ready: VecDeque<Arc<Item>>,
}

/// An object that an instance watches.
pub(crate) struct Item {
    epoll: Weak<Epoll>,
    file: Weak<OpenFile>,
    key: Key,
    wish: SpinLock<Wish>,
}

#[derive(Clone, Copy)]
struct Wish {
    events: u32,
    data: u64,
    /// It is on the list.
    is_ready: bool,
    /// It was reported, and is to be asked for again before it is once more.
    is_disabled: bool,
}

/// What may be asked for with `EPOLLEXCLUSIVE`.
const EXCLUSIVE_EVENTS: u32 = EPOLLIN | EPOLLOUT | EPOLLERR | EPOLLHUP | EPOLLWAKEUP | EPOLLET | EPOLLEXCLUSIVE;

const FLAGS: u32 = EPOLLET | EPOLLONESHOT | EPOLLEXCLUSIVE | EPOLLWAKEUP;

impl Item {
    /// Something may have become possible.
    pub(crate) fn notify(self: &Arc<Self>) {
        let is_new = self.wish.with(|wish| !wish.is_disabled && !core::mem::replace(&mut wish.is_ready, true));
        if is_new && let Some(epoll) = self.epoll.upgrade() {
            epoll.state.with(|state| state.ready.push_back(Arc::clone(self)));
            epoll.source.notify();
        }
    }

    /// Its file is closed.
    pub(crate) fn forget(self: &Arc<Self>, source: Option<&Source>) {
        if let Some(source) = source {
            source.remove(&Watcher::Item(Arc::clone(self)));
        }
        if let Some(epoll) = self.epoll.upgrade() {
            epoll.remove_item(self);
        }
    }
}

impl Epoll {
    /// One that watches nothing.
    pub(crate) fn new() -> Arc<Epoll> {
        let ino = process::get().files.next_ino();
        Arc::new(Epoll { state: SpinLock::new(State::default()), change: Mutex::new(()), source: Source::new(), ino })
    }

    /// Who is told when something is ready.
    pub(crate) fn source(&self) -> &Source {
        &self.source
    }

    fn key(fd: i32, file: &Arc<OpenFile>) -> Key {
        (fd, Arc::as_ptr(file).addr())
    }

    fn item(&self, key: Key) -> Option<Arc<Item>> {
        self.state.with(|state| state.items.get(&key).map(Arc::clone))
    }

    fn remove_item(&self, item: &Arc<Item>) {
        let removed = self.state.with(|state| {
            state.ready.retain(|ready| !Arc::ptr_eq(ready, item));
            state.items.remove(&item.key)
        });
        drop(removed);
    }

    /// The instances that this one watches.
    fn inner(&self) -> Vec<Arc<Epoll>> {
        let items: Vec<Arc<Item>> = self.state.with(|state| state.items.values().map(Arc::clone).collect());
        items.iter().filter_map(|item| item.file.upgrade()?.object.as_epoll().map(Arc::clone)).collect()
    }

    /// The instances that watch this one.
    fn outer(&self) -> Vec<Arc<Epoll>> {
        self.source.items().iter().filter_map(|item| item.epoll.upgrade()).collect()
    }

    /// How many steps of that kind lead on from this one at most; `known` tells it of all that were come by.
    fn steps(&self, next: fn(&Epoll) -> Vec<Arc<Epoll>>, known: &mut BTreeMap<usize, usize>) -> usize {
        let address = core::ptr::from_ref(self).addr();
        if let Some(steps) = known.get(&address) {
            return *steps;
        }
        let steps = next(self).iter().map(|epoll| epoll.steps(next, known) + 1).max().unwrap_or(0);
        known.insert(address, steps);
        steps
    }

    /// Whether this one may watch another; [`NESTING`] is held.
    fn check_nesting(&self, inner: &Epoll) -> Result<(), Errno> {
        let mut known = BTreeMap::new();
        let below = inner.steps(Self::inner, &mut known);
        let is_circle = known.contains_key(&core::ptr::from_ref(self).addr());
        let above = self.steps(Self::outer, &mut BTreeMap::new());
        if is_circle || below + 1 + above > NESTING_MAX { Err(Errno::LOOP) } else { Ok(()) }
    }

    /// `EPOLL_CTL_ADD`.
    pub(crate) fn add(self: &Arc<Self>, fd: i32, file: &Arc<OpenFile>, event: EpollEvent) -> Result<(), Errno> {
        let source = file.object.source().ok_or(Errno::PERM)?;
        if event.events & EPOLLEXCLUSIVE != 0 && event.events & !EXCLUSIVE_EVENTS != 0 {
            return Err(Errno::INVAL);
        }
        let _nesting = match file.object.as_epoll() {
            Some(inner) if event.events & EPOLLEXCLUSIVE != 0 || Arc::ptr_eq(inner, self) => return Err(Errno::INVAL),
            Some(inner) => {
                let nesting = NESTING.lock();
                self.check_nesting(inner)?;
                Some(nesting)
            }
            None => None,
        };
        let _change = self.change.lock();
        let key = Self::key(fd, file);
        let wish = Wish { events: event.events, data: event.data, is_ready: false, is_disabled: false };
        let item =
            Arc::new(Item { epoll: Arc::downgrade(self), file: Arc::downgrade(file), key, wish: SpinLock::new(wish) });
        let is_new = self.state.with(|state| {
            let is_new = !state.items.contains_key(&key);
            if is_new {
                state.items.insert(key, Arc::clone(&item));
            }
            is_new
        });
        if !is_new {
            return Err(Errno::EXIST);
        }
        file.add_item(Arc::clone(&item));
        source.add(Watcher::Item(Arc::clone(&item)));
        if !ready_events(file, event.events).is_none() {
            item.notify();
        }
        Ok(())
    }

    /// `EPOLL_CTL_MOD`.
    pub(crate) fn modify(&self, fd: i32, file: &Arc<OpenFile>, event: EpollEvent) -> Result<(), Errno> {
        let item = self.item(Self::key(fd, file)).ok_or(Errno::NOENT)?;
        if event.events & EPOLLEXCLUSIVE != 0 || item.wish.with(|wish| wish.events) & EPOLLEXCLUSIVE != 0 {
            return Err(Errno::INVAL);
        }
        item.wish.with(|wish| {
            (wish.events, wish.data, wish.is_disabled) = (event.events, event.data, false);
        });
        if !ready_events(file, event.events).is_none() {
            item.notify();
        }
        Ok(())
    }

    /// `EPOLL_CTL_DEL`.
    pub(crate) fn remove(&self, fd: i32, file: &Arc<OpenFile>) -> Result<(), Errno> {
        let _change = self.change.lock();
        let item = self.item(Self::key(fd, file)).ok_or(Errno::NOENT)?;
        file.remove_item(&item);
        item.forget(file.object.source());
        Ok(())
    }

    /// What is ready, `count_max` at most.
    pub(crate) fn take(&self, count_max: usize) -> Vec<EpollEvent> {
        let mut events = Vec::new();
        // Each that is on the list now is looked at once.
        let mut left = self.state.with(|state| state.ready.len());
        while left > 0 && events.len() < count_max {
            left -= 1;
            let Some(item) = self.state.with(|state| state.ready.pop_front()) else { break };
            // From here on a notification puts it back.
            let wish = item.wish.with(|wish| {
                wish.is_ready = false;
                *wish
            });
            let Some(file) = item.file.upgrade().filter(|_| !wish.is_disabled) else { continue };
            let ready = ready_events(&file, wish.events);
            if ready.is_none() {
                continue;
            }
            // Another thread may have reported it since.
            let is_over = wish.events & EPOLLONESHOT != 0
                && item.wish.with(|wish| core::mem::replace(&mut wish.is_disabled, true));
            if is_over {
                continue;
            }
            events.push(EpollEvent { events: ready.0, data: wish.data });
            if wish.events & (EPOLLONESHOT | EPOLLET) == 0 {
                let is_new = item.wish.with(|wish| !core::mem::replace(&mut wish.is_ready, true));
                if is_new {
                    self.state.with(|state| state.ready.push_back(item));
                }
            }
        }
        events
    }

    fn has_ready(&self) -> bool {
        let items: Vec<Arc<Item>> = self.state.with(|state| state.ready.iter().map(Arc::clone).collect());
        items.iter().any(|item| {
            let wish = item.wish.with(|wish| *wish);
            !wish.is_disabled && item.file.upgrade().is_some_and(|file| !ready_events(&file, wish.events).is_none())
        })
    }
}

/// What an object is ready for, of what was asked.
fn ready_events(file: &OpenFile, wanted: u32) -> Events {
    file.object.readiness().among(Events(wanted & !FLAGS).and(Events::ALWAYS))
}

/// A descriptor of an instance.
pub(crate) struct EpollFile(pub Arc<Epoll>);

impl Drop for EpollFile {
    /// The last descriptor is closed: what it watched is to forget it.
    fn drop(&mut self) {
        let watched = self.0.state.with(core::mem::take);
        for item in watched.items.values() {
            // A file that is being closed forgets it by itself.
            if let Some(file) = item.file.upgrade() {
                file.remove_item(item);
                if let Some(source) = file.object.source() {
                    source.remove(&Watcher::Item(Arc::clone(item)));
                }
            }
        }
    }
}

impl Object for EpollFile {
    fn seek(&self, _open: &OpenFile, _offset: i64, _whence: Whence) -> Result<u64, Errno> {
        Ok(0) // there is nowhere else
    }

    fn readiness(&self) -> Events {
        Events::IN.when(self.0.has_ready())
    }

    fn source(&self) -> Option<&Source> {
        Some(&self.0.source)
    }

    fn status(&self) -> Stat {
        Stat { mode: 0o600, ..anonymous_status(FileType::Regular, 0o600, self.0.ino) }
    }

    fn name(&self) -> Vec<u8> {
        b"anon_inode:[eventpoll]".to_vec()
    }

    fn as_epoll(&self) -> Option<&Arc<Epoll>> {
        Some(&self.0)
    }
}
