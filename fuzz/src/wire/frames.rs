//! Frames, from the inside out: what is said, packets of IPv6 around it as often as they go in, pieces, and the link's header.

use super::{GROUP, GROUP6, Port, mac, own, own6, peer, peer6};
use crate::Input;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// The longest packet in one frame.
const PACKET_BYTES_MAX: usize = 1500;
const MAC: [u8; 6] = [2, 0, 0, 0, 9, 9];

/// What is said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Segment,
    Datagram,
    Echo,
    Error,
    Groups,
    Neighbor,
    Router,
    Dhcp,
    Noise,
}

impl Kind {
    pub(super) fn of(byte: u8) -> Kind {
        use Kind::*;
        let kinds = [
            Segment, Segment, Segment, Segment, Datagram, Datagram, Echo, Echo, Error, Groups, Neighbor, Neighbor,
            Router, Router, Dhcp, Noise,
        ];
        kinds[usize::from(byte) % kinds.len()]
    }
}

/// What is the same in all frames of a burst, and what differs.
pub(super) struct Maker {
    link: usize,
    kind: Kind,
    six: bool,
    /// What differs: source, port, identification, numbers.
    differs: u8,
    source: u8,
    destination: u8,
    flags: u8,
    words: [u32; 3],
    /// Headers of IPv6 between, each so often.
    layers: Vec<(u8, u8)>,
    /// In pieces of so many eights of bytes; how they come.
    pieces: Option<(u8, u8)>,
    damage: Option<u16>,
    bytes: Vec<u8>,
}

impl Maker {
    pub(super) fn new(link: usize, kind: Kind, input: &mut Input<'_>) -> Self {
        let (head, shape) = (input.byte(), input.byte());
        let layers = if shape & 3 == 3 { usize::from(shape >> 2 & 3) + 1 } else { 0 };
        Maker {
            link,
            kind,
            six: head & 1 != 0,
            differs: head >> 1 & 15,
            source: input.byte(),
            destination: input.byte(),
            flags: input.byte(),
            words: core::array::from_fn(|_| input.u32()),
            layers: (0..layers).map(|_| (input.byte(), input.byte())).collect(),
            pieces: (shape & 0x30 == 0x30).then(|| (input.byte(), input.byte())),
            damage: (shape & 0xc0 == 0xc0).then(|| input.u16()),
            bytes: some(input),
        }
    }

    /// A segment with those flags of one who may be anybody; the second of one is of the last that was answered.
    pub(super) fn segment_of(link: usize, flags: u8, kind: u8) -> Self {
        Maker {
            link,
            kind: Kind::Segment,
            six: kind & 1 != 0,
            differs: 0,
            source: 0x80 | kind >> 4,
            destination: 0x83,
            flags,
            words: [0, 0, (kind >> 1 & 7).into()],
            layers: Vec::new(),
            pieces: None,
            damage: None,
            bytes: Vec::new(),
        }
    }

    /// An address on loan: an offer, or what follows.
    pub(super) fn lease_of(link: usize, flags: u8, seconds: u32) -> Self {
        let mut maker = Maker::segment_of(link, flags, 0);
        (maker.kind, maker.words[0]) = (Kind::Dhcp, seconds);
        maker
    }

