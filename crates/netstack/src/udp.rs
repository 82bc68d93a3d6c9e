//! UDP sockets: a port each or shared by consent, a bounded queue, and errors for those that named their peer.

mod options;
mod room;

pub use options::UdpOption;

use crate::address::Way;
use crate::config::Limits;
use crate::datagram::{self, HEADER_BYTES};
use crate::device::Received;
use crate::error::Error;
use crate::event::{Event, UdpId};
use crate::fragments::packet_bytes_max;
use crate::report::SocketReport;
use crate::shared::Shared;
use crate::sharing::{Claim, Sharing, speaks, takes};
use crate::slab::{Key, Slab};
use crate::steering::Protocol;
use crate::tcp::{Tuple, flow};
use alloc::collections::VecDeque;
use alloc::vec::Vec;
use core::net::{IpAddr, SocketAddr};
use toro_tcp::packet::{self, Packet};
use toro_tcp::{End, Ip, PacketSink};

/// What a queued datagram counts for beyond its bytes.
const DATAGRAM_COST_BYTES: usize = 64;

#[derive(Debug)]
struct Waiting {
    source: End,
    destination: Ip,
    data: Vec<u8>,
}

impl Waiting {
    fn cost_bytes(&self) -> usize {
        self.data.len() + DATAGRAM_COST_BYTES
    }
}

/// A datagram that was received.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Datagram {
    /// Bytes that fitted in the buffer.
    pub copied_bytes: usize,
    /// All its bytes.
    pub bytes: usize,
    /// Who sent it.
    pub source: SocketAddr,
    /// Which of our addresses, or of everybody's, it was sent to.
    pub destination: IpAddr,
}

#[derive(Debug)]
struct Socket {
    address: End,
    /// What it was bound to, before it named its peer.
    bound: Ip,
    sharing: Sharing,
    peer: Option<End>,
    queue: VecDeque<Waiting>,
    queued_bytes: usize,
    wants_read: bool,
    /// It found no room for what it sends by this link.
    wants_write: Option<u8>,
    broadcast: bool,
    hops: u8,
    service: u8,
    /// Each with its link.
    groups: Vec<(u8, Ip)>,
    group_hops: u8,
    group_loop: bool,
    group_inside: bool,
    /// The link by which datagrams to groups leave.
    group_link: Option<u8>,
    error: Option<Error>,
}

impl Socket {
    /// How well a datagram suits it; `None`: not at all.
    fn suits(&self, source: End, destination: Ip) -> Option<u8> {
        let bound = self.address.ip;
        let addressed = takes(bound, self.sharing, destination);
        let heard = self.peer.is_none_or(|peer| peer == source);
        (addressed && heard).then(|| 2 * u8::from(self.peer.is_some()) + u8::from(!bound.is_unspecified()))
    }

    fn claim(&self) -> Claim {
        Claim { ip: self.address.ip, sharing: self.sharing, exclusive: false }
    }
}

/// All UDP sockets.
#[derive(Debug)]
pub(crate) struct Udp {
    sockets: Slab<Socket>,
    /// Port and socket, in order of the port, and of age.
    ports: Vec<(u16, u32)>,
    /// Some socket waits for room.
    awaits_room: bool,
}

impl Udp {
    pub(crate) fn new() -> Self {
        Udp { sockets: Slab::new(), ports: Vec::new(), awaits_room: false }
    }

    /// Takes a port; 0 picks a free one.
    pub(crate) fn bind(&mut self, address: End, sharing: Sharing, shared: &mut Shared) -> Result<UdpId, Error> {
        let ip = address.ip;
        if !(ip.is_unspecified() || shared.is_local(ip) || shared.is_broadcast(ip) || ip.is_multicast()) {
            return Err(Error::AddressNotAvailable);
        }
        let claim = Claim { ip, sharing, exclusive: false };
        let port = match address.port {
            0 => crate::tcp::ephemeral_ports(shared.random.draw())
                .find(|&port| shared.may_choose(Protocol::Udp, port) && !self.has(port))
                .ok_or(Error::AddressInUse)?,
            port if self.at(port).any(|(_, socket)| socket.claim().conflicts(&claim)) => {
                return Err(Error::AddressInUse);
            }
            port => port,
        };
        let socket = Socket {
            address: End::new(ip, port),
            bound: ip,
            sharing,
            peer: None,
            queue: VecDeque::new(),
            queued_bytes: 0,
            wants_read: false,
            wants_write: None,
            broadcast: false,
            hops: packet::HOPS,
            service: 0,
            groups: Vec::new(),
            group_hops: 1,
            group_loop: true,
            group_inside: false,
            group_link: None,
            error: None,
        };
        self.ports.try_reserve(1).map_err(|_| Error::OutOfMemory)?;
        let key = self.sockets.insert(socket).map_err(|_| Error::OutOfMemory)?;
        // A port that this core chose itself is found by its value.
        if address.port != 0 && shared.listen(Protocol::Udp, port).is_none() {
            self.sockets.remove(key.index);
            return Err(Error::OutOfMemory);
        }
        let place = self.ports.partition_point(|&(taken, _)| taken <= port);
        self.ports.insert(place, (port, key.index));
        Ok(UdpId(key))
    }

