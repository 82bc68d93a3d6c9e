//! What the sockets of this machine hold of each other: their names, their states, and what waits at each to be received.

use super::unix::UnixSocket;
use super::{Received, Receiving, Sending};
use crate::files::{From, Payload};
use crate::memory::Transfer;
use crate::objects::OpenFile;
use crate::process;
use crate::watch::Source;
use toro::collections::{BTreeMap, VecDeque};
use toro::prelude::*;
use toro::sync::{Arc, SpinLock, Weak};
use toro_linux_abi::address::{Address, UnixName};
use toro_linux_abi::errno::Errno;
use toro_linux_abi::raw::net;
use toro_linux_abi::tree::{Access, Last};

/// Bytes that may wait at a receiver.
pub(super) const CAPACITY: usize = 208 << 10;
/// Datagrams that may wait at a receiver.
pub(super) const DATAGRAMS_MAX: usize = 256;

/// What was sent in one piece.
pub(super) struct Message {
    pub(super) bytes: VecDeque<u8>,
    /// Who sent it: its name is told as it is when the message is taken.
    pub(super) from: Arc<Core>,
    pub(super) files: Vec<Arc<OpenFile>>,
    pub(super) credentials: (i32, u32, u32),
}

impl Message {
    /// Whether what follows it in a stream can be told as one with it.
    fn takes(&self, next: &Message) -> bool {
        self.files.is_empty()
            && next.files.is_empty()
            && self.credentials == next.credentials
            && Arc::ptr_eq(&self.from, &next.from)
    }
}

/// What a socket receives by, and what it is told of its peer.
pub(super) struct Inbox {
    pub(super) state: SpinLock<InboxState>,
    pub(super) source: Source,
}

#[derive(Default)]
pub(super) struct InboxState {
    pub(super) messages: VecDeque<Message>,
    pub(super) bytes: usize,
    /// Nothing will come any more.
    pub(super) ended: bool,
    /// Nothing is taken any more: the socket is closed, or does not read.
    pub(super) closed: bool,
    /// The peer is gone though not all that was sent to it was read.
    pub(super) was_reset: bool,
    /// Sockets that found no room here, and are to be told when there is some.
    pub(super) refused: Vec<Weak<Core>>,
}

impl InboxState {
    /// Has `sender` told when there is room.
    pub(super) fn refuse(&mut self, sender: &Arc<Core>) {
        if !self.refused.iter().any(|there| core::ptr::eq(there.as_ptr(), Arc::as_ptr(sender))) {
            self.refused.push(Arc::downgrade(sender));
        }
    }
}

/// What a socket has become.
#[derive(Clone)]
pub(super) enum State {
    Fresh,
    Listening(Arc<Backlog>),
    /// A connection, or a datagram socket with a fixed peer.
    Connected(Arc<Core>),
    /// It was connected.
    Ended,
}

pub(super) struct Backlog {
    pub(super) waiting: SpinLock<Waiting>,
}

pub(super) struct Waiting {
    pub(super) sockets: VecDeque<UnixSocket>,
    pub(super) limit: usize,
    pub(super) is_closed: bool,
}

/// What others hold of a socket.
pub(crate) struct Core {
    pub(super) kind: u32,
    pub(super) inbox: Inbox,
    pub(super) name: SpinLock<UnixName>,
    pub(super) state: SpinLock<State>,
    /// Who made it, as its peer is told.
    pub(super) credentials: SpinLock<(i32, u32, u32)>,
    pub(super) is_write_closed: SpinLock<bool>,
}

/// What a socket's name in the tree leads to.
#[derive(Clone)]
pub(crate) struct Bound(pub(super) Weak<Core>);

impl Bound {
    /// A name without a socket behind it.
    pub(crate) fn nobody() -> Self {
        Bound(Weak::new())
    }
}

impl core::fmt::Debug for Bound {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("Bound")
    }
}

/// Names that are no paths.
pub(super) static ABSTRACT: SpinLock<BTreeMap<Vec<u8>, Weak<Core>>> = SpinLock::new(BTreeMap::new());

pub(super) fn credentials() -> (i32, u32, u32) {
    let process = process::get();
    process.identity.with(|identity| (process.pid, identity.uid.effective, identity.gid.effective))
}

