//! Where threads wait for sockets, and who else is told: for each a place, found by the small number the stack gives it.
//!
//! The place of a number is made once and used again by the next socket with it. All stands under the network's lock, so the
//! threads that wait may live on any core.

use super::Error;
use crate::arch::running;
use crate::sched::{WaitList, Wakes};
use alloc::collections::VecDeque;
use alloc::sync::Arc;
use alloc::vec::Vec;
use toro_netstack::{Event, Stack};

/// Hears that the readiness of a socket may have changed.
///
/// It is called from the poller or from another thread's call, on any core, while no lock of the network is held. It must
/// not wait. Just after it was replaced it may be called once more.
pub trait Watcher: Send + Sync {
    /// Look again.
    fn changed(&self);
}

impl<F: Fn() + Send + Sync> Watcher for F {
    fn changed(&self) {
        self();
    }
}

/// Who waits for one socket.
#[derive(Default)]
pub(super) struct Place {
    pub(super) readers: WaitList,
    pub(super) writers: WaitList,
    /// The ticket of the thread that used it last; 0: nobody holds the socket.
    user: u64,
    watcher: Option<Arc<dyn Watcher>>,
    /// The watcher is to be called.
    called: bool,
}

/// What a place is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Connection,
    Listener,
    Datagrams,
}

const KINDS: [Kind; 3] = [Kind::Connection, Kind::Listener, Kind::Datagrams];

/// Which of a socket's waiters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Side {
    Readers,
    Writers,
}

/// Ends the socket with this number, whoever holds it.
pub(super) type End = fn(&mut Stack, usize);

/// All places.
#[derive(Default)]
pub(super) struct Sockets {
    /// How sockets end that a thread has left behind, by kind; `None`: there was none yet.
    ends: [Option<End>; 3],
    /// By kind.
    places: [Vec<Place>; 3],
    /// Those who cannot go on without an address.
    pub(super) address: WaitList,
    /// Sockets whose watcher is to be called once the lock is released; there is room for each that has one.
    calls: VecDeque<(Kind, u32)>,
    watchers: usize,
}

impl Sockets {
    /// Makes the place of a new socket, which ends by `end` when a thread has left it behind.
    ///
    /// # Errors
    /// There is no memory for it.
    pub(super) fn open(&mut self, kind: Kind, index: usize, end: End) -> Result<(), Error> {
        self.ends[kind as usize] = Some(end);
        let places = &mut self.places[kind as usize];
        if index >= places.len() {
            places.try_reserve(index + 1 - places.len()).map_err(|_| Error::OutOfMemory)?;
            places.resize_with(index + 1, Place::default);
        }
        self.note_user(kind, index);
        Ok(())
    }

    /// The running thread uses a socket.
    #[inline]
    pub(super) fn note_user(&mut self, kind: Kind, index: usize) {
        if let Some(place) = self.places[kind as usize].get_mut(index) {
            place.user = running::ticket();
        }
    }

    /// The next socket, from this place on, that a thread was the last to use, and how it ends: whoever waits for it is woken.
    pub(super) fn next_of(
        &mut self,
        user: u64,
        from: &mut (usize, usize),
        wakes: &mut Wakes,
    ) -> Option<(Kind, usize, End)> {
        while let Some(kind) = KINDS.get(from.0) {
            while let Some(place) = self.places[from.0].get_mut(from.1) {
                from.1 += 1;
                if place.user == user {
                    place.readers.wake_all(wakes);
                    place.writers.wake_all(wakes);
                    return Some((*kind, from.1 - 1, self.ends[from.0]?));
                }
            }
            *from = (from.0 + 1, 0);
        }
        None
    }

    /// The list of those who wait on one side of a socket that has its place.
    #[inline]
    pub(super) fn list(&mut self, kind: Kind, index: usize, side: Side) -> &mut WaitList {
        self.places[kind as usize][index].list(side)
    }

