//! UDP sockets.

use super::ends::Kind;
use super::groups::{self, Groups};
use super::ip_options::{check_level, ip_option, set_ip_option, set_v6_only};
use super::options::{SOL_IP, SOL_IPV6, SOL_SOCKET, Shared, number};
use super::{Half, Received, Receiving, Sending, Socket, Told, errno, events, next_ino};
use crate::interfaces;
use crate::memory::Transfer;
use crate::objects::{Object, OpenFile};
use crate::task::Task;
use crate::watch::{Events, Source};
use core::net::{IpAddr, SocketAddr};
use toro::net::socket::udp::{self, UdpOption};
use toro::net::socket::{Error, Port, Protocol, Sharing, Watcher};
use toro::prelude::*;
use toro::sync::atomic::{AtomicBool, AtomicI32, Ordering::Relaxed};
use toro::sync::{Arc, SpinLock};
use toro_linux_abi::address::{Address, Family};
use toro_linux_abi::errno::Errno;
use toro_linux_abi::layout::Stat;
use toro_linux_abi::raw::{ioctl, net};

/// Longest datagram, which is one of IPv6: of IPv4 the network says so.
const BYTES_MAX: usize = 65_527;

/// A datagram of IPv6 that every link carries whole.
const WHOLE_BYTES: usize = 1280 - 48;

/// A socket that has a port.
struct Open {
    port: Port,
    socket: udp::Socket,
}

/// A UDP socket.
pub(crate) struct UdpSocket {
    family: Family,
    open: SpinLock<Option<Arc<Open>>>,
    is_read_closed: AtomicBool,
    is_write_closed: AtomicBool,
    told: Arc<Told>,
    options: Shared,
    hops: AtomicI32,
    service: AtomicI32,
    groups: SpinLock<Groups>,
    /// `IP_PKTINFO` or `IPV6_RECVPKTINFO`.
    tells_destination: AtomicBool,
    ino: u64,
}

/// `IP_PKTINFO` of IP, `IPV6_RECVPKTINFO` of IPv6.
pub(crate) const IP_PKTINFO: u32 = 8;
/// See there.
pub(crate) const IPV6_RECVPKTINFO: u32 = 49;

impl UdpSocket {
    /// A socket without a port.
    pub(crate) fn new(family: Family) -> Self {
        UdpSocket {
            family,
            open: SpinLock::new(None),
            is_read_closed: AtomicBool::new(false),
            is_write_closed: AtomicBool::new(false),
            told: Arc::new(Told(Source::new())),
            options: Shared::new(),
            hops: AtomicI32::new(64),
            service: AtomicI32::new(0),
            groups: SpinLock::new(Groups::new()),
            tells_destination: AtomicBool::new(false),
            ino: next_ino(),
        }
    }

    fn open(&self) -> Option<Arc<Open>> {
        self.open.with(|open| open.as_ref().map(Arc::clone))
    }

    fn take_port(&self, address: SocketAddr) -> Result<Arc<Open>, Errno> {
        let options = self.options.get();
        let sharing =
            Sharing { reuse_address: options.reuse_address, reuse_port: options.reuse_port, v6_only: options.v6_only };
        let port = Port::reserve(Protocol::Udp, address, sharing).map_err(errno)?;
        let socket = udp::Socket::open(&port).map_err(errno)?;
        socket.set(UdpOption::Broadcast(options.broadcast)).map_err(errno)?;
        let (hops, service) = (self.hops.load(Relaxed), self.service.load(Relaxed));
        if hops != 64 {
            socket.set(UdpOption::Hops(hops as u8)).map_err(errno)?;
        }
        if service != 0 {
            socket.set(UdpOption::Service(service as u8)).map_err(errno)?;
        }
        self.groups.with(|groups| groups.apply(&socket)).map_err(errno)?;
        socket.set_watcher(Some(Arc::clone(&self.told) as Arc<dyn Watcher>)).map_err(errno)?;
        let open = Arc::new(Open { port, socket });
        // Of two threads that did so at once, the first counts.
        let open = self.open.with(|place| Arc::clone(place.get_or_insert(open)));
        self.told.0.notify();
        Ok(open)
    }

    /// What there is, with a port of the kernel's choice if there is none.
    fn opened(&self) -> Result<Arc<Open>, Errno> {
        match self.open() {
            Some(open) => Ok(open),
            None => self.take_port(self.ends().anywhere()),
        }
    }

    fn ends(&self) -> Kind {
        Kind { family: self.family, v6_only: self.options.get().v6_only, stream: false }
    }

    fn apply(&self, option: UdpOption) -> Result<(), Errno> {
        self.open().map_or(Ok(()), |open| open.socket.set(option).map_err(errno))
    }
}

/// How long a datagram to there can be without being divided by this machine.
fn whole_bytes_max(to: IpAddr) -> usize {
    let Some(source) = toro::net::source_for(to).filter(|_| !to.is_loopback()) else { return BYTES_MAX };
    let headers = if to.is_ipv4() { 28 } else { 48 };
    let cards = toro::net::cards();
    let card = cards.iter().find(|card| card.addresses.iter().any(|(own, _)| *own == source && *own != to));
    card.map_or(BYTES_MAX, |card| card.mtu_bytes as usize - headers)
}

