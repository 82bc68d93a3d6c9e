//! UDP sockets: one owner for a port, a bounded queue for each, and errors for those that named their peer.

use crate::address::Way;
use crate::checksum::Sum;
use crate::device::Received;
use crate::error::Error;
use crate::event::{Event, UdpId};
use crate::ipv4;
use crate::outbox::PacketSink;
use crate::shared::Shared;
use crate::slab::Slab;
use crate::steering::Protocol;
use alloc::collections::VecDeque;
use alloc::vec::Vec;
use core::net::{Ipv4Addr, SocketAddrV4};

const HEADER_BYTES: usize = 8;
/// What a queued datagram counts for beyond its bytes.
const DATAGRAM_COST_BYTES: usize = 64;

#[derive(Debug)]
struct Datagram {
    source: SocketAddrV4,
    data: Vec<u8>,
}

impl Datagram {
    fn cost_bytes(&self) -> usize {
        self.data.len() + DATAGRAM_COST_BYTES
    }
}

#[derive(Debug)]
struct Socket {
    address: SocketAddrV4,
    peer: Option<SocketAddrV4>,
    queue: VecDeque<Datagram>,
    queued_bytes: usize,
    wants_read: bool,
    error: Option<Error>,
}

/// All UDP sockets.
#[derive(Debug)]
pub(crate) struct Udp {
    sockets: Slab<Socket>,
    /// Port and socket, in order of the port.
    ports: Vec<(u16, u32)>,
}

impl Udp {
    pub(crate) fn new() -> Self {
        Udp { sockets: Slab::new(), ports: Vec::new() }
    }

    /// Takes a port; 0 picks a free one.
    pub(crate) fn bind(&mut self, address: SocketAddrV4, shared: &mut Shared) -> Result<UdpId, Error> {
        let ip = *address.ip();
        if !ip.is_unspecified() && !shared.addresses.is_local(ip) {
            return Err(Error::AddressNotAvailable);
        }
        let port = match address.port() {
            0 => crate::tcp::ephemeral_ports(shared.random.draw())
                .find(|&port| shared.may_choose(Protocol::Udp, port) && self.at(port).is_none())
                .ok_or(Error::AddressInUse)?,
            port if self.at(port).is_some() => return Err(Error::AddressInUse),
            port => port,
        };
        let socket = Socket {
            address: SocketAddrV4::new(ip, port),
            peer: None,
            queue: VecDeque::new(),
            queued_bytes: 0,
            wants_read: false,
            error: None,
        };
        self.ports.try_reserve(1).map_err(|_| Error::OutOfMemory)?;
        let key = self.sockets.insert(socket).map_err(|_| Error::OutOfMemory)?;
        // A port that this core chose itself is found by its value.
        if address.port() != 0 && shared.listen(Protocol::Udp, port).is_none() {
            self.sockets.remove(key.index);
            return Err(Error::OutOfMemory);
        }
        let place = self.ports.partition_point(|&(taken, _)| taken < port);
        self.ports.insert(place, (port, key.index));
        Ok(UdpId(key))
    }

    pub(crate) fn close(&mut self, id: UdpId, shared: &mut Shared) {
        if self.sockets.get_key(id.0).is_some()
            && let Some(socket) = self.sockets.remove(id.0.index)
        {
            self.ports.retain(|&(port, _)| port != socket.address.port());
            shared.unlisten(Protocol::Udp, socket.address.port());
            shared.refund(socket.queued_bytes);
        }
    }

    /// The place of the socket that has the port.
    pub(crate) fn at(&self, port: u16) -> Option<u32> {
        let place = self.ports.binary_search_by_key(&port, |&(taken, _)| taken).ok()?;
        Some(self.ports[place].1)
    }

    pub(crate) fn address(&self, id: UdpId) -> Result<SocketAddrV4, Error> {
        self.sockets.get_key(id.0).map(|socket| socket.address).ok_or(Error::NotConnected)
    }

    /// Names the one peer to speak with; others are not heard any more.
    pub(crate) fn connect(&mut self, id: UdpId, peer: SocketAddrV4) -> Result<(), Error> {
        if peer.port() == 0 || peer.ip().is_unspecified() {
            return Err(Error::InvalidInput);
        }
        self.sockets.get_key_mut(id.0).ok_or(Error::NotConnected)?.peer = Some(peer);
        Ok(())
    }

    pub(crate) fn peer(&self, id: UdpId) -> Result<SocketAddrV4, Error> {
        self.sockets.get_key(id.0).and_then(|socket| socket.peer).ok_or(Error::NotConnected)
    }

    /// Sends a datagram, in one packet or not at all.
    pub(crate) fn send(
        &mut self,
        id: UdpId,
        data: &[u8],
        destination: SocketAddrV4,
        shared: &mut Shared,
    ) -> Result<(), Error> {
        let socket = self.sockets.get_key(id.0).ok_or(Error::NotConnected)?;
        let (ip, port) = (*destination.ip(), destination.port());
        if port == 0 || ip.is_unspecified() {
            return Err(Error::InvalidInput);
        }
        let len_bytes = ipv4::HEADER_BYTES + HEADER_BYTES + data.len();
        if len_bytes > shared.config.mtu_bytes {
            return Err(Error::MessageTooLong);
        }
        let way = shared.addresses.way(ip);
        let source = match *socket.address.ip() {
            // No other machine could answer it.
            bound if bound.is_loopback() && way != Some(Way::Loopback) => return Err(Error::InvalidInput),
            bound if bound.is_unspecified() => shared.addresses.source_for(ip).ok_or(Error::NetworkUnreachable)?,
            bound if shared.addresses.is_local(bound) => bound,
            _ => return Err(Error::AddressNotAvailable),
        };
        let has_room = match way {
            None => return Err(Error::NetworkUnreachable),
            Some(Way::Loopback) => shared.loopback.ready(),
            Some(_) => shared.outbox.takes_datagrams(),
        };
        if !has_room {
            return Err(Error::WouldBlock);
        }
        let ports = (socket.address.port(), port);
        let mut written = false;
        shared.send(ip, len_bytes, &mut |packet| {
            write(packet, source, ip, ports, data);
            written = true;
        });
        if written { Ok(()) } else { Err(Error::OutOfMemory) }
    }

