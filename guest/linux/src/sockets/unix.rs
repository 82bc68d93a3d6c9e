//! Sockets of this machine (AF_UNIX): streams, datagrams, and datagrams over connections.
//!
//! What was sent lies at the receiver, as messages: of a stream they run into each other, but for what goes along with
//! them. A name is a path of the tree, or one of a list of its own.

use super::options::{SOL_SOCKET, Shared};
use super::unix_core::{ABSTRACT, Backlog, Bound, Core, State, Waiting, bind_abstract, credentials, find};
use super::{Half, Received, Receiving, Sending, Socket, next_ino};
use crate::files::{From, Payload};
use crate::interfaces;
use crate::memory::Transfer;
use crate::objects::{Object, OpenFile};
use crate::process;
use crate::task::Task;
use crate::watch::{Events, Source};
use core::cell::RefCell;
use toro::collections::VecDeque;
use toro::prelude::*;
use toro::sync::{Arc, SpinLock};
use toro_linux_abi::address::{Address, Family, UnixName};
use toro_linux_abi::errno::Errno;
use toro_linux_abi::layout::{Stat, Ucred};
use toro_linux_abi::raw::{ioctl, net};
use toro_linux_abi::tree::{FileType, Last, New};
use zerocopy::IntoBytes;

/// Connections that may wait to be accepted, whatever the program says.
const BACKLOG_MAX: usize = 4096;
/// Files that may go along with a message.
pub(crate) const FILES_MAX: usize = 253;

/// A socket of this machine.
pub(crate) struct UnixSocket {
    core: Arc<Core>,
    options: Shared,
    ino: u64,
}

impl UnixSocket {
    /// A socket of that kind.
    pub(crate) fn new(kind: u32) -> Self {
        Self::with_core(Core::new(kind))
    }

    fn with_core(core: Arc<Core>) -> Self {
        UnixSocket { core, options: Shared::new(), ino: next_ino() }
    }

    /// Two that are connected.
    pub(crate) fn pair(kind: u32) -> (Self, Self) {
        let (one, other) = (Core::new(kind), Core::new(kind));
        one.become_state(State::Connected(Arc::clone(&other)));
        other.become_state(State::Connected(Arc::clone(&one)));
        (Self::with_core(one), Self::with_core(other))
    }

    fn connected(&self) -> Result<Arc<Core>, Errno> {
        match self.core.state() {
            State::Connected(peer) => Ok(peer),
            _ => Err(Errno::NOTCONN),
        }
    }

    fn connect_stream(&self, name: &UnixName) -> Result<(), Errno> {
        match self.core.state() {
            State::Fresh => {}
            State::Connected(_) => return Err(Errno::ISCONN),
            State::Listening(_) | State::Ended => return Err(Errno::INVAL),
        }
        let there = find(name)?;
        if there.kind != self.core.kind {
            return Err(Errno::PROTOTYPE);
        }
        let State::Listening(backlog) = there.state() else { return Err(Errno::CONNREFUSED) };
        let accepted = Core::new(self.core.kind);
        accepted.name.with(|own| *own = there.name());
        accepted.credentials.with(|own| *own = there.credentials.with(|theirs| *theirs));
        self.core.credentials.with(|own| *own = credentials());
        accepted.become_state(State::Connected(Arc::clone(&self.core)));
        let socket = UnixSocket::with_core(Arc::clone(&accepted));
        let refused = backlog.waiting.with(|waiting| {
            if waiting.is_closed {
                return Some((Errno::CONNREFUSED, socket));
            }
            if waiting.sockets.len() >= waiting.limit {
                there.inbox.state.with(|inbox| inbox.refuse(&self.core));
                return Some((Errno::AGAIN, socket));
            }
            waiting.sockets.push_back(socket);
            None
        });
        if let Some((error, socket)) = refused {
            socket.core.become_state(State::Fresh); // it never had a peer
            return Err(error);
        }
        self.core.become_state(State::Connected(accepted));
        there.inbox.source.notify();
        self.core.inbox.source.notify();
        Ok(())
    }
}

impl Socket for UnixSocket {
    fn family(&self) -> Family {
        Family::Unix
    }

    fn kind(&self) -> u32 {
        self.core.kind
    }