impl Socket for UdpSocket {
    fn family(&self) -> Family {
        self.family
    }

    fn kind(&self) -> u32 {
        net::SOCK_DGRAM
    }

    fn protocol(&self) -> u32 {
        net::IPPROTO_UDP as u32
    }

    fn bind(&self, address: &Address) -> Result<(), Errno> {
        let address = self.ends().local(address)?;
        if self.open().is_some() {
            return Err(Errno::INVAL);
        }
        self.take_port(address).map(drop)
    }

    fn listen(&self, _backlog: usize) -> Result<(), Errno> {
        Err(Errno::OPNOTSUPP)
    }

    fn accept(&self) -> Result<(Box<dyn Object>, Address), Errno> {
        Err(Errno::OPNOTSUPP)
    }

    fn connect(&self, address: &Address) -> Result<(), Errno> {
        let peer = match address {
            Address::Unspecified => None,
            address => Some(self.ends().remote(address)?),
        };
        if peer.is_some_and(|peer| toro::net::source_for(peer.ip()).is_none()) {
            return Err(Errno::NETUNREACH);
        }
        self.opened()?.socket.connect(peer).map_err(errno)
    }

    fn finish_connect(&self) -> Result<(), Errno> {
        Ok(())
    }

    fn local(&self) -> Result<Address, Errno> {
        let address = match self.open() {
            Some(open) => open.socket.address().unwrap_or_else(|_| open.port.address()),
            None => self.ends().anywhere(),
        };
        Ok(Address::Inet(address))
    }

    fn peer(&self) -> Result<Address, Errno> {
        let open = self.open().ok_or(Errno::NOTCONN)?;
        open.socket.peer().map(Address::Inet).map_err(|_| Errno::NOTCONN)
    }

    fn send(&self, from: &mut Transfer<'_>, sending: &Sending) -> Result<usize, Errno> {
        if from.left() > BYTES_MAX {
            return Err(Errno::MSGSIZE);
        }
        let open = self.opened()?;
        let to = match &sending.to {
            Some(address) => self.ends().remote(address)?,
            None => open.socket.peer().map_err(|_| Errno::DESTADDRREQ)?,
        };
        if self.is_write_closed.load(Relaxed) {
            return Err(if to.port() == 0 { Errno::INVAL } else { Errno::PIPE });
        }
        if from.left() > WHOLE_BYTES && !self.options.get().divides.here() && from.left() > whole_bytes_max(to.ip()) {
            return Err(Errno::MSGSIZE);
        }
        let mut bytes = Vec::new();
        bytes.try_reserve_exact(from.left()).map_err(|_| Errno::NOBUFS)?;
        bytes.resize(from.left(), 0);
        let before = from.clone();
        if from.take(&mut bytes) < bytes.len() {
            // All of it, once the page is there.
            let stuck = core::mem::replace(from, before);
            from.stick(&stuck);
            return Err(Errno::AGAIN);
        }
        open.socket.try_send_to(&bytes, sending.from, to).map_err(|error| match (error, sending.from) {
            (Error::AddressNotAvailable, Some(IpAddr::V4(_))) => Errno::NETUNREACH,
            (Error::AddressNotAvailable, Some(IpAddr::V6(_))) => Errno::INVAL,
            (error, _) => errno(error),
        })?;
        Ok(bytes.len())
    }

    fn receive(&self, to: &mut Transfer<'_>, how: Receiving) -> Result<Received, Errno> {
        let open = self.opened()?;
        let mut bytes = Vec::new();
        let room = to.left().min(open.socket.next_bytes());
        bytes.try_reserve_exact(room).map_err(|_| Errno::NOBUFS)?;
        bytes.resize(room, 0);
        // It is taken once it is known that the program can have it.
        if room > 0 && !to.is_writable(room) {
            return Err(Errno::AGAIN);
        }
        let datagram = match open.socket.try_receive(&mut bytes, how.peek).map_err(errno) {
            Err(Errno::AGAIN) if self.is_read_closed.load(Relaxed) => return Ok(Received::default()),
            datagram => datagram?,
        };
        let given = to.give(&bytes[..datagram.copied_bytes]);
        Ok(Received {
            bytes: given,
            whole: datagram.bytes,
            from: Some(Address::Inet(datagram.source)),
            ends_record: true,
            to: Some(datagram.destination),
            ..Received::default()
        })
    }

    fn shutdown(&self, half: Half) -> Result<(), Errno> {
        // It counts without a peer, too, as whoever waits for a datagram is told.
        self.is_read_closed.fetch_or(half != Half::Write, Relaxed);
        self.is_write_closed.fetch_or(half != Half::Read, Relaxed);
        self.told.0.notify();
        self.peer().map(drop)
    }