    /// The frames of one packet, the `number`th of a burst.
    pub(super) fn frames(
        &mut self,
        number: usize,
        port: &Port,
        own4: Option<Ipv4Addr>,
        own_six: Option<Ipv6Addr>,
    ) -> Vec<Vec<u8>> {
        let number = number as u32;
        if self.differs & 1 != 0 {
            self.source = self.source.wrapping_add(1);
        }
        let own_six = if self.destination & 0x80 == 0 { own6(self.link) } else { own_six.unwrap_or(own6(self.link)) };
        let source6 = match self.source {
            ..4 => Ipv6Addr::UNSPECIFIED,
            4..0x80 => Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, self.source.into()),
            _ => peer6(self.link, self.source),
        };
        let destination6 = match self.destination & 7 {
            0 => Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1),
            1 => GROUP6,
            2 => solicited(own_six),
            _ => own_six,
        };
        let own4 = own4.unwrap_or(own(self.link));
        let destination4 = match self.destination & 7 {
            0 => GROUP,
            1 => Ipv4Addr::BROADCAST,
            2 => Ipv4Addr::new(10, 0, self.link as u8, 255),
            _ => own4,
        };
        let source4 = if self.source == 0 { Ipv4Addr::UNSPECIFIED } else { peer(self.link, self.source) };
        let (source4, destination4) =
            if self.kind == Kind::Dhcp { (peer(self.link, 1), Ipv4Addr::BROADCAST) } else { (source4, destination4) };
        let six = self.six && self.kind != Kind::Dhcp;
        // Of the connection that spoke last.
        let (six, (source4, destination4), (source6, destination6)) = match port.ends.filter(|_| self.follows()) {
            Some((IpAddr::V4(own), IpAddr::V4(to))) => (false, (to, own), (source6, destination6)),
            Some((IpAddr::V6(own), IpAddr::V6(to))) => (true, (source4, destination4), (to, own)),
            _ => (six, (source4, destination4), (source6, destination6)),
        };
        if self.kind == Kind::Noise {
            let kind = [[8, 0], [0x86, 0xdd], [8, 6], [0x88, 0x99]][usize::from(self.flags & 3)];
            return vec![[&mac(self.link)[..], &MAC, &kind, &self.bytes].concat()];
        }
        if self.kind == Kind::Neighbor && !six {
            return vec![self.arp(source4, own4)];
        }
        let mut packets = if six {
            self.packets6(number, (source6, destination6), own_six, port)
        } else {
            self.packets4(number, (source4, destination4), port)
        };
        if let Some(at) = self.damage {
            for packet in &mut packets {
                let at = usize::from(at) % packet.len();
                packet[at] ^= self.flags | 1;
                fill_header_sum(packet);
            }
        }
        let to = if six { group_mac6(destination6) } else { group_mac4(destination4) };
        let to = to.unwrap_or(mac(self.link));
        let kind = if six { [0x86, 0xdd] } else { [8, 0] };
        packets.into_iter().map(|packet| [&to[..], &MAC, &kind, &packet].concat()).collect()
    }

    fn follows(&self) -> bool {
        self.kind == Kind::Segment && self.flags & 0xc0 == 0xc0
    }

    fn arp(&self, source: Ipv4Addr, own: Ipv4Addr) -> Vec<u8> {
        let head = [8, 6, 0, 1, 8, 0, 6, 4, 0, 1 + (self.flags & 1)];
        let from = [2, 0, 0, 0, 8, self.source];
        [&mac(self.link)[..], &MAC, &head, &from, &source.octets(), &[0; 6], &own.octets()].concat()
    }

    /// Protocol, hops and what is said, with a place for its checksum.
    fn said(&self, number: u32, six: bool, target: Ipv6Addr, port: &Port) -> (u8, u8, Vec<u8>, Option<usize>) {
        let icmp = if six { 58 } else { 1 };
        let word = |at: usize| self.words[at].to_be_bytes();
        match self.kind {
            Kind::Segment => (6, 64, self.segment(number, port), Some(16)),
            Kind::Datagram => {
                let remote = 1000 + if self.differs & 2 == 0 { 0 } else { number as u16 };
                let local = [7u16, 9, 68, 1][usize::from(self.flags & 3)];
                let len = 8 + self.bytes.len() as u16;
                let head = [remote, local, len, 0].map(u16::to_be_bytes).concat();
                (17, 64, [head, self.bytes.clone()].concat(), Some(6))
            }
            Kind::Echo => {
                let kind = if six { 128 } else { 8 };
                (icmp, 64, [&[kind, 0, 0, 0], &word(0)[..], &self.bytes].concat(), Some(2))
            }
            Kind::Error => {
                let kinds: [u8; 4] = if six { [1, 2, 3, 4] } else { [3, 3, 11, 12] };
                let head = [kinds[usize::from(self.flags & 3)], self.flags >> 2 & 7, 0, 0];
                (icmp, 64, [&head, &word(0)[..], &port.last].concat(), Some(2))
            }
            Kind::Groups if six => {
                let group = if self.flags & 1 == 0 { Ipv6Addr::UNSPECIFIED } else { GROUP6 };
                (58, 1, [&[130, 0, 0, 0], &word(0)[..], &group.octets()].concat(), Some(2))
            }
            Kind::Groups => {
                let group = if self.flags & 1 == 0 { Ipv4Addr::UNSPECIFIED } else { GROUP };
                (2, 1, [&[0x11, self.words[0] as u8, 0, 0], &group.octets()[..]].concat(), Some(2))
            }
            Kind::Neighbor => {
                let kind = 135 + (self.flags & 1);
                let target = if self.flags & 2 == 0 { target } else { peer6(self.link, self.source) };
                let option = [1 + (self.flags >> 2 & 1), 1, 2, 0, 0, 0, 8, self.source];
                let options: &[u8] = if self.flags & 8 == 0 { &option } else { &[] };
                (58, 255, [&[kind, 0, 0, 0], &word(0)[..], &target.octets(), options].concat(), Some(2))
            }
            Kind::Router => (58, 255, self.advertisement(number), Some(2)),
            Kind::Dhcp => (17, 64, self.dhcp(port), Some(6)),
            Kind::Noise => (self.flags, 64, self.bytes.clone(), None),
        }
    }

    fn segment(&self, number: u32, port: &Port) -> Vec<u8> {
        let shift = if self.differs & 2 == 0 { 0 } else { number };
        let (local, remote) = if self.follows() { port.ports } else { (80, 1000 + self.words[2] as u16 % 8) };
        let remote = if port.ports == (local, remote) { remote } else { remote.wrapping_add(shift as u16) };
        let step = if self.differs & 4 == 0 { 0 } else { number.wrapping_mul(self.words[2] & 0xfff) };
        let near = |base: u32, word: u32| match word >> 30 {
            0 | 1 => base,
            2 => base.wrapping_add(word & 0xffff),
            _ => base.wrapping_sub(word & 0xffff),
        };
        let sequence = near(port.acknowledgement, self.words[0]).wrapping_add(step);
        let acknowledgement = near(port.next, self.words[1]);
        let flags = [0x02, 0x10, 0x18, 0x11, 0x14, 0x12, 0x18, self.flags][usize::from(self.flags & 7)];
        let window = if self.flags & 8 == 0 { 0xffff } else { self.words[2] >> 16 };
        let options: &[u8] = match self.flags >> 4 & 3 {
            0 => &[],
            1 => &[2, 4, 5, 0xb4, 1, 3, 3, 7, 4, 2, 8, 10, 0, 0, 0, 1, 0, 0, 0, 0],
            2 => &[2, 4, 0, 64, 1, 1, 4, 2],
            _ => &self.bytes[..self.bytes.len().min(40) & !3],
        };
        let head = [&remote.to_be_bytes()[..], &local.to_be_bytes(), &sequence.to_be_bytes()].concat();
        let rest = [(5 + options.len() as u8 / 4) << 4, flags];
        let end = [&(window as u16).to_be_bytes()[..], &[0; 4], options, &self.bytes].concat();
        [&head[..], &acknowledgement.to_be_bytes(), &rest, &end].concat()
    }

    /// Options as the bytes say, whole eights, each of a kind that is known.
    fn advertisement(&self, number: u32) -> Vec<u8> {
        let mut message = vec![134, 0, 0, 0, 64, 0];
        message.extend((self.words[0] as u16).to_be_bytes());
        message.extend([0; 8]);
        for (place, part) in self.bytes.chunks(16).enumerate() {
            if message.len() > 1400 {
                break;
            }
            let (kind, eights) = [(3, 4), (5, 1), (25, 3), (31, 3), (1, 1)][usize::from(part[0]) % 5];
            let mut option = vec![kind, eights];
            option.extend(part.iter().cycle().take(usize::from(eights) * 8 - 2));
            if kind == 3 {
                option[2..4].copy_from_slice(&[64, 0xc0]);
                let differs = if self.differs & 8 == 0 { 0 } else { number as u16 };
                option[16..20].copy_from_slice(&[0x20, 1, 0xd, 0xb8]);
                option[20..22].copy_from_slice(&(place as u16).wrapping_add(differs).to_be_bytes());
            }
            message.extend(option);
        }
        message
    }

    fn dhcp(&self, port: &Port) -> Vec<u8> {
        let mut message = vec![2, 1, 6, 0];
        message.extend(port.transaction);
        message.extend([0; 8]);
        message.extend(Ipv4Addr::new(10, 0, self.link as u8, 1 + self.flags / 128).octets());
        message.extend([0; 8]);
        message.extend(mac(self.link));
        message.extend([0; 10 + 192]);
        message.extend([99, 130, 83, 99, 53, 1, [2, 5, 6, 5][usize::from(self.flags & 3)]]);
        message.extend([54, 4, 10, 0, self.link as u8, 3, 1, 4, 255, 255, 255, 0, 51, 4]);
        message.extend(self.words[0].to_be_bytes());
        message.extend(&self.bytes);
        message.push(255);
        let len = 8 + message.len() as u16;
        [[67u16, 68, len, 0].map(u16::to_be_bytes).concat(), message].concat()
    }

    fn packets4(&self, number: u32, ends: (Ipv4Addr, Ipv4Addr), port: &Port) -> Vec<Vec<u8>> {
        let (protocol, hops, mut said, sum_at) = self.said(number, false, own6(0), port);
        let addresses = [ends.0.octets(), ends.1.octets()].concat();
        let pseudo = if matches!(protocol, 6 | 17) { pseudo(&addresses, protocol, said.len()) } else { Vec::new() };
        fill_sum(&mut said, sum_at, &pseudo);
        let identification = (self.words[1] as u16).wrapping_add(if self.differs & 4 == 0 { 0 } else { number as u16 });
        let packet = |start: usize, more: bool, part: &[u8]| {
            let total = (20 + part.len() as u16).to_be_bytes();
            let place = (start / 8) as u16 | if more { 0x2000 } else { 0 };
            let mut packet = vec![0x45, 0, total[0], total[1]];
            packet.extend(identification.to_be_bytes());
            packet.extend(place.to_be_bytes());
            packet.extend([hops, protocol, 0, 0]);
            packet.extend(&addresses);
            packet.extend(part);
            fill_header_sum(&mut packet);
            packet
        };
        self.cut(&said, number, packet)
    }

    fn packets6(&self, number: u32, ends: (Ipv6Addr, Ipv6Addr), target: Ipv6Addr, port: &Port) -> Vec<Vec<u8>> {
        let (mut protocol, hops, mut said, sum_at) = self.said(number, true, target, port);
        let addresses = [ends.0.octets(), ends.1.octets()].concat();
        let pseudo = pseudo(&addresses, protocol, said.len());
        fill_sum(&mut said, sum_at, &pseudo);
        for &(kind, times) in &self.layers {
            let (kind, head) =
                [(44, [0, 0, 0]), (60, [0, 1, 4]), (43, [0, 0, 0]), (0, [0, 1, 4])][usize::from(kind) & 3];
            for _ in 0..times {
                if said.len() + 48 > PACKET_BYTES_MAX {
                    break;
                }
                let header = [protocol, head[0], head[1], head[2], 0, 0, 0, 0];
                said = [&header[..], &said].concat();
                protocol = kind;
            }
        }
        let identification = self.words[1].wrapping_add(if self.differs & 4 == 0 { 0 } else { number });
        let packet = |start: usize, more: bool, part: &[u8]| {
            let is_piece = self.pieces.is_some();
            let mut header = vec![protocol, 0];
            header.extend((start as u16 | u16::from(more)).to_be_bytes());
            header.extend(identification.to_be_bytes());
            let (first, header) = if is_piece { (44, &header[..]) } else { (protocol, &[][..]) };
            let total = ((header.len() + part.len()) as u16).to_be_bytes();
            [&[0x60, 0, 0, 0, total[0], total[1], first, hops][..], &addresses, header, part].concat()
        };
        self.cut(&said, number, packet)
    }

    /// A packet whole, or in pieces: in order or not, with one missing or twice, or far apart.
    fn cut(&self, said: &[u8], number: u32, packet: impl Fn(usize, bool, &[u8]) -> Vec<u8>) -> Vec<Vec<u8>> {
        let Some((eights, how)) = self.pieces else {
            return vec![packet(0, false, &said[..said.len().min(PACKET_BYTES_MAX - 40)])];
        };
        let bytes = 8 * (1 + usize::from(eights) % 180);
        let apart = if how & 4 == 0 { 0 } else { 8 * (usize::from(how >> 3) + number as usize * 2 % 8000) };
        let count = said.chunks(bytes).count();
        let parts = said.chunks(bytes).enumerate().filter(|(place, _)| how & 3 != 3 || *place != 0);
        let mut packets: Vec<_> = parts
            .map(|(place, part)| packet(place * bytes + apart, place + 1 < count || how & 0x80 != 0, part))
            .collect();
        match how & 3 {
            1 => packets.reverse(),
            2 => packets.extend(packets.first().cloned()),
            _ => {}
        }
        packets
    }
}

