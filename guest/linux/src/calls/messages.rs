//! What is said through sockets: bytes and messages, with files and addresses that go along.

use super::io::{broken_pipe, pieces, repeat};
use super::{Answer, Args};
use crate::memory::Transfer;
use crate::objects::OpenFile;
use crate::sockets::unix::FILES_MAX;
use crate::sockets::{Received, Receiving, Sending};
use crate::task::Task;
use crate::time::now_ns;
use crate::watch::Events;
use core::cell::Cell;
use core::net::IpAddr;
use toro::net::socket as network;
use toro::prelude::*;
use toro::sync::Arc;
use toro::user::{self, Access};
use toro_linux_abi::address::{self, Address, Family};
use toro_linux_abi::errno::Errno;
use toro_linux_abi::layout::{Cmsghdr, Mmsghdr, Msghdr, Timespec, Ucred};
use toro_linux_abi::raw::{O_CLOEXEC, net};
use zerocopy::{FromBytes, IntoBytes};

use super::sockets::{Opened, address_at, once_there_is_an_address, opened, tell_address};

/// Messages of one call, at most.
const MESSAGES_MAX: u64 = 1024;
const CONTROL_BYTES_MAX: u64 = 20 << 10;
const HEADER_BYTES: usize = size_of::<Cmsghdr>();

const SCM_RIGHTS: i32 = 1;
const SCM_CREDENTIALS: i32 = 2;

// Sending.

/// `linux/socket.h`; not among the generated ones.
const MSG_WAITFORONE: u32 = 0x1_0000;
const MSG_ZEROCOPY: u32 = 0x400_0000;

/// Flags of `send` that are known; the rest is refused.
const SEND_FLAGS: u32 = net::MSG_DONTWAIT
    | net::MSG_NOSIGNAL
    | net::MSG_MORE
    | net::MSG_EOR
    | net::MSG_CONFIRM
    | net::MSG_DONTROUTE
    | MSG_ZEROCOPY
    | net::MSG_CMSG_CLOEXEC;

/// Where a message goes. A socket of version 6 takes addresses of version 4, too.
fn destination(task: &Task, open: &Opened, at: u64, bytes: u64) -> Result<Address, Errno> {
    if open.socket().family() != Family::Unix && bytes < address::INET_BYTES as u64 {
        return Err(Errno::INVAL);
    }
    address_at(task, at, bytes)
}

/// Sends, and waits for room if that is wanted.
fn send(
    task: &mut Task,
    open: &Opened,
    from: &mut Transfer<'_>,
    sending: &Sending,
    flags: u64,
) -> Result<usize, Errno> {
    if flags as u32 & !SEND_FLAGS != 0 {
        return Err(Errno::OPNOTSUPP);
    }
    let socket = open.socket();
    let waits = flags as u32 & net::MSG_DONTWAIT == 0 && !open.0.is_nonblocking();
    let patience_ns = open.0.object.patience_ns().1;
    let is_stream = socket.kind() == net::SOCK_STREAM;
    let mut is_first = true;
    let without_files = Sending { files: Vec::new(), to: None, ..*sending };
    let mut attempt = |from: &mut Transfer<'_>| {
        // Of a stream the first piece alone has the files with it.
        let sending = if is_first || !is_stream { sending } else { &without_files };
        let sent = once_there_is_an_address(|| socket.send(from, sending));
        if sent.is_ok_and(|bytes| bytes > 0) {
            is_first = false;
        }
        sent
    };
    // A datagram is one piece, of nothing perhaps.
    let sent = repeat(task, &open.0, from, waits, patience_ns, is_stream, &mut attempt);
    if sent == Err(Errno::PIPE) && is_stream && flags as u32 & net::MSG_NOSIGNAL == 0 {
        broken_pipe(task);
    }
    sent
}

/// What was written goes out now, unless this thread will write more at once, or others have their turn first.
pub(super) fn after_send(task: &mut Task) {
    task.batch = task.batch.saturating_sub(1);
    if task.batch == 0 && !user::others_are_ready() {
        network::flush();
    }
}