    fn protocol(&self) -> u32 {
        0
    }

    fn bind(&self, address: &Address) -> Result<(), Errno> {
        let Address::Unix(name) = address else { return Err(Errno::INVAL) };
        if self.core.name() != UnixName::Unnamed {
            return Err(Errno::INVAL);
        }
        let weak = Arc::downgrade(&self.core);
        let name = match name {
            UnixName::Unnamed => {
                // A name of the kernel's choice: five digits.
                let mut number = self.ino;
                loop {
                    let name = format!("{:05x}", number & 0xf_ffff).into_bytes();
                    if bind_abstract(&name, &weak) {
                        break UnixName::Abstract(name);
                    }
                    number += 1;
                }
            }
            UnixName::Abstract(name) => {
                if !bind_abstract(name, &weak) {
                    return Err(Errno::ADDRINUSE);
                }
                UnixName::Abstract(name.clone())
            }
            UnixName::Path(path) => {
                let process = process::get();
                let permissions = 0o777 & !process.umask.load(core::sync::atomic::Ordering::Relaxed);
                let new = New::file(FileType::Socket, permissions, Payload::Socket(Bound(weak)));
                let from = From { start: process.files.current(), last: Last::Name };
                let made =
                    process.change(from, path, |tree, place, who, now| tree.create(&place, new, who, now).map(drop));
                made.map_err(|error| if error == Errno::EXIST { Errno::ADDRINUSE } else { error })?;
                UnixName::Path(path.clone())
            }
        };
        self.core.name.with(|own| *own = name);
        Ok(())
    }

    fn listen(&self, backlog: usize) -> Result<(), Errno> {
        if !self.core.has_connections() {
            return Err(Errno::OPNOTSUPP);
        }
        let limit = backlog.clamp(1, BACKLOG_MAX) + 1; // Linux lets one more wait
        match self.core.state() {
            State::Fresh if self.core.name() != UnixName::Unnamed => {
                self.core.credentials.with(|own| *own = credentials());
                let waiting = Waiting { sockets: VecDeque::new(), limit, is_closed: false };
                self.core.become_state(State::Listening(Arc::new(Backlog { waiting: SpinLock::new(waiting) })));
                Ok(())
            }
            State::Listening(backlog) => {
                backlog.waiting.with(|waiting| waiting.limit = limit);
                Ok(())
            }
            _ => Err(Errno::INVAL),
        }
    }

    fn accept(&self) -> Result<(Box<dyn Object>, Address), Errno> {
        if !self.core.has_connections() {
            return Err(Errno::OPNOTSUPP);
        }
        let State::Listening(backlog) = self.core.state() else { return Err(Errno::INVAL) };
        let socket = backlog.waiting.with(|waiting| match waiting.sockets.pop_front() {
            None if waiting.is_closed => Err(Errno::INVAL),
            socket => socket.ok_or(Errno::AGAIN),
        })?;
        // Somebody may have found the list full.
        self.core.tell_refused();
        let peer = socket.peer().unwrap_or(Address::Unix(UnixName::Unnamed));
        Ok((Box::new(socket), peer))
    }

    fn connect(&self, address: &Address) -> Result<(), Errno> {
        match address {
            Address::Unspecified if !self.core.has_connections() => {
                self.core.become_state(State::Fresh);
                Ok(())
            }
            Address::Unix(name) if self.core.has_connections() => self.connect_stream(name),
            Address::Unix(name) => {
                let peer = find(name)?;
                if peer.kind != self.core.kind {
                    return Err(Errno::PROTOTYPE);
                }
                self.core.become_state(State::Connected(peer));
                Ok(())
            }
            _ => Err(Errno::INVAL),
        }
    }

    fn finish_connect(&self) -> Result<(), Errno> {
        Ok(())
    }

    fn local(&self) -> Result<Address, Errno> {
        Ok(Address::Unix(self.core.name()))
    }

    fn peer(&self) -> Result<Address, Errno> {
        Ok(Address::Unix(self.connected()?.name()))
    }

