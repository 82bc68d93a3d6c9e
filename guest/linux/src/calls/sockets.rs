//! Sockets: made, named and connected. What is said through them is `messages`'.

use super::{Answer, Args};
use crate::objects::{Object, OpenFile};
use crate::sockets::tcp::TcpSocket;
use crate::sockets::udp::UdpSocket;
use crate::sockets::unix::UnixSocket;
use crate::sockets::{Half, Socket};
use crate::task::{Task, Waited};
use crate::time::now_ns;
use core::net::SocketAddr;
use toro::net::socket as network;
use toro::prelude::*;
use toro::sync::Arc;
use toro_linux_abi::address::{self, Address, Family};
use toro_linux_abi::errno::Errno;
use toro_linux_abi::raw::{O_CLOEXEC, O_NONBLOCK, O_RDWR, net};

/// Bits beside the kind of a socket.
const KIND_FLAGS: u64 = (O_CLOEXEC | O_NONBLOCK) as u64;

/// An open file that is a socket.
pub(super) struct Opened(pub(super) Arc<OpenFile>);

impl Opened {
    pub(super) fn socket(&self) -> &dyn Socket {
        match self.0.object.as_socket() {
            Some(socket) => socket,
            None => unreachable!("it was looked at when it was opened"),
        }
    }
}

/// The socket of that number.
pub(super) fn opened(task: &Task, fd: u64) -> Result<Opened, Errno> {
    let open = task.process.descriptors.get(fd)?;
    if open.is_path() {
        return Err(Errno::BADF);
    }
    if open.object.as_socket().is_some() { Ok(Opened(open)) } else { Err(Errno::NOTSOCK) }
}

// Making.

/// Bits that are no kind.
fn check_kind(kind: u64) -> Result<(), Errno> {
    if kind & !(KIND_FLAGS | 0xf) == 0 { Ok(()) } else { Err(Errno::INVAL) }
}

pub(super) fn socket(task: &mut Task, [family, kind, protocol, ..]: Args) -> Answer {
    check_kind(kind)?;
    let object: Box<dyn Object> = match family as u32 {
        net::AF_INET => inet_socket(Family::Inet, kind, protocol)?,
        net::AF_INET6 => inet_socket(Family::Inet6, kind, protocol)?,
        net::AF_UNIX => Box::new(UnixSocket::new(unix_kind(kind, protocol)?)),
        _ => return Err(Errno::AFNOSUPPORT),
    };
    super::descriptors::add(task, object, O_RDWR, kind & KIND_FLAGS)
}

fn inet_socket(family: Family, kind: u64, protocol: u64) -> Result<Box<dyn Object>, Errno> {
    let is = |number| protocol == 0 || protocol == number as u64;
    match (kind & !KIND_FLAGS) as u32 {
        net::SOCK_STREAM if is(net::IPPROTO_TCP) => Ok(Box::new(TcpSocket::new(family))),
        net::SOCK_DGRAM if is(net::IPPROTO_UDP) => Ok(Box::new(UdpSocket::new(family))),
        net::SOCK_STREAM | net::SOCK_DGRAM => Err(Errno::PROTONOSUPPORT),
        net::SOCK_RAW => Err(Errno::PERM),
        _ => Err(Errno::SOCKTNOSUPPORT),
    }
}

fn unix_kind(kind: u64, protocol: u64) -> Result<u32, Errno> {
    if protocol > net::AF_UNIX.into() {
        return Err(Errno::PROTONOSUPPORT);
    }
    match (kind & !KIND_FLAGS) as u32 {
        kind @ (net::SOCK_STREAM | net::SOCK_DGRAM | net::SOCK_SEQPACKET) => Ok(kind),
        net::SOCK_RAW => Ok(net::SOCK_DGRAM),
        _ => Err(Errno::SOCKTNOSUPPORT),
    }
}

pub(super) fn socketpair(task: &mut Task, [family, kind, protocol, pair, ..]: Args) -> Answer {
    check_kind(kind)?;
    if family != u64::from(net::AF_UNIX) {
        return Err(if family == u64::from(net::AF_INET) { Errno::OPNOTSUPP } else { Errno::AFNOSUPPORT });
    }
    let (one, other) = UnixSocket::pair(unix_kind(kind, protocol)?);
    let flags = kind & KIND_FLAGS;
    let first = super::descriptors::add(task, Box::new(one), O_RDWR, flags)?;
    let second = super::descriptors::add(task, Box::new(other), O_RDWR, flags);
    let done = second.and_then(|second| {
        let given = task.process.memory.put(pair, &[first as i32, second as i32]);
        given.inspect_err(|_| super::descriptors::forget(task, second)).map(|()| 0)
    });
    done.inspect_err(|_| super::descriptors::forget(task, first))
}

// Names.