    fn set_option(&self, level: u32, name: u32, value: &[u8]) -> Result<(), Errno> {
        check_level(level, self.family, Errno::NOPROTOOPT)?;
        if let Some(answer) = set_v6_only(level, name, value, &self.options, self.open().is_some()) {
            return answer;
        }
        match (level, name) {
            (SOL_SOCKET, name) => {
                self.options.set(name, value)?;
                if name == net::SO_BROADCAST {
                    self.apply(UdpOption::Broadcast(self.options.get().broadcast))?;
                }
                Ok(())
            }
            (SOL_IP, IP_PKTINFO) | (SOL_IPV6, IPV6_RECVPKTINFO) => {
                self.tells_destination.store(number(value)? != 0, Relaxed);
                Ok(())
            }
            (SOL_IP, groups::JOIN | groups::LEAVE)
            | (SOL_IPV6, groups::JOIN6 | groups::LEAVE6)
            | (SOL_IP | SOL_IPV6, groups::JOIN_ANY | groups::LEAVE_ANY) => {
                let (interface, option) = groups::membership(level, name, value)?;
                match self.open() {
                    Some(open) => interface.set(&open.socket, option).map_err(groups::errno),
                    None => self.groups.with(|groups| groups.remember(interface, option)),
                }
            }
            (SOL_IP, groups::INTERFACE) | (SOL_IPV6, groups::INTERFACE6) => {
                let chosen = groups::chosen(level, value)?;
                self.groups.with(|groups| groups.choose(chosen));
                self.open().map_or(Ok(()), |open| chosen.0.choose(&open.socket).map_err(errno))
            }
            (SOL_IP, groups::HOPS | groups::LOOP) | (SOL_IPV6, groups::HOPS6 | groups::LOOP6) => {
                self.apply(self.groups.with(|groups| groups.set(level, name, value))?)
            }
            (SOL_IP | SOL_IPV6, name) => set_ip_option(level, name, value, &self.options, |hops, service| {
                if let Some(hops) = hops {
                    self.hops.store(hops.into(), Relaxed);
                    self.apply(UdpOption::Hops(hops))?;
                }
                if let Some(service) = service {
                    self.service.store(service.into(), Relaxed);
                    self.apply(UdpOption::Service(service))?;
                }
                Ok(())
            }),
            _ => Err(Errno::NOPROTOOPT),
        }
    }

    fn option(&self, level: u32, name: u32) -> Result<Vec<u8>, Errno> {
        check_level(level, self.family, Errno::OPNOTSUPP)?;
        let number = match (level, name) {
            (SOL_SOCKET, net::SO_ERROR) => {
                let error = self.open().and_then(|open| open.socket.take_error());
                error.map_or(0, |error| errno(error).number().into())
            }
            (SOL_SOCKET, net::SO_ACCEPTCONN) => 0,
            (SOL_SOCKET, name) => return self.options.option(name),
            (SOL_IP, IP_PKTINFO) | (SOL_IPV6, IPV6_RECVPKTINFO) => self.tells_destination.load(Relaxed).into(),
            (SOL_IP, groups::INTERFACE | groups::HOPS | groups::LOOP)
            | (SOL_IPV6, groups::INTERFACE6 | groups::HOPS6 | groups::LOOP6) => {
                self.groups.with(|groups| groups.get(name))
            }
            (level, name) => {
                ip_option(level, name, &self.options, self.hops.load(Relaxed), self.service.load(Relaxed))?
            }
        };
        Ok(number.to_le_bytes().to_vec())
    }

    fn tells_destination(&self) -> bool {
        self.tells_destination.load(Relaxed)
    }
}

impl Object for UdpSocket {
    fn read(&self, _open: &OpenFile, to: &mut Transfer<'_>) -> Result<usize, Errno> {
        self.receive(to, Receiving::default()).map(|received| received.bytes)
    }

    fn write(&self, _open: &OpenFile, from: &mut Transfer<'_>) -> Result<usize, Errno> {
        self.send(from, &Sending::default())
    }

    fn readiness(&self) -> Events {
        let ready = self.open().map_or(Events::OUT, |open| {
            let mut ready = open.socket.readiness();
            // An error is nothing to be read here.
            ready.readable &= !ready.error || open.socket.next_bytes() > 0;
            events(ready)
        });
        let (reads, writes) = (!self.is_read_closed.load(Relaxed), !self.is_write_closed.load(Relaxed));
        ready.and(Events::IN.and(Events::READ_HUP).when(!reads)).and(Events::HUP.when(!reads && !writes))
    }

    fn source(&self) -> Option<&Source> {
        Some(&self.told.0)
    }

    fn status(&self) -> Stat {
        super::status(self.ino)
    }

    fn control(&self, task: &mut Task, request: u32, argument: u64) -> Result<u64, Errno> {
        let bytes = match request {
            ioctl::FIONREAD => self.open().map_or(0, |open| open.socket.next_bytes()),
            ioctl::TIOCOUTQ => 0,
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