    fn send(&self, from: &mut Transfer<'_>, sending: &Sending) -> Result<usize, Errno> {
        let peer = match (&sending.to, self.core.has_connections()) {
            (Some(Address::Unix(name)), false) => {
                let peer = find(name)?;
                if peer.kind != self.core.kind {
                    return Err(Errno::PROTOTYPE);
                }
                peer
            }
            (Some(_), false) => return Err(Errno::INVAL),
            (Some(_), true) if self.connected().is_ok() => return Err(Errno::ISCONN),
            (Some(_), true) => return Err(Errno::OPNOTSUPP),
            (None, _) => match self.core.state() {
                State::Connected(peer) if !self.core.has_connections() && peer.is_gone() => {
                    self.core.become_state(State::Fresh);
                    return Err(Errno::CONNREFUSED);
                }
                State::Connected(peer) => peer,
                State::Ended => return Err(Errno::PIPE),
                _ => return Err(Errno::NOTCONN),
            },
        };
        if self.core.is_write_closed.with(|closed| *closed) {
            return Err(Errno::PIPE);
        }
        if from.left() == 0 && self.core.is_stream() {
            return Ok(0);
        }
        peer.deliver(from, sending, &self.core)
    }

    fn receive(&self, to: &mut Transfer<'_>, how: Receiving) -> Result<Received, Errno> {
        match self.core.state() {
            State::Listening(_) => return Err(Errno::INVAL),
            State::Fresh if self.core.is_stream() => return Err(Errno::INVAL),
            State::Fresh if self.core.has_connections() => return Err(Errno::NOTCONN),
            _ => {}
        }
        if to.left() == 0 && self.core.is_stream() {
            return Ok(Received::default());
        }
        self.core.receive(to, how)
    }

    fn shutdown(&self, half: Half) -> Result<(), Errno> {
        if let State::Listening(backlog) = self.core.state() {
            let refused = backlog.waiting.with(|waiting| {
                waiting.is_closed = true;
                core::mem::take(&mut waiting.sockets)
            });
            drop(refused);
            self.core.inbox.source.notify();
            return Ok(());
        }
        let Ok(peer) = self.connected() else { return Ok(()) };
        if half != Half::Read {
            self.core.is_write_closed.with(|closed| *closed = true);
            peer.end();
        }
        if half != Half::Write {
            self.core.inbox.state.with(|inbox| inbox.closed = true);
            self.core.tell_refused();
        }
        self.core.inbox.source.notify();
        Ok(())
    }

    fn set_option(&self, level: u32, name: u32, value: &[u8]) -> Result<(), Errno> {
        if level == SOL_SOCKET { self.options.set(name, value) } else { Err(Errno::OPNOTSUPP) }
    }

    fn option(&self, level: u32, name: u32) -> Result<Vec<u8>, Errno> {
        if level != SOL_SOCKET {
            return Err(Errno::OPNOTSUPP);
        }
        let number = match name {
            net::SO_ERROR => {
                let was_reset = self.core.inbox.state.with(|inbox| core::mem::take(&mut inbox.was_reset));
                if was_reset { Errno::CONNRESET.number().into() } else { 0 }
            }
            net::SO_ACCEPTCONN => i32::from(matches!(self.core.state(), State::Listening(_))),
            net::SO_PEERCRED => {
                let (pid, uid, gid) = match self.connected() {
                    Ok(peer) => peer.credentials.with(|credentials| *credentials),
                    Err(_) => (0, u32::MAX, u32::MAX),
                };
                return Ok(Ucred { pid, uid, gid }.as_bytes().to_vec());
            }
            name => return self.options.option(name),
        };
        Ok(number.to_le_bytes().to_vec())
    }

    fn passes_credentials(&self) -> bool {
        self.options.get().pass_credentials
    }
}

impl Object for UnixSocket {
    fn read(&self, _open: &OpenFile, to: &mut Transfer<'_>) -> Result<usize, Errno> {
        self.receive(to, Receiving::default()).map(|received| received.bytes)
    }

    fn write(&self, _open: &OpenFile, from: &mut Transfer<'_>) -> Result<usize, Errno> {
        self.send(from, &Sending::default())
    }