pub(super) fn sendto(task: &mut Task, [fd, at, bytes, flags, address, address_bytes]: Args) -> Answer {
    let open = opened(task, fd)?;
    let to = if address == 0 { None } else { Some(destination(task, &open, address, address_bytes)?) };
    let to = to.filter(|to| *to != Address::Unspecified);
    // A stream that is connected knows where to.
    let to = if open.socket().kind() == net::SOCK_STREAM && open.socket().family() != Family::Unix { None } else { to };
    let mut from = Transfer::new(&task.process.memory, Access::Read, at, bytes)?;
    from.limit(super::io::BYTES_MAX);
    let more = flags as u32 & net::MSG_MORE != 0;
    let sent = send(task, &open, &mut from, &Sending { to, more, ..Sending::default() }, flags)?;
    after_send(task);
    Ok(sent as u64)
}

/// What goes along with a message: files, who it is from, which a program may not make up, and which address it is sent from.
fn control_of(task: &Task, header: &Msghdr) -> Result<(Vec<Arc<OpenFile>>, Option<IpAddr>), Errno> {
    let (mut files, mut from) = (Vec::new(), None);
    if header.control == 0 || header.controllen == 0 {
        return Ok((files, from));
    }
    if header.controllen > CONTROL_BYTES_MAX {
        return Err(Errno::NOBUFS);
    }
    let control: Vec<u8> = task.process.memory.get_list(header.control, header.controllen as usize)?;
    let mut rest = control.as_slice();
    while rest.len() >= HEADER_BYTES {
        let (told, _) = Cmsghdr::read_from_prefix(rest).map_err(|_| Errno::INVAL)?;
        let length = usize::try_from(told.bytes).map_err(|_| Errno::INVAL)?;
        let data = rest.get(HEADER_BYTES..length).ok_or(Errno::INVAL)?;
        match (told.level as u32, told.kind) {
            (net::SOL_SOCKET, SCM_RIGHTS) => {
                if data.len() / 4 + files.len() > FILES_MAX {
                    return Err(Errno::INVAL);
                }
                for fd in data.as_chunks::<4>().0 {
                    files.push(task.process.descriptors.get(i32::from_le_bytes(*fd) as u64)?);
                }
            }
            (net::SOL_SOCKET, SCM_CREDENTIALS) => {
                let (told, _) = Ucred::read_from_prefix(data).map_err(|_| Errno::INVAL)?;
                let is_privileged = task.process.identity.with(|identity| identity.is_privileged());
                if told.pid != task.process.pid && !is_privileged {
                    return Err(Errno::PERM);
                }
            }
            // The interface follows from the address.
            (0, IP_PKTINFO) => {
                let told = data.get(4..12).and_then(|rest| rest.first_chunk::<4>()).ok_or(Errno::INVAL)?;
                from = Some(IpAddr::from(*told));
            }
            (41, IPV6_PKTINFO) => {
                let told = data.get(..20).and_then(|told| told.first_chunk::<16>()).ok_or(Errno::INVAL)?;
                from = Some(IpAddr::from(*told).to_canonical());
            }
            _ => return Err(Errno::INVAL),
        }
        rest = rest.get(length.next_multiple_of(8)..).unwrap_or_default();
    }
    Ok((files, from.filter(|from| !from.is_unspecified())))
}

const IP_PKTINFO: i32 = 8;
const IPV6_PKTINFO: i32 = 50;

fn send_message(task: &mut Task, open: &Opened, header: &Msghdr, flags: u64) -> Result<usize, Errno> {
    let named = header.name != 0 && header.namelen != 0;
    let to = if named { Some(destination(task, open, header.name, header.namelen.into())?) } else { None };
    let to = if open.socket().kind() == net::SOCK_STREAM && open.socket().family() != Family::Unix { None } else { to };
    let (files, source) = control_of(task, header)?;
    if !files.is_empty() && open.socket().family() != Family::Unix {
        return Err(Errno::INVAL);
    }
    let mut from = pieces(task, Access::Read, header.iov, header.iovlen).map_err(message_error)?;
    let more = flags as u32 & net::MSG_MORE != 0;
    send(task, open, &mut from, &Sending { to, from: source, files, more }, flags)
}

