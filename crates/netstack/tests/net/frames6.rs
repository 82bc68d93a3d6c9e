//! Frames of IPv6 written by hand, and taken apart.

use crate::frames::checksum;
use crate::world::mac;
use core::net::Ipv6Addr;

pub(crate) const ALL_NODES: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1);
pub(crate) const ROUTER: Ipv6Addr = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 0xa);
pub(crate) const ROUTER_MAC: [u8; 6] = [2, 0, 0, 0, 0, 0xa];
pub(crate) const TCP: u8 = 6;
pub(crate) const UDP: u8 = 17;
pub(crate) const ICMP: u8 = 58;

/// A packet in the making.
#[derive(Clone)]
pub(crate) struct Packet {
    pub(crate) source: Ipv6Addr,
    pub(crate) destination: Ipv6Addr,
    pub(crate) protocol: u8,
    pub(crate) hops: u8,
    /// Headers in front of the payload; the first is of that kind.
    pub(crate) extensions: Option<(u8, Vec<u8>)>,
    pub(crate) payload: Vec<u8>,
}

impl Packet {
    pub(crate) fn new(source: Ipv6Addr, destination: Ipv6Addr, protocol: u8, payload: &[u8]) -> Self {
        Packet { source, destination, protocol, hops: 64, extensions: None, payload: payload.to_vec() }
    }

    /// A message of ICMP that did not pass a router.
    pub(crate) fn message(source: Ipv6Addr, destination: Ipv6Addr, message: &[u8]) -> Self {
        Packet { hops: 255, ..Packet::new(source, destination, ICMP, message) }
    }

    /// A datagram between two ports.
    pub(crate) fn datagram(source: (Ipv6Addr, u16), destination: (Ipv6Addr, u16), data: &[u8]) -> Self {
        let [from, to, bytes] = [source.1, destination.1, 8 + data.len() as u16].map(u16::to_be_bytes);
        let payload = [&from[..], &to, &bytes, &[0, 0], data].concat();
        Packet::new(source.0, destination.0, UDP, &payload)
    }

    /// The headers of `extensions` stand in front.
    pub(crate) fn extended(self, first: u8, extensions: &[u8]) -> Self {
        Packet { extensions: Some((first, extensions.to_vec())), ..self }
    }

    /// The bytes of the packet, checksum right.
    pub(crate) fn bytes(&self) -> Vec<u8> {
        let mut payload = self.payload.clone();
        if let Some(place) = checksum_at(self.protocol).filter(|place| place + 2 <= payload.len()) {
            let len = (payload.len() as u32).to_be_bytes();
            let ends = [self.source.octets(), self.destination.octets()].concat();
            let sum = checksum(&[&ends[..], &len, &[0, 0, 0, self.protocol], &payload].concat());
            payload[place..place + 2].copy_from_slice(&sum);
        }
        let (first, extensions) = self.extensions.clone().unwrap_or((self.protocol, Vec::new()));
        let len = ((extensions.len() + payload.len()) as u16).to_be_bytes();
        let header = [0x60, 0, 0, 0, len[0], len[1], first, self.hops];
        [&header[..], &self.source.octets(), &self.destination.octets(), &extensions, &payload].concat()
    }

    /// In a frame for a host, from the router or another.
    pub(crate) fn frame(&self, to: usize) -> Vec<u8> {
        let group = self.destination.octets();
        let mac = if group[0] == 0xff { [0x33, 0x33, group[12], group[13], group[14], group[15]] } else { mac(to) };
        [&mac[..], &ROUTER_MAC, &[0x86, 0xdd], &self.bytes()].concat()
    }
}

/// Place of the checksum in what a packet carries.
fn checksum_at(protocol: u8) -> Option<usize> {
    match protocol {
        TCP => Some(16),
        UDP => Some(6),
        ICMP => Some(2),
        _ => None,
    }
}

/// A frame of ours, taken apart, checksum looked at; `None` when it is not of IPv6.
pub(crate) fn taken_apart(frame: &[u8]) -> Option<Packet> {
    if frame[12..14] != [0x86, 0xdd] {
        return None;
    }
    let packet = &frame[14..];
    assert_eq!((packet[0] >> 4, usize::from(u16::from_be_bytes([packet[4], packet[5]]))), (6, packet.len() - 40));
    let ip = |at: usize| Ipv6Addr::from(<[u8; 16]>::try_from(&packet[at..at + 16]).unwrap());
    // Hop by hop, as reports about groups have it.
    let (protocol, start) = if packet[6] == 0 { (packet[40], 48) } else { (packet[6], 40) };
    let payload = packet[start..].to_vec();
    let found = Packet {
        source: ip(8),
        destination: ip(24),
        protocol,
        hops: packet[7],
        extensions: (start > 40).then(|| (0, packet[40..start].to_vec())),
        payload,
    };
    if found.destination.is_multicast() {
        let group = found.destination.octets();
        assert_eq!(frame[..6], [0x33, 0x33, group[12], group[13], group[14], group[15]]);
    }
    if let Some(place) = checksum_at(protocol) {
        let mut again = found.clone();
        again.payload[place..place + 2].fill(0);
        assert_eq!(again.bytes(), packet, "the checksum is wrong");
    }
    Some(found)
}

/// What a router says: for so many seconds it is one, and the options.
pub(crate) fn advertisement(lifetime_s: u16, options: &[u8]) -> Packet {
    let [high, low] = lifetime_s.to_be_bytes();
    let head = [134, 0, 0, 0, 64, 0, high, low, 0, 0, 0, 0, 0, 0, 0, 0];
    Packet::message(ROUTER, ALL_NODES, &[&head[..], options].concat())
}

/// A prefix of 64 bits, on the link and for addresses, with its times in seconds.
pub(crate) fn prefix(prefix: Ipv6Addr, valid_s: u32, preferred_s: u32) -> Vec<u8> {
    let [valid, preferred] = [valid_s, preferred_s].map(u32::to_be_bytes);
    [&[3, 4, 64, 0xc0][..], &valid, &preferred, &[0; 4], &prefix.octets()].concat()
}

/// A question for a neighbour's address, or its answer with these flags; the option as it stands.
pub(crate) fn neighbor(kind: u8, flags: u8, target: Ipv6Addr, option: &[u8]) -> Vec<u8> {
    [&[kind, 0, 0, 0, flags, 0, 0, 0][..], &target.octets(), option].concat()
}

/// The group in which an address is asked for.
pub(crate) fn solicited(ip: Ipv6Addr) -> Ipv6Addr {
    let [.., low, last] = ip.segments();
    Ipv6Addr::new(0xff02, 0, 0, 0, 0, 1, 0xff00 | low & 0xff, last)
}