impl Core {
    pub(super) fn new(kind: u32) -> Arc<Core> {
        Arc::new(Core {
            kind,
            inbox: Inbox { state: SpinLock::new(InboxState::default()), source: Source::new() },
            name: SpinLock::new(UnixName::Unnamed),
            state: SpinLock::new(State::Fresh),
            credentials: SpinLock::new(credentials()),
            is_write_closed: SpinLock::new(false),
        })
    }

    pub(super) fn name(&self) -> UnixName {
        self.name.with(|name| name.clone())
    }

    pub(super) fn state(&self) -> State {
        self.state.with(|state| state.clone())
    }

    pub(super) fn become_state(&self, new: State) {
        drop(self.state.with(|state| core::mem::replace(state, new))); // outside the lock
    }

    /// The socket is closed: what is left is for who still has it as a peer.
    pub(super) fn is_gone(&self) -> bool {
        self.state.with(|state| matches!(state, State::Ended))
    }

    pub(super) fn is_stream(&self) -> bool {
        self.kind == net::SOCK_STREAM
    }

    pub(super) fn has_connections(&self) -> bool {
        self.kind != net::SOCK_DGRAM
    }

    /// Nothing will come to this socket any more.
    pub(super) fn end(&self) {
        self.inbox.state.with(|inbox| inbox.ended = true);
        self.inbox.source.notify();
    }

    /// Takes a message, or as much of a stream as there is room for.
    pub(super) fn deliver(
        &self,
        from: &mut Transfer<'_>,
        sending: &Sending,
        sender: &Arc<Core>,
    ) -> Result<usize, Errno> {
        let wanted = from.left();
        let is_stream = self.is_stream();
        if !is_stream && wanted > CAPACITY {
            return Err(Errno::MSGSIZE);
        }
        let room = self.inbox.state.with(|inbox| {
            if inbox.closed {
                return Err(if self.has_connections() { Errno::PIPE } else { Errno::CONNREFUSED });
            }
            let room = CAPACITY.saturating_sub(inbox.bytes);
            let is_full = if is_stream { room == 0 } else { room < wanted || inbox.messages.len() >= DATAGRAMS_MAX };
            if is_full {
                inbox.refuse(sender);
                return Err(Errno::AGAIN);
            }
            Ok(room)
        })?;
        let mut bytes = Vec::new();
        let count = wanted.min(room);
        bytes.try_reserve_exact(count).map_err(|_| Errno::NOBUFS)?;
        bytes.resize(count, 0);
        let before = from.clone();
        let taken = from.take(&mut bytes);
        if taken < count && !is_stream {
            let stuck = core::mem::replace(from, before);
            from.stick(&stuck);
            return Err(Errno::AGAIN);
        }
        if taken == 0 && count > 0 {
            return Ok(0);
        }
        bytes.truncate(taken);
        let message = Message {
            bytes: bytes.into(),
            from: Arc::clone(sender),
            files: sending.files.iter().map(Arc::clone).collect(),
            credentials: credentials(),
        };
        let spare = self.inbox.state.with(|inbox| {
            if inbox.closed {
                return Some(message); // nobody would take it out, nor its files
            }
            inbox.bytes += taken;
            // Each message takes memory of its own: short pieces of a stream become one.
            if let Some(last) = inbox.messages.back_mut()
                && is_stream
                && last.takes(&message)
                && last.bytes.try_reserve(taken).is_ok()
            {
                last.bytes.extend(&message.bytes);
                return Some(message);
            }
            inbox.messages.push_back(message);
            None
        });
        drop(spare); // outside the lock
        self.inbox.source.notify();
        Ok(taken)
    }