    pub(crate) fn close(&mut self, id: UdpId, shared: &mut Shared) {
        if self.sockets.get_key(id.0).is_some()
            && let Some(socket) = self.sockets.remove(id.0.index)
        {
            self.ports.retain(|&(_, index)| index != id.0.index);
            if !self.has(socket.address.port) {
                shared.unlisten(Protocol::Udp, socket.address.port);
            }
            shared.memory.refund(socket.queued_bytes);
            for (link, group) in socket.groups {
                shared.with_link(link, |shared| shared.leave(group));
            }
        }
    }

    /// The socket with this number.
    pub(crate) fn at_index(&self, index: usize) -> Option<UdpId> {
        self.sockets.key(index as u32).map(UdpId)
    }

    /// The sockets that have the port, with their places.
    fn at(&self, port: u16) -> impl DoubleEndedIterator<Item = (u32, &Socket)> {
        let first = self.ports.partition_point(|&(taken, _)| taken < port);
        let end = first + self.ports[first..].partition_point(|&(taken, _)| taken == port);
        self.ports[first..end].iter().filter_map(|&(_, index)| Some((index, self.sockets.get(index)?)))
    }

    /// Whether a socket has the port.
    pub(crate) fn has(&self, port: u16) -> bool {
        self.ports.binary_search_by_key(&port, |&(taken, _)| taken).is_ok()
    }

    fn get(&mut self, id: UdpId) -> Result<&mut Socket, Error> {
        self.sockets.get_key_mut(id.0).ok_or(Error::NotConnected)
    }

    pub(crate) fn address(&self, id: UdpId) -> Result<End, Error> {
        self.sockets.get_key(id.0).map(|socket| socket.address).ok_or(Error::NotConnected)
    }

    /// The link by which a socket speaks to an address.
    #[inline]
    fn link_for(&self, id: UdpId, source: Option<Ip>, to: Ip, shared: &Shared) -> u8 {
        if !shared.has_several() {
            return 0;
        }
        let Some(socket) = self.sockets.get_key(id.0) else { return 0 };
        let source = source.unwrap_or(socket.address.ip);
        socket.group_link.filter(|_| to.is_multicast()).unwrap_or_else(|| shared.link_for(source, to))
    }

    /// Names the one peer to speak with, and others are not heard any more; or everybody is heard again.
    pub(crate) fn connect(&mut self, id: UdpId, peer: Option<End>, shared: &mut Shared) -> Result<(), Error> {
        let bound = self.get(id)?.bound;
        let link = peer.map_or(0, |peer| shared.link_for(bound, peer.ip));
        shared.with_link(link, |shared| self.connect_here(id, peer, shared))
    }

    fn connect_here(&mut self, id: UdpId, peer: Option<End>, shared: &mut Shared) -> Result<(), Error> {
        let socket = self.get(id)?;
        socket.address.ip = socket.bound;
        socket.peer = None;
        let Some(peer) = peer else { return Ok(()) };
        // Nothing can be sent to port 0, but who only wants to know the way asks for that.
        if peer.ip.is_unspecified() {
            return Err(Error::InvalidInput);
        }
        if !speaks(socket.bound, socket.sharing, peer.ip) {
            return Err(Error::Unsupported);
        }
        match shared.way(peer.ip) {
            Some(Way::Broadcast) if !socket.broadcast && !peer.ip.is_multicast() => {
                return Err(Error::PermissionDenied);
            }
            // Without an address yet it has none to speak from; it gets one with the first datagram.
            None => {}
            Some(_) if socket.address.ip.is_unspecified() => {
                if let Some(source) = shared.addresses.source_for(peer.ip) {
                    socket.address.ip = source;
                }
            }
            Some(_) => {}
        }
        socket.peer = Some(peer);
        Ok(())
    }

    pub(crate) fn peer(&self, id: UdpId) -> Result<End, Error> {
        self.sockets.get_key(id.0).and_then(|socket| socket.peer).ok_or(Error::NotConnected)
    }

    /// Sends a datagram, in pieces if its way carries no more.
    pub(crate) fn send(
        &mut self,
        id: UdpId,
        data: &[u8],
        source: Option<Ip>,
        destination: End,
        shared: &mut Shared,
    ) -> Result<(), Error> {
        let link = self.link_for(id, source, destination.ip, shared);
        shared.with_link(link, |shared| self.send_here(id, data, source, destination, shared))
    }