pub(super) fn address_at(task: &Task, at: u64, bytes: u64) -> Result<Address, Errno> {
    if bytes > address::BYTES_MAX as u64 {
        return Err(Errno::INVAL);
    }
    let bytes: Vec<u8> = task.process.memory.get_list(at, bytes as usize)?;
    Address::parse(&bytes)
}

/// Gives an address where there is a place for it: as much as fits, and how long it is.
pub(super) fn tell_address(
    task: &Task,
    address: &Address,
    family: Family,
    to: u64,
    bytes_at: u64,
) -> Result<(), Errno> {
    if to == 0 {
        return Ok(());
    }
    let memory = &task.process.memory;
    let room = usize::try_from(memory.get::<i32>(bytes_at)?).map_err(|_| Errno::INVAL)?;
    let encoded = address.encode(family);
    memory.write(to, &encoded[..encoded.len().min(room)])?;
    memory.put(bytes_at, &(encoded.len() as u32))
}

/// The same, for a socket: that an address is too short for its family is told first.
fn address_for(task: &Task, open: &Opened, at: u64, bytes: u64) -> Result<Address, Errno> {
    let address = address_at(task, at, bytes);
    let least = match open.socket().family() {
        Family::Unix => 0,
        Family::Inet => address::INET_BYTES,
        Family::Inet6 => address::INET6_BYTES_MIN,
    };
    if bytes < least as u64 && address != Ok(Address::Unspecified) { Err(Errno::INVAL) } else { address }
}

pub(super) fn bind(task: &mut Task, [fd, at, bytes, ..]: Args) -> Answer {
    let open = opened(task, fd)?;
    let address = address_for(task, &open, at, bytes)?;
    // Some programs say no family and mean that of the socket.
    open.socket().bind(&address)?;
    Ok(0)
}

pub(super) fn listen(task: &mut Task, [fd, backlog, ..]: Args) -> Answer {
    let open = opened(task, fd)?;
    // Negative is as large as can be.
    open.socket().listen((backlog as u32).min(4096) as usize)?;
    warn_of_loopback(task, open.socket());
    Ok(0)
}

/// A server that only this machine can reach, while its user wants to be reached from outside: that is told.
fn warn_of_loopback(task: &Task, socket: &dyn Socket) {
    let Ok(Address::Inet(address)) = socket.local() else { return };
    if address.ip().is_loopback() && task.process.is_published(address.port()) {
        log::warn!(
            "the program listens on {address}, where only this machine reaches it, though port {} is published: \
             have it listen on 0.0.0.0",
            address.port()
        );
    }
}

pub(super) fn getsockname(task: &mut Task, [fd, to, bytes, ..]: Args) -> Answer {
    let open = opened(task, fd)?;
    let socket = open.socket();
    tell_address(task, &socket.local()?, socket.family(), to, bytes).map(|()| 0)
}

pub(super) fn getpeername(task: &mut Task, [fd, to, bytes, ..]: Args) -> Answer {
    let open = opened(task, fd)?;
    let socket = open.socket();
    tell_address(task, &socket.peer()?, socket.family(), to, bytes).map(|()| 0)
}

// Connections.

pub(super) fn accept(task: &mut Task, [fd, to, bytes, ..]: Args) -> Answer {
    accept4(task, [fd, to, bytes, 0, 0, 0])
}

pub(super) fn accept4(task: &mut Task, [fd, to, bytes, flags, ..]: Args) -> Answer {
    if flags & !KIND_FLAGS != 0 {
        return Err(Errno::INVAL);
    }
    let open = opened(task, fd)?;
    // Without a number for it, a connection stays where it is.
    let accepted = task.process.descriptors.reserve(task.process.limits.descriptors())?;
    let answer = next_connection(task, &open).and_then(|(object, peer)| {
        tell_address(task, &peer, open.socket().family(), to, bytes)?;
        Ok(super::descriptors::opened_file(object, O_RDWR, flags))
    });
    match answer {
        Ok(file) => {
            task.process.descriptors.fill(accepted, file, flags & u64::from(O_CLOEXEC) != 0);
            Ok(accepted as u64)
        }
        Err(error) => {
            task.process.descriptors.release(accepted);
            Err(error)
        }
    }
}

/// Takes the next connection of a listener, waiting for one if that is wanted: its socket, and who is at the other end.
fn next_connection(task: &mut Task, open: &Opened) -> Result<(Box<dyn Object>, Address), Errno> {
    let socket = open.socket();
    match socket.accept() {
        Err(Errno::AGAIN) if !open.0.is_nonblocking() => {
            let source = open.0.object.source().ok_or(Errno::INVAL)?;
            let patience_ns = open.0.object.patience_ns().0;
            let deadline = patience_ns.map(|ns| now_ns().saturating_add(ns));
            let waited = task.wait_for(source, deadline, |_| match socket.accept() {
                Err(Errno::AGAIN) => None,
                accepted => Some(accepted),
            });
            match waited {
                Ok(accepted) => accepted,
                Err(Waited::Interrupted) if patience_ns.is_some() => Err(Errno::INTR),
                Err(waited) => Err(waited.into()),
            }
        }
        accepted => accepted,
    }
}