/// Too many pieces are too long a message here.
fn message_error(error: Errno) -> Errno {
    if error == Errno::INVAL { Errno::MSGSIZE } else { error }
}

pub(super) fn sendmsg(task: &mut Task, [fd, header, flags, ..]: Args) -> Answer {
    let open = opened(task, fd)?;
    let header: Msghdr = task.process.memory.get(header)?;
    let sent = send_message(task, &open, &header, flags)?;
    after_send(task);
    Ok(sent as u64)
}

pub(super) fn sendmmsg(task: &mut Task, [fd, list, count, flags, ..]: Args) -> Answer {
    const BYTES: u64 = size_of::<Mmsghdr>() as u64;
    let open = opened(task, fd)?;
    let count = count.min(MESSAGES_MAX);
    for number in 0..count {
        let at = list.wrapping_add(number * BYTES);
        let sent = task.process.memory.get::<Mmsghdr>(at).and_then(|mut message| {
            message.bytes = send_message(task, &open, &message.header, flags)? as u32;
            task.process.memory.put(at, &message)
        });
        match sent {
            Ok(()) => {}
            Err(error) if number == 0 => return Err(error),
            Err(_) => {
                after_send(task);
                return Ok(number);
            }
        }
    }
    after_send(task);
    Ok(count)
}

// Receiving.

const RECEIVE_FLAGS: u32 = net::MSG_DONTWAIT
    | net::MSG_PEEK
    | net::MSG_TRUNC
    | net::MSG_WAITALL
    | net::MSG_CMSG_CLOEXEC
    | net::MSG_NOSIGNAL
    | MSG_WAITFORONE;

/// Receives, and waits for something if that is wanted.
fn receive(task: &mut Task, open: &Opened, to: &mut Transfer<'_>, flags: u64) -> Result<Received, Errno> {
    let has = |flag: u32| flags as u32 & flag != 0;
    if has(net::MSG_ERRQUEUE) {
        return Err(Errno::AGAIN); // nothing is ever put there
    }
    if has(net::MSG_OOB) {
        return Err(Errno::INVAL);
    }
    if flags as u32 & !RECEIVE_FLAGS != 0 {
        return Err(Errno::OPNOTSUPP);
    }
    let socket = open.socket();
    let is_stream = socket.kind() == net::SOCK_STREAM;
    let discard = has(net::MSG_TRUNC) && is_stream;
    let how = Receiving { peek: has(net::MSG_PEEK), discard };
    let waits = !has(net::MSG_DONTWAIT) && !open.0.is_nonblocking();
    let patience_ns = open.0.object.patience_ns().0;
    let all = has(net::MSG_WAITALL) && is_stream && !how.peek;
    // Of TCP it is waited until all can be seen at once.
    let sees_all = Cell::new(has(net::MSG_WAITALL) && is_stream && how.peek && socket.family() != Family::Unix);
    let sees_some = Cell::new(false);
    let mut first: Option<Received> = None;
    let mut attempt = |to: &mut Transfer<'_>| {
        let mut start = to.clone();
        let may_come = sees_all.get() && open.0.object.readiness().among(Events::READ_HUP).is_none();
        let received = socket.receive(to, how)?;
        if how.peek && to.is_stuck() {
            // What is looked at stays there, so it is looked at anew from the first byte on.
            start.stick(to);
            *to = start;
            return Err(Errno::AGAIN);
        }
        if may_come && received.bytes > 0 && to.left() > 0 {
            sees_some.set(true);
            *to = start;
            return Err(Errno::AGAIN);
        }
        let bytes = received.bytes;
        match &mut first {
            None => first = Some(received),
            Some(first) => {
                first.bytes += bytes;
                first.whole += received.whole;
                first.files.extend(received.files);
            }
        }
        Ok(bytes)
    };
    let bytes = match repeat(task, &open.0, to, waits, patience_ns, all, &mut attempt) {
        // That is all for now.
        Err(_) if sees_some.get() => {
            sees_all.set(false);
            repeat(task, &open.0, to, false, None, false, &mut attempt)?
        }
        bytes => bytes?,
    };
    let mut received = first.unwrap_or_default();
    received.bytes = bytes;
    Ok(received)
}