    fn send_here(
        &mut self,
        id: UdpId,
        data: &[u8],
        source: Option<Ip>,
        destination: End,
        shared: &mut Shared,
    ) -> Result<(), Error> {
        let socket = self.sockets.get_key_mut(id.0).ok_or(Error::NotConnected)?;
        if let Some(error) = socket.error.take_if(|_| socket.peer.is_some()) {
            return Err(error);
        }
        let (ip, port) = (destination.ip, destination.port);
        if port == 0 || ip.is_unspecified() {
            return Err(Error::InvalidInput);
        }
        if !speaks(socket.bound, socket.sharing, ip) {
            return Err(Error::Unsupported);
        }
        let len_bytes = packet::header_bytes(ip) + HEADER_BYTES + data.len();
        if len_bytes > packet_bytes_max(ip) {
            return Err(Error::MessageTooLong);
        }
        let to_group = ip.is_multicast();
        let inside = to_group && (socket.group_inside || socket.group_hops == 0);
        let way = if inside { Some(Way::Loopback) } else { shared.way(ip) };
        let own = |shared: &Shared| shared.addresses.source_for(ip).ok_or(Error::NetworkUnreachable);
        let source = match source.unwrap_or(socket.address.ip) {
            named if named.is_v4() != ip.is_v4() && !named.is_unspecified() => return Err(Error::AddressNotAvailable),
            // No other machine could answer it.
            bound if bound.is_loopback() && way != Some(Way::Loopback) => return Err(Error::InvalidInput),
            bound if shared.addresses.is_local(bound) => bound,
            bound if inside && bound.is_unspecified() => {
                if ip.is_v4() {
                    Ip::LOCALHOST_V4
                } else {
                    Ip::LOCALHOST
                }
            }
            bound if bound.is_unspecified() || shared.addresses.is_broadcast(bound) || bound.is_multicast() => {
                own(shared)?
            }
            _ => return Err(Error::AddressNotAvailable),
        };
        match way {
            None => return Err(Error::NetworkUnreachable),
            Some(Way::Broadcast) if !to_group && !socket.broadcast => return Err(Error::PermissionDenied),
            Some(_) => {}
        }
        let room = if way == Some(Way::Loopback) { shared.loopback.ready() } else { shared.outbox.takes_datagrams() };
        if !room {
            socket.wants_write = Some(shared.at());
            self.awaits_room = true;
            return Err(Error::WouldBlock);
        }
        let ports = (socket.address.port, port);
        let (hops, service) = (if to_group { socket.group_hops } else { socket.hops }, socket.service);
        let mut written = false;
        let mut fill = |packet: &mut [u8]| {
            datagram::write(packet, source, ip, ports, data);
            if (hops, service) != (packet::HOPS, 0) {
                packet::mark(packet, hops, service);
            }
            written = true;
        };
        if to_group && (socket.group_loop || socket.group_inside) && shared.groups().has(ip) {
            shared.loopback.packet(len_bytes, &mut fill);
        }
        if inside {
            return Ok(());
        }
        shared.send(ip, len_bytes, &mut fill);
        if written { Ok(()) } else { Err(Error::OutOfMemory) }
    }

    /// The next datagram, cut to the buffer.
    pub(crate) fn receive_from(
        &mut self,
        id: UdpId,
        buffer: &mut [u8],
        keep: bool,
        shared: &mut Shared,
    ) -> Result<Datagram, Error> {
        let socket = self.get(id)?;
        if let Some(error) = socket.error.take() {
            return Err(error);
        }
        let Some(waiting) = socket.queue.front() else {
            socket.wants_read = true;
            return Err(Error::WouldBlock);
        };
        let copied_bytes = waiting.data.len().min(buffer.len());
        buffer[..copied_bytes].copy_from_slice(&waiting.data[..copied_bytes]);
        let datagram = Datagram {
            copied_bytes,
            bytes: waiting.data.len(),
            source: waiting.source.into(),
            destination: waiting.destination.addr(),
        };
        if !keep && let Some(waiting) = socket.queue.pop_front() {
            socket.queued_bytes -= waiting.cost_bytes();
            shared.memory.refund(waiting.cost_bytes());
        }
        Ok(datagram)
    }

    /// Bytes of the next datagram.
    pub(crate) fn next_bytes(&self, id: UdpId) -> usize {
        self.sockets.get_key(id.0).and_then(|socket| socket.queue.front()).map_or(0, |waiting| waiting.data.len())
    }

    pub(crate) fn take_error(&mut self, id: UdpId) -> Option<Error> {
        self.get(id).ok()?.error.take()
    }

