//! A UDP datagram in its packet.

use crate::device::Received;
use toro_tcp::packet::{self, Packet, UDP};
use toro_tcp::{Ip, Sum};

pub(crate) const HEADER_BYTES: usize = 8;

/// Source port, destination port and data of a sound datagram.
pub(crate) fn parse<'a>(packet: &Packet<'a>, checksum: Received) -> Option<((u16, u16), &'a [u8])> {
    let (header, _) = packet.payload.split_first_chunk::<HEADER_BYTES>()?;
    let [source_port, destination_port, len_bytes, sum] =
        [0, 2, 4, 6].map(|at| u16::from_be_bytes([header[at], header[at + 1]]));
    let datagram = packet.payload.get(..usize::from(len_bytes))?;
    let data = datagram.get(HEADER_BYTES..)?;
    // The pseudo header has the length that the datagram says, which may be less than the packet's.
    let unsummed = sum == 0 && packet.source.is_v4();
    let intact = unsummed
        || checksum == Received::Verified
        || Sum::pseudo_header(packet.source, packet.destination, UDP, datagram.len()).bytes(datagram).is_intact();
    (intact && destination_port != 0).then_some(((source_port, destination_port), data))
}

/// Writes a whole packet around `data`.
pub(crate) fn write(packet: &mut [u8], source: Ip, destination: Ip, ports: (u16, u16), data: &[u8]) {
    let datagram = &mut packet[packet::header_bytes(destination)..];
    datagram[0..2].copy_from_slice(&ports.0.to_be_bytes());
    datagram[2..4].copy_from_slice(&ports.1.to_be_bytes());
    let len_bytes = datagram.len();
    datagram[4..6].copy_from_slice(&(len_bytes as u16).to_be_bytes());
    datagram[6..8].fill(0);
    datagram[HEADER_BYTES..].copy_from_slice(data);
    let sum = Sum::pseudo_header(source, destination, UDP, len_bytes).bytes(datagram).complement();
    // 0 would mean "no checksum".
    datagram[6..8].copy_from_slice(if sum == [0, 0] { &[0xff, 0xff] } else { &sum });
    packet::write_header(packet, source, destination, UDP);
}
