//! The IPv4 header: what is accepted, and how ours is written.
//!
//! Fragments are named as such and not taken: whoever wants them puts them together first.

use crate::checksum::Sum;
use crate::packet::{HOPS, Packet, Refused};
use core::net::Ipv4Addr;

/// Bytes of a header without options.
pub const HEADER_BYTES: usize = 20;
/// Reads a header.
///
/// # Errors
/// Why the packet was not taken.
pub fn parse(data: &[u8]) -> Result<Packet<'_>, Refused> {
    let (header, _) = data.split_first_chunk::<HEADER_BYTES>().ok_or(Refused::Malformed)?;
    let header_bytes = usize::from(header[0] & 0x0f) * 4;
    let total_bytes = usize::from(u16::from_be_bytes([header[2], header[3]]));
    if header[0] >> 4 != 4 || header_bytes < HEADER_BYTES || total_bytes < header_bytes {
        return Err(Refused::Malformed);
    }
    let bytes = data.get(..total_bytes).ok_or(Refused::Malformed)?;
    let mut sum = Sum::default().header(header);
    if header_bytes > HEADER_BYTES {
        sum = sum.bytes(&bytes[HEADER_BYTES..header_bytes]);
    }
    if !sum.is_intact() {
        return Err(Refused::Malformed);
    }
    // More fragments, or an offset.
    if u16::from_be_bytes([header[6], header[7]]) & 0x3fff != 0 {
        return Err(Refused::Fragment);
    }
    let source = Ipv4Addr::new(header[12], header[13], header[14], header[15]);
    if source.is_broadcast() || source.is_multicast() {
        return Err(Refused::Malformed);
    }
    Ok(Packet {
        source: source.into(),
        destination: Ipv4Addr::new(header[16], header[17], header[18], header[19]).into(),
        protocol: header[9],
        bytes,
        payload: &bytes[header_bytes..],
    })
}

/// Writes a header without options, never to be fragmented, in front of a payload that fills the rest of `packet`.
pub fn write_header(packet: &mut [u8], source: Ipv4Addr, destination: Ipv4Addr, protocol: u8) {
    let total_bytes = (packet.len() as u16).to_be_bytes();
    let (header, _) = packet.split_first_chunk_mut::<HEADER_BYTES>().expect("a packet is longer than its header");
    *header = [0x45, 0, total_bytes[0], total_bytes[1], 0, 0, 0x40, 0, HOPS, protocol, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    header[12..16].copy_from_slice(&source.octets());
    header[16..20].copy_from_slice(&destination.octets());
    fill_header_checksum(header);
}

/// Marks a packet that was written, with what its program asked for.
#[cold]
pub fn mark(packet: &mut [u8], hops: u8, service: u8) {
    if let Some(header) = packet.first_chunk_mut::<HEADER_BYTES>() {
        header[1] = service;
        header[8] = hops;
        header[10..12].fill(0);
        fill_header_checksum(header);
    }
}

/// Completes the checksum of a header whose checksum field is 0.
pub fn fill_header_checksum(header: &mut [u8; HEADER_BYTES]) {
    let checksum = Sum::default().header(header).complement();
    header[10..12].copy_from_slice(&checksum);
}

/// Destination of a packet that we made ourselves.
pub fn destination(packet: &[u8]) -> Ipv4Addr {
    Ipv4Addr::new(packet[16], packet[17], packet[18], packet[19])
}

#[cfg(test)]
mod tests {
    use super::{parse, write_header};
    use crate::packet::{Refused, TCP};
    use core::net::Ipv4Addr;

    const A: Ipv4Addr = Ipv4Addr::new(10, 0, 2, 15);
    const B: Ipv4Addr = Ipv4Addr::new(10, 0, 2, 2);

    fn packet() -> Vec<u8> {
        let mut packet = vec![7; 60];
        write_header(&mut packet, A, B, TCP);
        packet
    }

    #[test]
    fn what_is_written_is_accepted_and_padding_is_cut() {
        let mut data = packet();
        data.extend_from_slice(&[0; 6]);
        let packet = parse(&data).unwrap();
        assert_eq!((packet.source, packet.destination, packet.protocol), (A.into(), B.into(), TCP));
        assert_eq!(packet.payload, [7; 40]);
    }

    #[test]
    fn every_damaged_header_byte_is_noticed() {
        for index in 0..20 {
            let mut data = packet();
            data[index] ^= 0x11;
            assert!(parse(&data).is_err(), "byte {index}");
        }
    }

    #[test]
    fn short_packets_and_fragments_are_refused() {
        for len in 0..60 {
            assert_eq!(parse(&packet()[..len]).unwrap_err(), Refused::Malformed);
        }
        for flags in [[0x20, 0], [0, 1]] {
            let mut data = packet();
            data[6..8].copy_from_slice(&flags);
            data[10..12].fill(0);
            super::fill_header_checksum(data.first_chunk_mut().unwrap());
            assert_eq!(parse(&data).unwrap_err(), Refused::Fragment);
        }
    }
}
