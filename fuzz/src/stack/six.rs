//! What is said to a stack by IPv6: packets with headers in between, neighbours and routers.

use super::{MAC, OWN6, PEER_MAC, PEER6, World, bytes, sum};
use crate::Input;
use core::net::Ipv6Addr;
use toro_netstack::Received;

impl World {
    /// To one of our addresses or to a group, with headers in between or in pieces.
    pub(super) fn packet6(&mut self, input: &mut Input<'_>, protocol: u8, payload: &[u8]) {
        let kind = input.byte();
        let source = match kind & 7 {
            0 => Ipv6Addr::UNSPECIFIED,
            1 => Ipv6Addr::from_bits(u128::from(input.u32()) << 96 | u128::from(input.u32())),
            _ => PEER6,
        };
        let destination = match kind >> 3 & 7 {
            0 => Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1),
            1 => Ipv6Addr::new(0xff02, 0, 0, 0, 0, 1, 0xff00, 1),
            2 => self.stack.addresses6(0).last().map_or(OWN6, |address| address.ip),
            _ => OWN6,
        };
        let extensions = if kind & 0x40 == 0 { Vec::new() } else { bytes(input) };
        let first = if extensions.is_empty() { protocol } else { [0, 43, 44, 60][usize::from(input.byte() & 3)] };
        let hops = if kind & 0x80 == 0 { 255 } else { input.byte() };
        let frame = ip6_frame((source, destination), (protocol, hops), (first, &extensions), payload);
        self.receive(&frame, Received::Unverified);
    }

    /// What routers and neighbours say, made well as far as the bytes do not say otherwise.
    pub(super) fn discovery(&mut self, input: &mut Input<'_>) {
        let kind = input.byte();
        let target = match kind >> 2 & 3 {
            0 => PEER6,
            1 => self.stack.addresses6(0).next().map_or(OWN6, |address| address.ip),
            2 => Ipv6Addr::from_bits(OWN6.to_bits() | u128::from(input.byte())),
            _ => OWN6,
        };
        let mut message = vec![[133, 134, 135, 136][usize::from(kind & 3)], 0, 0, 0, input.byte(), input.byte()];
        message.extend(input.u16().to_be_bytes());
        if kind & 3 == 1 {
            message.extend([0; 8]);
            for _ in 0..input.byte() % 4 {
                message.extend([[3, 4], [5, 1], [25, 3], [31, 3], [1, 1]][usize::from(input.byte() % 5)]);
                let room = usize::from(message[message.len() - 1]) * 8 - 2;
                message.extend((0..room).map(|_| input.byte()));
            }
        } else {
            message.extend(target.octets());
            message.extend([1 + (kind >> 1 & 1), 1]);
            message.extend(PEER_MAC);
        }
        message.extend(if kind & 0x80 == 0 { Vec::new() } else { bytes(input) });
        let source = if kind & 0x10 == 0 { PEER6 } else { Ipv6Addr::UNSPECIFIED };
        let [.., low] = target.octets();
        let group = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 1, 0xff00, low.into());
        let destination = match kind >> 5 & 3 {
            0 => group,
            1 => Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1),
            _ => OWN6,
        };
        let frame = ip6_frame((source, destination), (58, 255), (58, &[]), &message);
        self.receive(&frame, Received::Unverified);
    }
}

/// Addresses, length and protocol, as they are summed.
pub(super) fn pseudo_header6(packet: &[u8], protocol: u8, len: usize) -> Vec<u8> {
    [&packet[8..40], &(len as u32).to_be_bytes(), &[0, 0, 0, protocol]].concat()
}

/// A frame to us or to a group, with the checksum of ICMP; the first header is of that kind.
pub(super) fn ip6_frame(
    (source, destination): (Ipv6Addr, Ipv6Addr),
    (protocol, hops): (u8, u8),
    (first, extensions): (u8, &[u8]),
    payload: &[u8],
) -> Vec<u8> {
    let total = (extensions.len() as u16 + payload.len() as u16).to_be_bytes();
    let header = [0x60, 0, 0, 0, total[0], total[1], first, hops];
    let mut packet = [&header[..], &source.octets(), &destination.octets(), extensions, payload].concat();
    let start = 40 + extensions.len();
    if matches!(protocol, 58 | 17) && payload.len() >= 8 {
        let place = start + if protocol == 58 { 2 } else { 6 };
        packet[place..place + 2].fill(0);
        let checksum = !sum(&[&pseudo_header6(&packet, protocol, payload.len())[..], &packet[start..]].concat());
        packet[place..place + 2].copy_from_slice(&checksum.to_be_bytes());
    }
    let [.., a, b, c, d] = destination.octets();
    let mac = if destination.is_multicast() { [0x33, 0x33, a, b, c, d] } else { MAC };
    [&mac[..], &PEER_MAC, &[0x86, 0xdd], &packet].concat()
}