    /// The next datagram, cut to the buffer, and where it came from.
    pub(crate) fn receive_from(
        &mut self,
        id: UdpId,
        buffer: &mut [u8],
        keep: bool,
        shared: &mut Shared,
    ) -> Result<(usize, SocketAddrV4), Error> {
        let socket = self.sockets.get_key_mut(id.0).ok_or(Error::NotConnected)?;
        if let Some(error) = socket.error.take() {
            return Err(error);
        }
        let Some(datagram) = socket.queue.front() else {
            socket.wants_read = true;
            return Err(Error::WouldBlock);
        };
        let len_bytes = datagram.data.len().min(buffer.len());
        buffer[..len_bytes].copy_from_slice(&datagram.data[..len_bytes]);
        let source = datagram.source;
        if !keep && let Some(datagram) = socket.queue.pop_front() {
            socket.queued_bytes -= datagram.cost_bytes();
            shared.refund(datagram.cost_bytes());
        }
        Ok((len_bytes, source))
    }

    /// Takes a packet. `false` when no socket wants it.
    pub(crate) fn receive(&mut self, packet: &ipv4::Packet<'_>, checksum: Received, shared: &mut Shared) -> bool {
        let Some((header, data)) = parse(packet, checksum) else {
            shared.statistics.malformed += 1;
            return true;
        };
        let source = SocketAddrV4::new(packet.source, header.0);
        let Some(socket) = self.at(header.1).and_then(|index| Some((index, self.sockets.key(index)?))) else {
            return false;
        };
        let (index, key) = socket;
        let Some(socket) = self.sockets.get_mut(index) else { return false };
        let bound = *socket.address.ip();
        if (!bound.is_unspecified() && bound != packet.destination) || socket.peer.is_some_and(|peer| peer != source) {
            return false;
        }
        let cost_bytes = data.len() + DATAGRAM_COST_BYTES;
        let fits = socket.queued_bytes + cost_bytes <= shared.config.limits.udp_queue_bytes;
        if !fits || !shared.charge(cost_bytes) {
            shared.statistics.datagrams_dropped += 1;
            return true;
        }
        let mut kept = Vec::new();
        if kept.try_reserve_exact(data.len()).is_err() || socket.queue.try_reserve(1).is_err() {
            shared.refund(cost_bytes);
            shared.statistics.out_of_memory += 1;
            return true;
        }
        kept.extend_from_slice(data);
        socket.queued_bytes += cost_bytes;
        socket.queue.push_back(Datagram { source, data: kept });
        if core::mem::take(&mut socket.wants_read) {
            shared.events.push(Event::Datagram(UdpId(key)));
        }
        true
    }

    /// An ICMP error about a datagram of ours: told to a socket that named that peer.
    pub(crate) fn unreachable(&mut self, local_port: u16, remote: SocketAddrV4, error: Error, shared: &mut Shared) {
        let Some(index) = self.at(local_port) else { return };
        let Some(key) = self.sockets.key(index) else { return };
        if let Some(socket) = self.sockets.get_mut(index)
            && socket.peer == Some(remote)
        {
            socket.error = Some(error);
            if core::mem::take(&mut socket.wants_read) {
                shared.events.push(Event::Datagram(UdpId(key)));
            }
        }
    }
}

/// Source port, destination port and data of a sound datagram.
pub(crate) fn parse<'a>(packet: &ipv4::Packet<'a>, checksum: Received) -> Option<((u16, u16), &'a [u8])> {
    let (header, _) = packet.payload.split_first_chunk::<HEADER_BYTES>()?;
    let [source_port, destination_port, len_bytes, sum] =
        [0, 2, 4, 6].map(|at| u16::from_be_bytes([header[at], header[at + 1]]));
    let datagram = packet.payload.get(..usize::from(len_bytes))?;
    let data = datagram.get(HEADER_BYTES..)?;
    // The pseudo header has the length that the datagram says, which may be less than the packet's.
    let source = packet.source.octets();
    let intact = sum == 0
        || checksum == Received::Verified
        || Sum::pseudo_header(source, packet.destination.octets(), ipv4::UDP, datagram.len())
            .bytes(datagram)
            .is_intact();
    (intact && destination_port != 0).then_some(((source_port, destination_port), data))
}

/// Writes a whole packet around `data`.
pub(crate) fn write(packet: &mut [u8], source: Ipv4Addr, destination: Ipv4Addr, ports: (u16, u16), data: &[u8]) {
    let datagram = &mut packet[ipv4::HEADER_BYTES..];
    datagram[0..2].copy_from_slice(&ports.0.to_be_bytes());
    datagram[2..4].copy_from_slice(&ports.1.to_be_bytes());
    let len_bytes = datagram.len();
    datagram[4..6].copy_from_slice(&(len_bytes as u16).to_be_bytes());
    datagram[6..8].fill(0);
    datagram[HEADER_BYTES..].copy_from_slice(data);
    let sum =
        Sum::pseudo_header(source.octets(), destination.octets(), ipv4::UDP, len_bytes).bytes(datagram).complement();
    // 0 would mean "no checksum".
    datagram[6..8].copy_from_slice(if sum == [0, 0] { &[0xff, 0xff] } else { &sum });
    ipv4::write_header(packet, source, destination, ipv4::UDP);
}