/// Bytes, or the same one many times over.
fn some(input: &mut Input<'_>) -> Vec<u8> {
    match input.byte() {
        len @ ..0xc0 => (0..len).map_while(|_| (!input.is_empty()).then(|| input.byte())).collect(),
        long => vec![input.byte(); usize::from(long & 0x3f) * 23],
    }
}

fn solicited(ip: Ipv6Addr) -> Ipv6Addr {
    let [.., a, b, c] = ip.octets();
    Ipv6Addr::new(0xff02, 0, 0, 0, 0, 1, 0xff00 | u16::from(a), u16::from_be_bytes([b, c]))
}

fn group_mac6(ip: Ipv6Addr) -> Option<[u8; 6]> {
    let [.., a, b, c, d] = ip.octets();
    ip.is_multicast().then_some([0x33, 0x33, a, b, c, d])
}

fn group_mac4(ip: Ipv4Addr) -> Option<[u8; 6]> {
    let [_, b, c, d] = ip.octets();
    if ip.is_broadcast() || d == 255 {
        Some([0xff; 6])
    } else {
        ip.is_multicast().then_some([1, 0, 0x5e, b & 0x7f, c, d])
    }
}

fn pseudo(addresses: &[u8], protocol: u8, len: usize) -> Vec<u8> {
    [addresses, &(len as u32).to_be_bytes(), &[0, 0, 0, protocol]].concat()
}