/// How long a program that connects or sends waits for the machine's own address, which may still be on its way.
const ADDRESS_WAIT_NS: u64 = 15_000_000_000;

/// Tries again once the machine has an address, if it has none yet.
pub(super) fn once_there_is_an_address<R>(mut attempt: impl FnMut() -> Result<R, Errno>) -> Result<R, Errno> {
    match attempt() {
        Err(Errno::NETUNREACH) if toro::net::local_address().is_none() => {
            let until = toro::time::Instant::from_nanos(now_ns() + ADDRESS_WAIT_NS);
            if toro::net::wait_for_address(until) { attempt() } else { Err(Errno::NETUNREACH) }
        }
        answer => answer,
    }
}

pub(super) fn connect(task: &mut Task, [fd, at, bytes, ..]: Args) -> Answer {
    let open = opened(task, fd)?;
    let socket = open.socket();
    // Datagrams of IPv6 go to an address of IPv4 as it is, too.
    let address = match address_at(task, at, bytes) {
        Ok(address @ Address::Inet(SocketAddr::V4(_))) if socket.kind() == net::SOCK_DGRAM => address,
        _ => address_for(task, &open, at, bytes)?,
    };
    let begun = once_there_is_an_address(|| socket.connect(&address));
    network::flush();
    let begun = match begun {
        // A stream of this machine whose listener has no place for it now.
        Err(Errno::AGAIN) if !open.0.is_nonblocking() => {
            let source = open.0.object.source().ok_or(Errno::AGAIN)?;
            task.wait_for(source, None, |_| match socket.connect(&address) {
                Err(Errno::AGAIN) => None,
                begun => Some(begun),
            })?
        }
        begun => begun,
    };
    match begun {
        Err(Errno::INPROGRESS | Errno::ALREADY) if !open.0.is_nonblocking() => {}
        begun => return begun.map(|()| 0),
    }
    let source = open.0.object.source().ok_or(Errno::INVAL)?;
    let deadline = open.0.object.patience_ns().1.map(|ns| now_ns().saturating_add(ns));
    let waited = task.wait_for(source, deadline, |_| match socket.finish_connect() {
        Err(Errno::INPROGRESS) => None,
        finished => Some(finished),
    });
    match waited {
        Ok(Ok(())) => socket.connect(&address).or_else(already_connected).map(|()| 0),
        Ok(Err(error)) => Err(error),
        Err(Waited::TimedOut) => Err(Errno::INPROGRESS),
        Err(Waited::Interrupted) => Err(Errno::RESTART),
    }
}

/// That a connection is open is what was wanted.
fn already_connected(error: Errno) -> Result<(), Errno> {
    if error == Errno::ISCONN { Ok(()) } else { Err(error) }
}

pub(super) fn shutdown(task: &mut Task, [fd, how, ..]: Args) -> Answer {
    let half = match how {
        0 => Half::Read,
        1 => Half::Write,
        2 => Half::Both,
        _ => return Err(Errno::INVAL),
    };
    let done = opened(task, fd)?.socket().shutdown(half).map(|()| 0);
    network::flush();
    done
}

// Options.

pub(super) fn setsockopt(task: &mut Task, [fd, level, name, at, bytes, _]: Args) -> Answer {
    let open = opened(task, fd)?;
    let bytes = usize::try_from(bytes as i32).map_err(|_| Errno::INVAL)?;
    let value: Vec<u8> = task.process.memory.get_list(at, bytes.min(256))?;
    open.socket().set_option(level as u32, name as u32, &value).map(|()| 0)
}

/// `SO_TYPE`, `SO_PROTOCOL` and `SO_DOMAIN`, which all sockets know alike.
fn common_option(socket: &dyn Socket, name: u32) -> Option<u32> {
    match name {
        net::SO_TYPE => Some(socket.kind()),
        net::SO_PROTOCOL => Some(socket.protocol()),
        net::SO_DOMAIN => Some(match socket.family() {
            Family::Inet => net::AF_INET,
            Family::Inet6 => net::AF_INET6,
            Family::Unix => net::AF_UNIX,
        }),
        _ => None,
    }
}

pub(super) fn getsockopt(task: &mut Task, [fd, level, name, to, bytes_at, _]: Args) -> Answer {
    let open = opened(task, fd)?;
    let memory = &task.process.memory;
    let room = usize::try_from(memory.get::<i32>(bytes_at)?).map_err(|_| Errno::INVAL)?;
    let common = if level as u32 == net::SOL_SOCKET { common_option(open.socket(), name as u32) } else { None };
    let value = match common {
        Some(number) => number.to_le_bytes().to_vec(),
        None => open.socket().option(level as u32, name as u32)?,
    };
    let count = value.len().min(room);
    memory.write(to, &value[..count])?;
    memory.put(bytes_at, &(count as u32)).map(|()| 0)
}
