//! Sockets: one trait over those of the network and those of this machine.
//!
//! `tcp.rs` and `udp.rs` stand on `toro::net::socket`, `unix.rs` on queues of its own. As with all objects nothing here
//! waits; `calls/sockets.rs` does.

mod ends;
pub(crate) mod groups;
mod ip_options;
mod options;
pub(crate) mod tcp;
mod tcp_options;
pub(crate) mod udp;
pub(crate) mod unix;
pub(crate) mod unix_core;

use crate::files::anonymous_status;
use crate::memory::Transfer;
use crate::objects::{Object, OpenFile};
use crate::task::Task;
use crate::watch::{Events, Source};
use core::net::IpAddr;
use toro::net::socket::{Error, Readiness, Watcher};
use toro::prelude::*;
use toro::sync::Arc;
use toro_linux_abi::address::{Address, Family};
use toro_linux_abi::errno::Errno;
use toro_linux_abi::layout::Stat;
use toro_linux_abi::tree::FileType;

/// What goes along with bytes that are sent.
#[derive(Default)]
pub(crate) struct Sending {
    /// To whom, if that is said.
    pub to: Option<Address>,
    /// From which address of this machine, if that is said.
    pub from: Option<IpAddr>,
    /// Files that are passed on.
    pub files: Vec<Arc<OpenFile>>,
    /// More will follow at once.
    pub more: bool,
}

/// What came along with bytes that were received.
#[derive(Default)]
pub(crate) struct Received {
    /// Bytes that were moved.
    pub bytes: usize,
    /// Bytes that the message had.
    pub whole: usize,
    /// From whom.
    pub from: Option<Address>,
    /// Files that were passed on.
    pub files: Vec<Arc<OpenFile>>,
    /// Who sent it: pid, user, group, if that is told.
    pub credentials: Option<(i32, u32, u32)>,
    /// This ends a record.
    pub ends_record: bool,
    /// Which address of this machine it was sent to.
    pub to: Option<IpAddr>,
}

/// How to receive.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Receiving {
    /// What is received stays the next.
    pub peek: bool,
    /// Bytes go nowhere.
    pub discard: bool,
}

/// Which half of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Half {
    /// Nothing more is read.
    Read,
    /// Nothing more is written.
    Write,
    /// Both.
    Both,
}

/// A socket.
pub(crate) trait Socket {
    /// Its family.
    fn family(&self) -> Family;

    /// `SOCK_STREAM` and others.
    fn kind(&self) -> u32;

    /// Its protocol's number.
    fn protocol(&self) -> u32;

    /// `bind`.
    fn bind(&self, address: &Address) -> Result<(), Errno>;

    /// `listen`.
    fn listen(&self, backlog: usize) -> Result<(), Errno>;

    /// The next connection and its peer; `EAGAIN` when there is none.
    fn accept(&self) -> Result<(Box<dyn Object>, Address), Errno>;

    /// Begins to connect: `EINPROGRESS` when it is not decided at once.
    fn connect(&self, address: &Address) -> Result<(), Errno>;

    /// Whether a connection that was begun is open: `EINPROGRESS` while it is not decided.
    fn finish_connect(&self) -> Result<(), Errno>;

    /// Its own address.
    fn local(&self) -> Result<Address, Errno>;

    /// Its peer's.
    fn peer(&self) -> Result<Address, Errno>;

    /// Sends; how much, 0 when the transfer is stuck. `EAGAIN` when there is no room.
    fn send(&self, from: &mut Transfer<'_>, sending: &Sending) -> Result<usize, Errno>;

    /// Receives. `EAGAIN` when there is nothing.
    fn receive(&self, to: &mut Transfer<'_>, how: Receiving) -> Result<Received, Errno>;

    /// `shutdown`.
    fn shutdown(&self, half: Half) -> Result<(), Errno>;

    /// `setsockopt`.
    fn set_option(&self, level: u32, name: u32, value: &[u8]) -> Result<(), Errno>;

    /// `getsockopt`.
    fn option(&self, level: u32, name: u32) -> Result<Vec<u8>, Errno>;

    /// Whether the kernel is to tell who sent a message.
    fn passes_credentials(&self) -> bool {
        false
    }

    /// Whether the kernel is to tell which address a datagram was sent to.
    fn tells_destination(&self) -> bool {
        false
    }

    /// Waits for what was written before it closes, so long at most, in ns.
    fn linger(&self, _deadline_ns: &mut dyn FnMut(u64) -> u64) -> Option<u64> {
        None
    }

    /// Whether all that was written has arrived.
    fn is_drained(&self) -> bool {
        true
    }
}

/// A source that the network tells, in an allocation of its own: the network must not hold the socket.
pub(crate) struct Told(pub Source);

impl Watcher for Told {
    fn changed(&self) {
        self.0.notify();
    }
}

/// A number of an object's own, for `stat`.
pub(crate) fn next_ino() -> u64 {
    crate::process::get().files.next_ino()
}

/// What `fstat` tells of one with this number.
fn status(ino: u64) -> Stat {
    anonymous_status(FileType::Socket, 0o777, ino)
}

/// What `/proc/self/fd` says that it is.
fn name(ino: u64) -> Vec<u8> {
    format!("socket:[{ino}]").into_bytes()
}

/// The network's reason in Linux's words.
pub(crate) fn errno(error: Error) -> Errno {
    match error {
        Error::WouldBlock => Errno::AGAIN,
        Error::NotConnected => Errno::NOTCONN,
        Error::ConnectionRefused => Errno::CONNREFUSED,
        Error::ConnectionReset => Errno::CONNRESET,
        Error::ConnectionAborted => Errno::CONNABORTED,
        Error::BrokenPipe => Errno::PIPE,
        Error::TimedOut => Errno::TIMEDOUT,
        Error::AddressInUse => Errno::ADDRINUSE,
        Error::AddressNotAvailable => Errno::ADDRNOTAVAIL,
        Error::NetworkUnreachable => Errno::NETUNREACH,
        Error::HostUnreachable => Errno::HOSTUNREACH,
        Error::OutOfMemory => Errno::NOBUFS,
        Error::MessageTooLong => Errno::MSGSIZE,
        Error::InvalidInput => Errno::INVAL,
        Error::PermissionDenied => Errno::ACCES,
        Error::Unsupported => Errno::AFNOSUPPORT,
    }
}

/// What a socket of the network is ready for.
pub(crate) fn events(readiness: Readiness) -> Events {
    Events::IN
        .when(readiness.readable)
        .and(Events::OUT.when(readiness.writable))
        .and(Events::READ_HUP.when(readiness.peer_ended))
        .and(Events::ERROR.when(readiness.error))
        .and(Events::HUP.when(readiness.hung_up))
}

/// `close` of a socket that lingers waits for what was written.
pub(crate) fn linger(task: &mut Task, file: &Arc<OpenFile>) {
    let Some(socket) = file.object.as_socket().filter(|_| Arc::strong_count(file) == 1) else { return };
    let deadline = socket.linger(&mut |ns| crate::time::now_ns().saturating_add(ns));
    if let (Some(deadline), Some(source)) = (deadline, file.object.source()) {
        let _late_or_interrupted = task.wait_for(source, Some(deadline), |_| socket.is_drained().then_some(()));
    }
}