fn fill_sum(said: &mut [u8], at: Option<usize>, pseudo: &[u8]) {
    if let Some(at) = at.filter(|at| at + 2 <= said.len()) {
        said[at..at + 2].fill(0);
        let sum = !crate::stack::sum(&[pseudo, said].concat());
        said[at..at + 2].copy_from_slice(&sum.to_be_bytes());
    }
}

/// The checksum of a header of IPv4.
fn fill_header_sum(packet: &mut [u8]) {
    let bytes = usize::from(packet[0] & 15) * 4;
    if packet[0] >> 4 == 4 && (20..=packet.len()).contains(&bytes) {
        packet[10..12].fill(0);
        let sum = !crate::stack::sum(&packet[..bytes]);
        packet[10..12].copy_from_slice(&sum.to_be_bytes());
    }
}

/// Source and destination of a packet.
pub(super) fn ends(packet: &[u8]) -> (IpAddr, IpAddr) {
    if packet[0] >> 4 == 4 {
        let ip = |at: usize| IpAddr::from(<[u8; 4]>::try_from(&packet[at..at + 4]).expect("four bytes"));
        return (ip(12), ip(16));
    }
    let ip = |at: usize| IpAddr::from(<[u8; 16]>::try_from(&packet[at..at + 16]).expect("sixteen bytes"));
    (ip(8), ip(24))
}

