//! The TCP header: enough of it to find the connection, and to write segments that belong to none.

use crate::checksum::Sum;
use crate::ip::Ip;
use crate::options::SynOptions;
use crate::packet::{self, Packet};

/// Bytes of a header without options.
pub const HEADER_BYTES: usize = 20;
/// Flags of the header.
pub const FIN: u8 = 0x01;
/// As above.
pub const SYN: u8 = 0x02;
/// As above.
pub const RST: u8 = 0x04;
/// As above.
pub const PSH: u8 = 0x08;
/// As above.
pub const ACK: u8 = 0x10;

/// The two ends of a connection; also the key of the connection table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tuple {
    /// Our address.
    pub local: Ip,
    /// The peer's address.
    pub remote: Ip,
    /// Our port.
    pub local_port: u16,
    /// The peer's port.
    pub remote_port: u16,
}

impl Tuple {
    /// Calls `f` with the tuple as words, for hashing: two for IPv4, else five.
    #[inline]
    pub fn with_words<R>(&self, f: impl FnOnce(&[u64]) -> R) -> R {
        let ports = u64::from(self.local_port) << 16 | u64::from(self.remote_port);
        let ([l0, l1], [r0, r1]) = (self.local.words(), self.remote.words());
        if self.remote.is_v4() { f(&[l1 >> 32 << 32 | r1 >> 32, ports]) } else { f(&[l0, l1, r0, r1, ports]) }
    }

    /// Whether both ends are one.
    pub fn is_loop(&self) -> bool {
        (self.local, self.local_port) == (self.remote, self.remote_port)
    }
}

/// A segment whose header lengths were found sound.
#[derive(Clone, Copy, Debug)]
pub struct Segment<'a> {
    /// The ends.
    pub tuple: Tuple,
    /// The number of the first byte.
    pub sequence: u32,
    /// The next number expected.
    pub acknowledgement: u32,
    /// What it says.
    pub flags: u8,
    /// How much may be sent, unscaled.
    pub window: u16,
    /// Its options, as they stand there.
    pub options: &'a [u8],
    /// Bytes of the stream.
    pub payload: &'a [u8],
}

impl<'a> Segment<'a> {
    /// Reads a header; `None` when a length in it is a lie, or a port is 0.
    pub fn parse(packet: &Packet<'a>) -> Option<Self> {
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

    /// Whether all of these flags are set.
    pub fn has(&self, flags: u8) -> bool {
        self.flags & flags == flags
    }

    /// Whether SYN is the only one of SYN, ACK, RST and FIN: somebody wants a connection.
    pub fn opens(&self) -> bool {
        self.flags & (SYN | ACK | RST | FIN) == SYN
    }

    /// Whether it begins a new connection between ends of which the last one is over: its numbers are beyond those of the old
    /// one, of which `expected` would have come next, or its time stamp is (RFC 6191). Peers that remember the old connection go on
    /// from its numbers, and those that have forgotten it begin anywhere, so numbers alone do not tell.
    #[must_use]
    pub fn reopens(&self, expected: u32, last_stamp: Option<u32>) -> bool {
        let stamp = || SynOptions::parse(self.options).and_then(|options| options.stamp);
        let is_stamped_later = || last_stamp.zip(stamp()).is_some_and(|(last, (now, _))| after(now, last));
        self.opens() && (after(self.sequence, expected) || is_stamped_later())
    }

    /// How much of the sequence space the segment occupies.
    #[must_use]
    pub fn space(&self) -> u32 {
        self.payload.len() as u32 + u32::from(self.has(SYN)) + u32::from(self.has(FIN))
    }
}

/// Whether sequence number `a` comes after `b`.
pub fn after(a: u32, b: u32) -> bool {
    (a.wrapping_sub(b) as i32) > 0
}

/// A segment without payload.
#[derive(Clone, Copy, Debug)]
pub struct Control<'a> {
    /// The ends.
    pub tuple: Tuple,
    /// The number of the first byte.
    pub sequence: u32,
    /// The next number expected.
    pub acknowledgement: u32,
    /// What it says.
    pub flags: u8,
    /// How much may be sent, unscaled.
    pub window: u16,
    /// Its options, as they stand there.
    pub options: &'a [u8],
}

impl Control<'_> {
    /// Bytes of the whole packet.
    pub fn packet_bytes(&self) -> usize {
        packet::header_bytes(self.tuple.remote) + HEADER_BYTES + self.options.len()
    }

    /// Writes the whole packet, checksums included, from `tuple.local` to `tuple.remote`.
    pub fn write(&self, packet: &mut [u8]) {
        let tuple = self.tuple;
        let (_, tcp) = packet.split_at_mut(packet::header_bytes(tuple.remote));
        tcp[0..2].copy_from_slice(&tuple.local_port.to_be_bytes());
        tcp[2..4].copy_from_slice(&tuple.remote_port.to_be_bytes());
        tcp[4..8].copy_from_slice(&self.sequence.to_be_bytes());
        tcp[8..12].copy_from_slice(&self.acknowledgement.to_be_bytes());
        tcp[12] = (((HEADER_BYTES + self.options.len()) / 4) << 4) as u8;
        tcp[13] = self.flags;
        tcp[14..16].copy_from_slice(&self.window.to_be_bytes());
        tcp[16..20].fill(0);
        tcp[20..].copy_from_slice(self.options);
        let checksum = Sum::pseudo_header(tuple.local, tuple.remote, packet::TCP, tcp.len()).bytes(tcp).complement();
        tcp[16..18].copy_from_slice(&checksum);
        packet::write_header(packet, tuple.local, tuple.remote, packet::TCP);
    }

    /// The answer to a segment that belongs nowhere; none to a reset.
    pub fn reset_for(segment: &Segment<'_>) -> Option<Control<'static>> {
        if segment.has(RST) {
            return None;
        }
        let (sequence, acknowledgement, flags) = if segment.has(ACK) {
            (segment.acknowledgement, 0, RST)
        } else {
            (0, segment.sequence.wrapping_add(segment.space()), RST | ACK)
        };
        Some(Control { tuple: segment.tuple, sequence, acknowledgement, flags, window: 0, options: &[] })
    }
}