    fn readiness(&self) -> Events {
        let core = &self.core;
        let (has_message, ended, closed) =
            core.inbox.state.with(|inbox| (!inbox.messages.is_empty(), inbox.ended, inbox.closed));
        let writes = !core.is_write_closed.with(|closed| *closed);
        match core.state() {
            State::Listening(backlog) => {
                let waits = backlog.waiting.with(|waiting| !waiting.sockets.is_empty() || waiting.is_closed);
                Events::IN.when(waits)
            }
            State::Fresh if core.has_connections() => Events::OUT.and(Events::HUP),
            State::Fresh => Events::IN.when(has_message).and(Events::OUT),
            State::Ended => Events::HUP,
            State::Connected(peer) if core.has_connections() && peer.is_gone() => {
                let was_reset = core.inbox.state.with(|inbox| inbox.was_reset);
                Events::IN.and(Events::OUT).and(Events::READ_HUP).and(Events::HUP).and(Events::ERROR.when(was_reset))
            }
            State::Connected(peer) => {
                let over = ended || closed;
                Events::IN
                    .when(has_message || over)
                    .and(Events::READ_HUP.when(over))
                    .and(Events::HUP.when(over && !writes))
                    .and(Events::OUT.when(!writes || peer.has_room(&self.core)))
            }
        }
    }

    fn source(&self) -> Option<&Source> {
        Some(&self.core.inbox.source)
    }

    fn status(&self) -> Stat {
        super::status(self.ino)
    }

    fn control(&self, task: &mut Task, request: u32, argument: u64) -> Result<u64, Errno> {
        let bytes = match request {
            ioctl::FIONREAD => self.core.next_bytes(),
            ioctl::TIOCOUTQ => self.connected().map_or(0, |peer| peer.inbox.state.with(|inbox| inbox.bytes)),
            _ => return interfaces::control(task, request, argument),
        };
        task.process.memory.put(argument, &(bytes as i32)).map(|()| 0)
    }

    fn patience_ns(&self) -> (Option<u64>, Option<u64>) {
        self.options.patience_ns()
    }

    fn name(&self) -> Vec<u8> {
        super::name(self.ino)
    }

    fn as_socket(&self) -> Option<&dyn Socket> {
        Some(self)
    }
}

impl Drop for UnixSocket {
    fn drop(&mut self) {
        let core = &self.core;
        let (lost, unread) = core.inbox.state.with(|inbox| {
            inbox.closed = true;
            (core::mem::take(&mut inbox.messages), inbox.bytes > 0)
        });
        match core.state.with(|state| core::mem::replace(state, State::Ended)) {
            State::Connected(peer) if core.has_connections() => {
                // What it had not read is lost, and its peer is told.
                peer.inbox.state.with(|inbox| inbox.was_reset |= unread);
                peer.end();
                peer.tell_refused();
            }
            State::Listening(backlog) => {
                let refused = backlog.waiting.with(|waiting| {
                    waiting.is_closed = true;
                    core::mem::take(&mut waiting.sockets)
                });
                // Nobody will accept them: their peers are told so.
                for socket in refused {
                    if let Ok(peer) = socket.connected() {
                        peer.inbox.state.with(|inbox| inbox.was_reset = true);
                    }
                }
            }
            _ => {}
        }
        core.tell_refused();
        if let UnixName::Abstract(name) = core.name() {
            ABSTRACT.with(|names| {
                if names.get(&name).is_some_and(|there| core::ptr::eq(there.as_ptr(), Arc::as_ptr(core))) {
                    names.remove(&name);
                }
            });
        }
        close_all(lost.into_iter().flat_map(|message| message.files).collect());
    }
}

toro::thread_local! {
    /// Files that this thread is closing, one after the other.
    static CLOSING: RefCell<Option<Vec<Arc<OpenFile>>>> = const { RefCell::new(None) };
}

/// Closes files that nobody will take. Some may be sockets with files in them, and so on: what closing one of them leaves to
/// be closed is left to the outermost call, for the stack is short.
fn close_all(mut files: Vec<Arc<OpenFile>>) {
    if files.is_empty() {
        return;
    }
    let is_outermost = CLOSING.with_borrow_mut(|closing| {
        let is_outermost = closing.is_none();
        closing.get_or_insert_default().append(&mut files);
        is_outermost
    });
    if is_outermost {
        while let Some(file) = CLOSING.with_borrow_mut(|closing| closing.as_mut().and_then(Vec::pop)) {
            drop(file);
        }
        drop(CLOSING.take());
    }
}
