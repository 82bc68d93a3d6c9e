//! The TCP header: enough of it to find the connection, and to write segments that belong to none.

use super::table::hash;
use crate::checksum::Sum;
use crate::config::Config;
use crate::ipv4;
use core::net::Ipv4Addr;

pub(super) const HEADER_BYTES: usize = 20;
pub(super) const FIN: u8 = 0x01;
pub(super) const SYN: u8 = 0x02;
pub(super) const RST: u8 = 0x04;
pub(super) const PSH: u8 = 0x08;
pub(super) const ACK: u8 = 0x10;

/// The two ends of a connection; also the key of the connection table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Tuple {
    pub(crate) local: Ipv4Addr,
    pub(crate) remote: Ipv4Addr,
    pub(crate) local_port: u16,
    pub(crate) remote_port: u16,
}

impl Tuple {
    /// The tuple as two words, for hashing.
    pub(super) fn words(&self) -> [u64; 2] {
        [
            u64::from(self.local.to_bits()) << 32 | u64::from(self.remote.to_bits()),
            u64::from(self.local_port) << 16 | u64::from(self.remote_port),
        ]
    }

    /// A number for the flow, the same on all cores, that no peer can choose.
    pub(crate) fn flow(&self, config: &Config) -> u64 {
        hash([config.secret[0], config.secret[1]], self)
    }
}

/// A segment whose header lengths were found sound.
#[derive(Clone, Copy, Debug)]
pub(super) struct Segment<'a> {
    pub(super) tuple: Tuple,
    pub(super) sequence: u32,
    pub(super) acknowledgement: u32,
    pub(super) flags: u8,
    pub(super) window: u16,
    pub(super) options: &'a [u8],
    pub(super) payload: &'a [u8],
}

impl<'a> Segment<'a> {
    pub(super) fn parse(packet: &ipv4::Packet<'a>) -> Option<Self> {
        let (header, _) = packet.payload.split_first_chunk::<HEADER_BYTES>()?;
        let header_bytes = usize::from(header[12] >> 4) * 4;
        let options = packet.payload.get(HEADER_BYTES..header_bytes)?;
        let payload = &packet.payload[header_bytes..];
        let remote_port = u16::from_be_bytes([header[0], header[1]]);
        let local_port = u16::from_be_bytes([header[2], header[3]]);
        if remote_port == 0 || local_port == 0 {
            return None;
        }
        Some(Segment {
            tuple: Tuple { local: packet.destination, remote: packet.source, local_port, remote_port },
            sequence: u32::from_be_bytes([header[4], header[5], header[6], header[7]]),
            acknowledgement: u32::from_be_bytes([header[8], header[9], header[10], header[11]]),
            flags: header[13],
            window: u16::from_be_bytes([header[14], header[15]]),
            options,
            payload,
        })
    }

    pub(super) fn has(&self, flags: u8) -> bool {
        self.flags & flags == flags
    }

    /// Whether SYN is the only one of SYN, ACK, RST and FIN: somebody wants a connection.
    pub(super) fn opens(&self) -> bool {
        self.flags & (SYN | ACK | RST | FIN) == SYN
    }

    /// How much of the sequence space the segment occupies.
    pub(super) fn len(&self) -> u32 {
        self.payload.len() as u32 + u32::from(self.has(SYN)) + u32::from(self.has(FIN))
    }
}

/// Whether sequence number `a` comes after `b`.
pub(super) fn after(a: u32, b: u32) -> bool {
    (a.wrapping_sub(b) as i32) > 0
}

/// A segment without payload.
#[derive(Clone, Copy, Debug)]
pub(super) struct Control<'a> {
    pub(super) tuple: Tuple,
    pub(super) sequence: u32,
    pub(super) acknowledgement: u32,
    pub(super) flags: u8,
    pub(super) window: u16,
    pub(super) options: &'a [u8],
}

impl Control<'_> {
    pub(super) fn packet_bytes(&self) -> usize {
        ipv4::HEADER_BYTES + HEADER_BYTES + self.options.len()
    }

    /// Writes the whole packet, checksums included, from `tuple.local` to `tuple.remote`.
    pub(super) fn write(&self, packet: &mut [u8]) {
        let tuple = self.tuple;
        let (_, tcp) = packet.split_at_mut(ipv4::HEADER_BYTES);
        tcp[0..2].copy_from_slice(&tuple.local_port.to_be_bytes());
        tcp[2..4].copy_from_slice(&tuple.remote_port.to_be_bytes());
        tcp[4..8].copy_from_slice(&self.sequence.to_be_bytes());
        tcp[8..12].copy_from_slice(&self.acknowledgement.to_be_bytes());
        tcp[12] = (((HEADER_BYTES + self.options.len()) / 4) << 4) as u8;
        tcp[13] = self.flags;
        tcp[14..16].copy_from_slice(&self.window.to_be_bytes());
        tcp[16..20].fill(0);
        tcp[20..].copy_from_slice(self.options);
        let checksum = Sum::pseudo_header(tuple.local.octets(), tuple.remote.octets(), ipv4::TCP, tcp.len())
            .bytes(tcp)
            .complement();
        tcp[16..18].copy_from_slice(&checksum);
        ipv4::write_header(packet, tuple.local, tuple.remote, ipv4::TCP);
    }

    /// The answer to a segment that belongs nowhere; none to a reset.
    pub(super) fn reset_for(segment: &Segment<'_>) -> Option<Control<'static>> {
        if segment.has(RST) {
            return None;
        }
        let (sequence, acknowledgement, flags) = if segment.has(ACK) {
            (segment.acknowledgement, 0, RST)
        } else {
            (0, segment.sequence.wrapping_add(segment.len()), RST | ACK)
        };
        Some(Control { tuple: segment.tuple, sequence, acknowledgement, flags, window: 0, options: &[] })
    }
}