    /// Wakes whom an event concerns.
    #[inline]
    pub(super) fn tell(&mut self, event: Event, wakes: &mut Wakes) {
        let (kind, index, side) = match event {
            Event::Readable(id) => (Kind::Connection, id.index(), Side::Readers),
            Event::Writable(id) => (Kind::Connection, id.index(), Side::Writers),
            Event::Acceptable(id) => (Kind::Listener, id.index(), Side::Readers),
            Event::Datagram(id) => (Kind::Datagrams, id.index(), Side::Readers),
            Event::Room(id) => (Kind::Datagrams, id.index(), Side::Writers),
            Event::Address(..) | Event::Addresses6 => {
                self.address.wake_all(wakes);
                return;
            }
            Event::Link(..) => return,
            Event::Anything => return self.wake_all(wakes),
        };
        if let Some(place) = self.places[kind as usize].get_mut(index) {
            place.list(side).wake_all(wakes);
            if place.watcher.is_some() {
                self.call(kind, index);
            }
        }
    }

    /// Wakes everybody: each asks once more.
    #[cold]
    #[inline(never)]
    fn wake_all(&mut self, wakes: &mut Wakes) {
        for kind in KINDS {
            for index in 0..self.places[kind as usize].len() {
                for side in [Side::Readers, Side::Writers] {
                    self.list(kind, index, side).wake_all(wakes);
                }
                self.call(kind, index);
            }
        }
        self.address.wake_all(wakes);
    }

    /// Notes that a socket's watcher is to be called, if it has one.
    #[cold]
    #[inline(never)]
    fn call(&mut self, kind: Kind, index: usize) {
        let place = &mut self.places[kind as usize][index];
        if place.watcher.is_some() && !core::mem::replace(&mut place.called, true) {
            self.calls.push_back((kind, index as u32));
        }
    }

    /// Whether a watcher is to be called.
    #[inline]
    pub(super) fn has_calls(&self) -> bool {
        !self.calls.is_empty()
    }

    /// The next watcher to be called.
    pub(super) fn next_call(&mut self) -> Option<Arc<dyn Watcher>> {
        while let Some((kind, index)) = self.calls.pop_front() {
            let place = &mut self.places[kind as usize][index as usize];
            place.called = false;
            if let Some(watcher) = &place.watcher {
                return Some(Arc::clone(watcher));
            }
        }
        None
    }

    /// Has a socket watched by `watcher`, or by nobody; in its place comes back who did before.
    ///
    /// # Errors
    /// There is no memory to remember whom to call.
    pub(super) fn watch(
        &mut self,
        kind: Kind,
        index: usize,
        watcher: &mut Option<Arc<dyn Watcher>>,
    ) -> Result<(), Error> {
        let place = &mut self.places[kind as usize][index];
        if watcher.is_some() && place.watcher.is_none() {
            // Those no longer watched may still stand in the queue, each once, until it is next looked at.
            let room = self.watchers + 1 + self.calls.len();
            self.calls.try_reserve(room).map_err(|_| Error::OutOfMemory)?;
        }
        self.watchers += usize::from(watcher.is_some());
        self.watchers -= usize::from(place.watcher.is_some());
        core::mem::swap(&mut place.watcher, watcher);
        Ok(())
    }

    /// Nobody holds a socket any more, or watches it; who did before. One that never got its place has none either.
    #[inline]
    pub(super) fn unwatch(&mut self, kind: Kind, index: usize) -> Option<Arc<dyn Watcher>> {
        let place = self.places[kind as usize].get_mut(index)?;
        place.user = 0;
        let watcher = place.watcher.take();
        self.watchers -= usize::from(watcher.is_some());
        watcher
    }
}

impl Place {
    #[inline]
    fn list(&mut self, side: Side) -> &mut WaitList {
        match side {
            Side::Readers => &mut self.readers,
            Side::Writers => &mut self.writers,
        }
    }
}