    /// Takes a packet. `false` when no socket wants it.
    pub(crate) fn receive(
        &mut self,
        packet: &Packet<'_>,
        to_everybody: bool,
        checksum: Received,
        shared: &mut Shared,
    ) -> bool {
        let Some((header, data)) = datagram::parse(packet, checksum) else {
            shared.statistics.malformed += 1;
            return true;
        };
        let source = End::new(packet.source, header.0);
        let (port, destination) = (header.1, packet.destination);
        if to_everybody {
            // Each that suits gets a copy.
            let mut found = false;
            for place in 0..self.ports.len() {
                let (taken, index) = self.ports[place];
                let suits = || self.sockets.get(index)?.suits(source, destination);
                if taken == port && suits().is_some() {
                    self.keep(index, source, destination, data, shared);
                    found = true;
                }
            }
            return found;
        }
        match self.best_for(port, source, destination, shared) {
            Some(index) => {
                self.keep(index, source, destination, data, shared);
                true
            }
            None => false,
        }
    }

    /// The socket that a datagram suits best; of several that share the port, the one that the flow falls to, or else the
    /// newest.
    fn best_for(&self, port: u16, source: End, destination: Ip, shared: &Shared) -> Option<u32> {
        let suiting = || {
            self.at(port).rev().filter_map(|(index, socket)| Some((socket.suits(source, destination)?, index, socket)))
        };
        let best = suiting().map(|(score, ..)| score).max()?;
        let equals = || suiting().filter(|(score, ..)| *score == best);
        let (_, index, socket) = equals().next()?;
        if !socket.sharing.reuse_port {
            return Some(index);
        }
        let tuple = Tuple { local: destination, remote: source.ip, local_port: port, remote_port: source.port };
        let skipped = ((flow(&tuple, &shared.config) >> 32) * equals().count() as u64) >> 32;
        equals().nth(skipped as usize).map(|(_, index, _)| index)
    }

    fn keep(&mut self, index: u32, source: End, destination: Ip, data: &[u8], shared: &mut Shared) {
        let Some(key) = self.sockets.key(index) else { return };
        let Some(socket) = self.sockets.get_mut(index) else { return };
        let cost_bytes = data.len() + DATAGRAM_COST_BYTES;
        let fits = socket.queued_bytes + cost_bytes <= shared.config.limits.udp_queue_bytes;
        if !fits || !shared.memory.charge(cost_bytes) {
            shared.statistics.datagrams_dropped += 1;
            return;
        }
        let mut kept = Vec::new();
        if kept.try_reserve_exact(data.len()).is_err() || socket.queue.try_reserve(1).is_err() {
            shared.memory.refund(cost_bytes);
            shared.statistics.out_of_memory += 1;
            return;
        }
        kept.extend_from_slice(data);
        socket.queued_bytes += cost_bytes;
        socket.queue.push_back(Waiting { source, destination, data: kept });
        tell(socket, key, shared);
    }

    /// See [`Stack::assert_sound`](crate::Stack::assert_sound); how much waits.
    pub(crate) fn assert_sound(&self, limits: &Limits) -> usize {
        assert!(self.ports.len() == self.sockets.len() && self.ports.is_sorted_by_key(|&(port, _)| port));
        let queued = |socket: &Socket| {
            let bytes = socket.queue.iter().map(Waiting::cost_bytes).sum();
            assert!(socket.queued_bytes == bytes && bytes <= limits.udp_queue_bytes, "{bytes} bytes wait");
            bytes
        };
        self.sockets.iter().map(|(_, socket)| queued(socket)).sum()
    }

    /// Describes the sockets.
    pub(crate) fn report_sockets(&self, tell: &mut dyn FnMut(SocketReport)) {
        for (_, socket) in self.sockets.iter() {
            let state = if socket.peer.is_some() { "connected" } else { "open" };
            let unread = socket.queue.iter().map(|waiting| waiting.data.len()).sum();
            let report = SocketReport::new(Protocol::Udp, state, socket.address.into());
            tell(SocketReport { remote: socket.peer.map(SocketAddr::from), unread, ..report });
        }
    }

    /// An ICMP error about a datagram of ours: told to a socket that named that peer.
    pub(crate) fn unreachable(&mut self, local: End, remote: End, error: Error, shared: &mut Shared) {
        let named = |(index, socket): (u32, &Socket)| (socket.peer == Some(remote)).then_some(index);
        let Some(index) = self.at(local.port).rev().find_map(named) else { return };
        let Some(key) = self.sockets.key(index) else { return };
        if let Some(socket) = self.sockets.get_mut(index) {
            socket.error = Some(error);
            tell(socket, key, shared);
        }
    }
}

/// Tells whoever waits that something is there.
fn tell(socket: &mut Socket, key: Key, shared: &mut Shared) {
    if core::mem::take(&mut socket.wants_read) {
        shared.events.push(Event::Datagram(UdpId(key)));
    }
}
