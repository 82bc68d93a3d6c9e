//! Frames written by hand, as a peer that keeps no rules would.

use crate::world::{ip, mac};
use core::net::Ipv4Addr;

pub(crate) struct Flags;

impl Flags {
    pub(crate) const FIN: u8 = 1;
    pub(crate) const SYN: u8 = 2;
    pub(crate) const RST: u8 = 4;
    pub(crate) const ACK: u8 = 16;
}

/// A TCP segment in the making.
#[derive(Clone, Copy)]
pub(crate) struct Segment<'a> {
    source: (Ipv4Addr, u16),
    to: usize,
    port: u16,
    sequence: u32,
    acknowledgement: u32,
    flags: u8,
    window: u16,
    options: &'a [u8],
    payload: &'a [u8],
}

impl<'a> Segment<'a> {
    pub(crate) fn between(from: usize, from_port: u16, to: usize, port: u16) -> Self {
        Segment::from_ip(ip(from), from_port, to, port)
    }

    pub(crate) fn from_ip(source: Ipv4Addr, source_port: u16, to: usize, port: u16) -> Self {
        Segment {
            source: (source, source_port),
            to,
            port,
            sequence: 1000,
            acknowledgement: 0,
            flags: 0,
            window: 0x2000,
            options: &[],
            payload: &[],
        }
    }

    pub(crate) fn window(self, window: u16) -> Self {
        Segment { window, ..self }
    }

    /// A list of options, which fills whole words.
    pub(crate) fn options(self, options: &'a [u8]) -> Self {
        Segment { options, ..self }
    }

    pub(crate) fn sequence(self, sequence: u32) -> Self {
        Segment { sequence, ..self }
    }

    pub(crate) fn acknowledgement(self, acknowledgement: u32) -> Self {
        Segment { acknowledgement, ..self }
    }

    pub(crate) fn flags(self, flags: u8) -> Self {
        Segment { flags, ..self }
    }

    pub(crate) fn payload(self, payload: &'a [u8]) -> Self {
        Segment { payload, ..self }
    }

    /// The whole Ethernet frame, checksums right.
    pub(crate) fn frame(&self) -> Vec<u8> {
        let mut tcp = Vec::new();
        tcp.extend_from_slice(&self.source.1.to_be_bytes());
        tcp.extend_from_slice(&self.port.to_be_bytes());
        tcp.extend_from_slice(&self.sequence.to_be_bytes());
        tcp.extend_from_slice(&self.acknowledgement.to_be_bytes());
        tcp.extend_from_slice(&[((5 + self.options.len() / 4) << 4) as u8, self.flags]);
        tcp.extend_from_slice(&self.window.to_be_bytes());
        tcp.extend_from_slice(&[0; 4]);
        tcp.extend_from_slice(self.options);
        tcp.extend_from_slice(self.payload);
        ip_frame(self.source.0, self.to, 6, tcp, Some(16))
    }
}

/// A segment that we sent, taken apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Seen {
    pub(crate) sequence: u32,
    pub(crate) acknowledgement: u32,
    pub(crate) flags: u8,
    pub(crate) window: u16,
    pub(crate) options: Vec<u8>,
    pub(crate) payload: Vec<u8>,
}

/// Takes a frame apart; `None` when it is no TCP segment.
pub(crate) fn seen(frame: &[u8]) -> Option<Seen> {
    if frame.len() < 54 || frame[12..14] != [8, 0] || frame[23] != 6 {
        return None;
    }
    let tcp = &frame[34..14 + usize::from(u16::from_be_bytes([frame[16], frame[17]]))];
    let number = |at: usize| u32::from_be_bytes([tcp[at], tcp[at + 1], tcp[at + 2], tcp[at + 3]]);
    let header_bytes = usize::from(tcp[12] >> 4) * 4;
    Some(Seen {
        sequence: number(4),
        acknowledgement: number(8),
        flags: tcp[13],
        window: u16::from_be_bytes([tcp[14], tcp[15]]),
        options: tcp[20..header_bytes].to_vec(),
        payload: tcp[header_bytes..].to_vec(),
    })
}

/// An Ethernet frame with a UDP datagram.
pub(crate) fn udp_frame(source: (Ipv4Addr, u16), to: usize, port: u16, data: &[u8]) -> Vec<u8> {
    let mut udp = Vec::new();
    udp.extend_from_slice(&source.1.to_be_bytes());
    udp.extend_from_slice(&port.to_be_bytes());
    udp.extend_from_slice(&(8 + data.len() as u16).to_be_bytes());
    udp.extend_from_slice(&[0, 0]);
    udp.extend_from_slice(data);
    ip_frame(source.0, to, 17, udp, Some(6))
}

/// An Ethernet frame with an ICMP message, whose checksum is filled in.
pub(crate) fn icmp_frame(source: Ipv4Addr, to: usize, mut message: Vec<u8>) -> Vec<u8> {
    message[2..4].fill(0);
    let sum = checksum(&message);
    message[2..4].copy_from_slice(&sum);
    ip_frame(source, to, 1, message, None)
}

fn ip_frame(source: Ipv4Addr, to: usize, protocol: u8, mut payload: Vec<u8>, checksum_at: Option<usize>) -> Vec<u8> {
    if let Some(at) = checksum_at {
        let mut summed = Vec::new();
        summed.extend_from_slice(&source.octets());
        summed.extend_from_slice(&ip(to).octets());
        summed.extend_from_slice(&[0, protocol]);
        summed.extend_from_slice(&(payload.len() as u16).to_be_bytes());
        summed.extend_from_slice(&payload);
        let sum = checksum(&summed);
        payload[at..at + 2].copy_from_slice(&sum);
    }
    let total = (20 + payload.len() as u16).to_be_bytes();
    let mut header = vec![0x45, 0, total[0], total[1], 0, 0, 0x40, 0, 64, protocol, 0, 0];
    header.extend_from_slice(&source.octets());
    header.extend_from_slice(&ip(to).octets());
    let sum = checksum(&header);
    header[10..12].copy_from_slice(&sum);
    let mut frame = Vec::new();
    frame.extend_from_slice(&mac(to));
    frame.extend_from_slice(&mac(1 - to));
    frame.extend_from_slice(&[8, 0]);
    frame.extend_from_slice(&header);
    frame.extend_from_slice(&payload);
    frame
}

/// The Internet checksum of these bytes.
pub(crate) fn checksum(data: &[u8]) -> [u8; 2] {
    let mut sum: u32 =
        data.chunks(2).map(|pair| u32::from(u16::from_be_bytes([pair[0], pair.get(1).copied().unwrap_or(0)]))).sum();
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    (!(sum as u16)).to_be_bytes()
}

/// An ARP packet in a frame.
pub(crate) fn arp_frame(operation: u8, from: ([u8; 6], Ipv4Addr), to: usize, target: Ipv4Addr) -> Vec<u8> {
    let mut frame = Vec::new();
    frame.extend_from_slice(&mac(to));
    frame.extend_from_slice(&from.0);
    frame.extend_from_slice(&[8, 6, 0, 1, 8, 0, 6, 4, 0, operation]);
    frame.extend_from_slice(&from.0);
    frame.extend_from_slice(&from.1.octets());
    frame.extend_from_slice(&[0; 6]);
    frame.extend_from_slice(&target.octets());
    frame
}