    pub(super) fn receive(&self, to: &mut Transfer<'_>, how: Receiving) -> Result<Received, Errno> {
        let is_stream = self.is_stream();
        // A message is taken as a whole.
        let needed = if is_stream { 1 } else { self.next_bytes() };
        if to.left() > 0 && !how.discard && !to.is_writable(needed) {
            return Err(Errno::AGAIN);
        }
        let mut done = Received::default();
        let mut emptied = Vec::new();
        let outcome = self.inbox.state.with(|inbox| {
            if inbox.messages.is_empty() {
                if core::mem::take(&mut inbox.was_reset) {
                    return Err(Errno::CONNRESET);
                }
                return if inbox.ended || inbox.closed { Ok(()) } else { Err(Errno::AGAIN) };
            }
            let mut skipped = 0;
            while let Some(message) = inbox.messages.get_mut(skipped) {
                let is_first = done.credentials.is_none();
                // What goes along with bytes divides a stream; files come with the bytes before theirs, too.
                let differs = done.credentials.is_some_and(|credentials| credentials != message.credentials);
                if !is_first && (!is_stream || differs || !done.files.is_empty()) {
                    break;
                }
                done.credentials = Some(message.credentials);
                done.from = Some(Address::Unix(message.from.name()));
                done.whole += message.bytes.len();
                let given = give(&message.bytes, to, how);
                done.bytes += given;
                let is_used_up = !is_stream || given == message.bytes.len();
                if how.peek {
                    done.files = message.files.iter().map(Arc::clone).collect();
                } else {
                    done.files = core::mem::take(&mut message.files);
                    let used = if is_used_up { message.bytes.len() } else { given };
                    message.bytes.drain(..used);
                    inbox.bytes -= used;
                }
                if !is_used_up {
                    break;
                }
                if how.peek {
                    skipped += 1;
                } else {
                    emptied.extend(inbox.messages.pop_front());
                }
                if !is_stream || to.left() == 0 {
                    break;
                }
            }
            Ok(())
        });
        drop(emptied); // outside the lock: files may go with them
        outcome?;
        if !how.peek {
            self.tell_refused();
        }
        done.ends_record = !is_stream && done.credentials.is_some();
        Ok(done)
    }

    /// Bytes that the next call would give.
    pub(super) fn next_bytes(&self) -> usize {
        self.inbox.state.with(|inbox| {
            let next = inbox.messages.front().map_or(0, |message| message.bytes.len());
            if self.is_stream() { inbox.bytes } else { next }
        })
    }

    /// Whether there is room for more; if not, `sender` is told when there is.
    pub(super) fn has_room(&self, sender: &Arc<Core>) -> bool {
        self.inbox.state.with(|inbox| {
            let has = inbox.closed || inbox.bytes < CAPACITY / 2 && inbox.messages.len() < DATAGRAMS_MAX;
            if !has {
                inbox.refuse(sender);
            }
            has
        })
    }

    /// Tells those who found no room that there is some now, or that there will be none.
    pub(super) fn tell_refused(&self) {
        let refused = self.inbox.state.with(|inbox| core::mem::take(&mut inbox.refused));
        for core in refused.iter().filter_map(Weak::upgrade) {
            core.inbox.source.notify();
        }
    }
}

pub(super) fn give(bytes: &VecDeque<u8>, to: &mut Transfer<'_>, how: Receiving) -> usize {
    if how.discard {
        return to.skip(bytes.len());
    }
    let (one, other) = bytes.as_slices();
    let given = to.give(one);
    if given == one.len() { given + to.give(other) } else { given }
}

/// The socket that has a name.
pub(super) fn find(name: &UnixName) -> Result<Arc<Core>, Errno> {
    let process = process::get();
    let found = match name {
        UnixName::Unnamed => return Err(Errno::INVAL),
        UnixName::Abstract(name) => ABSTRACT.with(|names| names.get(name).and_then(Weak::upgrade)),
        UnixName::Path(path) => {
            let from = From { start: process.files.current(), last: Last::Follow };
            let place = process.walk(from, path)?.place().map_err(|_| Errno::CONNREFUSED)?;
            let node = place.node.ok_or(Errno::NOENT)?;
            let identity = process.identity.with(|identity| identity.clone());
            let tree = process.files.tree();
            let node = tree.node(node);
            node.allows(identity.who(), Access::WRITE)?;
            match node.payload() {
                Some(Payload::Socket(bound)) => bound.0.upgrade(),
                _ => None,
            }
        }
    };
    found.ok_or(Errno::CONNREFUSED)
}

pub(super) fn bind_abstract(name: &[u8], core: &Weak<Core>) -> bool {
    ABSTRACT.with(|names| {
        let is_free = names.get(name).is_none_or(|there| there.strong_count() == 0);
        if is_free {
            names.insert(name.to_vec(), Weak::clone(core));
        }
        is_free
    })
}