/// What the call returns: with `MSG_TRUNC` how long a datagram was.
fn told_bytes(received: &Received, flags: u64, is_stream: bool) -> usize {
    if flags as u32 & net::MSG_TRUNC != 0 && !is_stream { received.whole } else { received.bytes }
}

pub(super) fn recvfrom(task: &mut Task, [fd, at, bytes, flags, address, address_bytes]: Args) -> Answer {
    let open = opened(task, fd)?;
    let mut to = Transfer::new(&task.process.memory, Access::Write, at, bytes)?;
    to.limit(super::io::BYTES_MAX);
    let received = receive(task, &open, &mut to, flags)?;
    let socket = open.socket();
    match &received.from {
        Some(from) => tell_address(task, from, socket.family(), address, address_bytes)?,
        None if address != 0 && address_bytes != 0 => task.process.memory.put(address_bytes, &0_u32)?,
        None => {}
    }
    Ok(told_bytes(&received, flags, socket.kind() == net::SOCK_STREAM) as u64)
}

/// What goes along with a message, as far as there is room; whether there was too little.
struct Control {
    bytes: Vec<u8>,
    room: usize,
    is_cut: bool,
}

impl Control {
    fn push(&mut self, level: u32, kind: i32, data: &[u8]) {
        let length = HEADER_BYTES + data.len();
        if self.bytes.len() + length > self.room {
            self.is_cut = true;
            return;
        }
        let header = Cmsghdr { bytes: length as u64, level: level as i32, kind };
        self.bytes.extend_from_slice(header.as_bytes());
        self.bytes.extend_from_slice(data);
        let padded = self.bytes.len().next_multiple_of(8).min(self.room);
        self.bytes.resize(padded, 0);
    }
}

fn receive_message(task: &mut Task, open: &Opened, header: &mut Msghdr, flags: u64) -> Result<usize, Errno> {
    let mut to = pieces(task, Access::Write, header.iov, header.iovlen).map_err(message_error)?;
    let received = receive(task, open, &mut to, flags)?;
    let socket = open.socket();
    let memory = &task.process.memory;
    let is_stream = socket.kind() == net::SOCK_STREAM;
    let mut told = 0;
    if received.ends_record && socket.kind() == net::SOCK_SEQPACKET {
        told |= net::MSG_EOR;
    }
    if received.whole > received.bytes && !is_stream {
        told |= net::MSG_TRUNC;
    }
    if header.name != 0 {
        let encoded = match &received.from {
            Some(from) if !(is_stream && socket.family() != Family::Unix) => from.encode(socket.family()),
            _ => Vec::new(),
        };
        let room = (header.namelen as usize).min(encoded.len());
        memory.write(header.name, &encoded[..room])?;
        header.namelen = encoded.len() as u32;
    }
    let room = if header.control == 0 { 0 } else { header.controllen as usize };
    let mut control = Control { bytes: Vec::new(), room, is_cut: false };
    if socket.passes_credentials()
        && let Some((pid, uid, gid)) = received.credentials
    {
        control.push(net::SOL_SOCKET, SCM_CREDENTIALS, Ucred { pid, uid, gid }.as_bytes());
    }
    if socket.tells_destination()
        && let Some(destination) = received.to
    {
        push_destination(&mut control, destination, socket.family());
    }
    if !received.files.is_empty() {
        let fds = take_files(task, received.files, &mut control, flags);
        if !fds.is_empty() {
            control.push(net::SOL_SOCKET, SCM_RIGHTS, fds.as_slice().as_bytes());
        }
    }
    let memory = &task.process.memory;
    memory.write(header.control, &control.bytes)?;
    header.controllen = control.bytes.len() as u64;
    if control.is_cut {
        told |= net::MSG_CTRUNC;
    }
    if flags as u32 & net::MSG_CMSG_CLOEXEC != 0 {
        told |= net::MSG_CMSG_CLOEXEC;
    }
    header.flags = told as i32;
    let bytes = if flags as u32 & net::MSG_TRUNC != 0 && !is_stream { received.whole } else { received.bytes };
    Ok(bytes)
}