/// The answer to a question of ARP, if it is one for another.
pub(super) fn arp_answer(frame: &[u8]) -> Option<Vec<u8>> {
    let arp = frame.get(14..42).filter(|arp| arp[7] == 1 && arp[14..18] != arp[24..28])?;
    let to = [&frame[6..12], &MAC, &[8, 6, 0, 1, 8, 0, 6, 4, 0, 2], &MAC].concat();
    Some([&to[..], &arp[24..28], &arp[8..18]].concat())
}

/// The answer to a question about a neighbour, unless its asker wants to know whether the address is free.
pub(super) fn neighbor_answer(frame: &[u8]) -> Option<Vec<u8>> {
    let packet = &frame[14..];
    let target = packet.get(48..64).filter(|_| packet[40] == 135 && packet[8..24] != [0; 16])?;
    let mut message = [&[136, 0, 0, 0, 0x60, 0, 0, 0], target, &[2, 1], &MAC].concat();
    let addresses = [target, &packet[8..24]].concat();
    let pseudo = pseudo(&addresses, 58, message.len());
    fill_sum(&mut message, Some(2), &pseudo);
    let header = [0x60, 0, 0, 0, 0, message.len() as u8, 58, 255];
    Some([&frame[6..12], &MAC, &[0x86, 0xdd], &header, &addresses[..], &message].concat())
}

/// A frame of IPv4 from a peer that means no harm.
pub(super) fn honest(source: Ipv4Addr, destination: Ipv4Addr, segment: &[u8]) -> Vec<u8> {
    let addresses = [source.octets(), destination.octets()].concat();
    let mut said = segment.to_vec();
    fill_sum(&mut said, Some(16), &pseudo(&addresses, 6, segment.len()));
    let total = (20 + said.len() as u16).to_be_bytes();
    let mut packet = [&[0x45, 0, total[0], total[1], 0, 0, 0x40, 0, 64, 6, 0, 0][..], &addresses, &said].concat();
    fill_header_sum(&mut packet);
    [&mac(0)[..], &MAC, &[8, 0], &packet].concat()
}

/// It tells its hardware address.
pub(super) fn honest_arp(source: Ipv4Addr, destination: Ipv4Addr) -> Vec<u8> {
    let head = [8, 6, 0, 1, 8, 0, 6, 4, 0, 1];
    [&mac(0)[..], &MAC, &head, &MAC, &source.octets(), &[0; 6], &destination.octets()].concat()
}