/// Gives files that came along numbers, as many as there is room to tell of.
fn take_files(task: &Task, files: Vec<Arc<OpenFile>>, control: &mut Control, flags: u64) -> Vec<i32> {
    let room = control.room.saturating_sub(control.bytes.len() + HEADER_BYTES) / 4;
    let close_on_exec = if flags as u32 & net::MSG_CMSG_CLOEXEC != 0 { O_CLOEXEC } else { 0 };
    control.is_cut |= files.len() > room;
    let mut fds = Vec::new();
    for file in files.into_iter().take(room) {
        match super::descriptors::add_file(task, file, close_on_exec.into()) {
            Ok(fd) => fds.push(fd as i32),
            Err(_) => {
                control.is_cut = true;
                break;
            }
        }
    }
    fds
}

fn push_destination(control: &mut Control, destination: IpAddr, family: Family) {
    let interface = if destination.is_loopback() { address::LOOPBACK } else { address::CARD };
    match (destination, family) {
        (IpAddr::V4(ip), Family::Inet) => {
            // in_pktinfo: the interface, and the address twice.
            let mut data = interface.to_le_bytes().to_vec();
            data.extend(ip.octets());
            data.extend(ip.octets());
            control.push(0, IP_PKTINFO, &data);
        }
        (ip, _) => {
            let ip = match ip {
                IpAddr::V4(ip) => ip.to_ipv6_mapped(),
                IpAddr::V6(ip) => ip,
            };
            let mut data = ip.octets().to_vec();
            data.extend(interface.to_le_bytes());
            control.push(41, IPV6_PKTINFO, &data);
        }
    }
}

pub(super) fn recvmsg(task: &mut Task, [fd, at, flags, ..]: Args) -> Answer {
    let open = opened(task, fd)?;
    let mut header: Msghdr = task.process.memory.get(at)?;
    let bytes = receive_message(task, &open, &mut header, flags)?;
    task.process.memory.put(at, &header)?;
    Ok(bytes as u64)
}

pub(super) fn recvmmsg(task: &mut Task, [fd, list, count, flags, timeout, _]: Args) -> Answer {
    let open = opened(task, fd)?;
    let deadline = match timeout {
        0 => None,
        at => {
            let time: Timespec = task.process.memory.get(at)?;
            Some(now_ns().saturating_add(time.to_ns().ok_or(Errno::INVAL)?))
        }
    };
    let answer = receive_messages(task, &open, list, count.min(MESSAGES_MAX), flags, deadline);
    if let (Ok(_), Some(deadline)) = (answer, deadline) {
        task.process.memory.put(timeout, &Timespec::from_ns(deadline.saturating_sub(now_ns())))?;
    }
    answer
}

fn receive_messages(
    task: &mut Task,
    open: &Opened,
    list: u64,
    count: u64,
    mut flags: u64,
    deadline: Option<u64>,
) -> Answer {
    const BYTES: u64 = size_of::<Mmsghdr>() as u64;
    for number in 0..count {
        // As on Linux the time is looked at between messages.
        if number > 0 && deadline.is_some_and(|deadline| now_ns() >= deadline) {
            return Ok(number);
        }
        let at = list.wrapping_add(number * BYTES);
        let received = task.process.memory.get::<Mmsghdr>(at).and_then(|mut message| {
            message.bytes = receive_message(task, open, &mut message.header, flags)? as u32;
            task.process.memory.put(at, &message)
        });
        match received {
            Ok(()) => {}
            Err(error) if number == 0 => return Err(error),
            Err(_) => return Ok(number),
        }
        if flags as u32 & MSG_WAITFORONE != 0 {
            flags |= u64::from(net::MSG_DONTWAIT);
        }
    }
    Ok(count)
}
