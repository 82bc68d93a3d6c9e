//! Writes segments: headers from sums prepared once, payload from the ring, checksum over both.

use super::{Machine, stamps};
use crate::answers::Sent;
use crate::checksum::Sum;
use crate::packet;
use crate::segment::{FIN, HEADER_BYTES, SYN, Tuple};
use crate::sink::{Cut, PacketSink, TcpChecksum};
use crate::{ipv4, ipv6};

/// Headers of IP and TCP, as long as they can be.
const HEADERS_BYTES_MAX: usize = ipv6::HEADER_BYTES + HEADER_BYTES;

/// What is the same in all segments of a connection: the headers, and what of their checksums does not change.
#[derive(Clone, Copy, Debug)]
pub(super) struct Template {
    headers: [u8; HEADERS_BYTES_MAX],
    /// How much of that is the header of IP.
    ip_bytes: u8,
    ip: Sum,
    /// Of the pseudo header, and of it and the TCP header.
    pseudo: Sum,
    tcp: Sum,
}

impl Template {
    /// For a connection that is none yet.
    pub(super) const fn empty() -> Self {
        let zero = Sum::zero();
        Template { headers: [0; HEADERS_BYTES_MAX], ip_bytes: 0, ip: zero, pseudo: zero, tcp: zero }
    }

    pub(super) fn new(tuple: &Tuple) -> Self {
        let mut headers = [0; HEADERS_BYTES_MAX];
        let ip_bytes = packet::header_bytes(tuple.remote);
        let (ip, tcp) = headers.split_at_mut(ip_bytes);
        packet::write_header(ip, tuple.local, tuple.remote, packet::TCP);
        tcp[..2].copy_from_slice(&tuple.local_port.to_be_bytes());
        tcp[2..4].copy_from_slice(&tuple.remote_port.to_be_bytes());
        let pseudo = Sum::pseudo_header(tuple.local, tuple.remote, packet::TCP, 0);
        let tcp = pseudo.bytes(&tcp[..HEADER_BYTES]);
        let mut template = Template { headers, ip_bytes: ip_bytes as u8, ip: Sum::zero(), pseudo, tcp };
        template.sum_ip();
        template
    }

    /// Sums what of the header of IPv4 does not change: all but its length, and this sum itself.
    fn sum_ip(&mut self) {
        if usize::from(self.ip_bytes) == ipv4::HEADER_BYTES {
            self.headers[2..4].fill(0);
            self.headers[10..12].fill(0);
            self.ip = Sum::default().bytes(&self.headers[..ipv4::HEADER_BYTES]);
        }
    }

    /// Bytes of both headers, without options.
    #[inline]
    pub(super) fn headers_bytes(&self) -> usize {
        usize::from(self.ip_bytes) + HEADER_BYTES
    }

    /// Sets how many routers a packet may pass, and its class of service.
    #[cold]
    pub(super) fn mark(&mut self, hops: Option<u8>, service: Option<u8>) {
        let is_v4 = usize::from(self.ip_bytes) == ipv4::HEADER_BYTES;
        let [first, second, ..] = self.headers;
        let before = if is_v4 { (self.headers[8], second) } else { (self.headers[7], first << 4 | second >> 4) };
        packet::mark(&mut self.headers, hops.unwrap_or(before.0), service.unwrap_or(before.1));
        self.sum_ip();
    }

    /// Writes the header of IP in front of a packet, and returns what follows it.
    #[inline]
    fn write_ip<'a>(&self, packet: &'a mut [u8]) -> Option<&'a mut [u8]> {
        let len_bytes = packet.len() as u16;
        if usize::from(self.ip_bytes) == ipv4::HEADER_BYTES {
            let (header, rest) = packet.split_first_chunk_mut::<{ ipv4::HEADER_BYTES }>()?;
            header.copy_from_slice(&self.headers[..ipv4::HEADER_BYTES]);
            header[2..4].copy_from_slice(&len_bytes.to_be_bytes());
            header[10..12].copy_from_slice(&self.ip.word(len_bytes).complement());
            return Some(rest);
        }
        let (header, rest) = packet.split_first_chunk_mut::<{ ipv6::HEADER_BYTES }>()?;
        header.copy_from_slice(&self.headers[..ipv6::HEADER_BYTES]);
        header[4..6].copy_from_slice(&(rest.len() as u16).to_be_bytes());
        Some(rest)
    }

    /// The ports, which begin the header of TCP.
    #[inline]
    fn ports(&self) -> [u8; 4] {
        let at = usize::from(self.ip_bytes);
        self.headers.get(at..).and_then(|tcp| tcp.first_chunk()).copied().unwrap_or_default()
    }
}

/// A segment to be written.
pub(super) struct Draft<'a> {
    pub(super) sequence: u32,
    pub(super) flags: u8,
    /// How much of the ring, from how far beyond its start.
    pub(super) payload: (usize, usize),
    pub(super) options: &'a [u8],
    /// Our clock and what we heard of the peer's, in front of the other options.
    pub(super) stamp: Option<(u32, u32)>,
    pub(super) window: u16,
    pub(super) acknowledgement: u32,
}

impl Machine {
    /// Hands a segment to the sink.
    pub(super) fn emit(&self, draft: &Draft<'_>, sink: &mut dyn PacketSink) -> Sent {
        let (offset, payload_bytes) = draft.payload;
        let stamp_bytes = if draft.stamp.is_some() { stamps::BYTES } else { 0 };
        let header_bytes = HEADER_BYTES + stamp_bytes + draft.options.len();
        let ip_bytes = usize::from(self.template.ip_bytes);
        let len_bytes = ip_bytes + header_bytes + payload_bytes;
        let checksum = sink.checksum();
        let flags = u16::from(draft.flags) | ((header_bytes / 4) as u16) << 12;
        let mut fill = |packet: &mut [u8]| {
            let Some(tcp) = self.template.write_ip(packet) else { return };
            let Some((header, rest)) = tcp.split_first_chunk_mut::<HEADER_BYTES>() else { return };
            header[..4].copy_from_slice(&self.template.ports());
            header[4..8].copy_from_slice(&draft.sequence.to_be_bytes());
            header[8..12].copy_from_slice(&draft.acknowledgement.to_be_bytes());
            header[12..14].copy_from_slice(&flags.to_be_bytes());
            header[14..16].copy_from_slice(&draft.window.to_be_bytes());
            header[16..].fill(0);
            let rest = match (draft.stamp, rest.split_first_chunk_mut::<{ stamps::BYTES }>()) {
                (Some((value, echo)), Some((option, _))) => {
                    option[..4].copy_from_slice(&stamps::HEAD.to_be_bytes());
                    option[4..8].copy_from_slice(&value.to_be_bytes());
                    option[8..].copy_from_slice(&echo.to_be_bytes());
                    &mut rest[stamps::BYTES..]
                }
                _ => rest,
            };
            let payload = if draft.options.is_empty() {
                rest
            } else {
                let (options, payload) = rest.split_at_mut(draft.options.len());
                options.copy_from_slice(draft.options);
                payload
            };
            if payload_bytes > 0 {
                self.send.copy(offset, payload);
            }
            if checksum != TcpChecksum::Ignored {
                header[16..18].copy_from_slice(&self.tcp_checksum(draft, flags, payload, checksum));
            }
        };
        if payload_bytes > self.segment_bytes as usize {
            let headers_bytes = ip_bytes + header_bytes;
            sink.large_packet(len_bytes, Cut { headers_bytes, segment_bytes: self.segment_bytes }, &mut fill);
        } else {
            sink.packet(len_bytes, &mut fill);
        }
        let controls = u32::from(draft.flags & FIN != 0) + u32::from(draft.flags & SYN != 0);
        Sent { payload_bytes, next: draft.sequence.wrapping_add(payload_bytes as u32).wrapping_add(controls) }
    }

    fn tcp_checksum(&self, draft: &Draft<'_>, flags: u16, payload: &[u8], checksum: TcpChecksum) -> [u8; 2] {
        let stamp_bytes = if draft.stamp.is_some() { stamps::BYTES } else { 0 };
        let len_bytes = HEADER_BYTES + stamp_bytes + draft.options.len() + payload.len();
        if checksum == TcpChecksum::ByDevice {
            return self.template.pseudo.word(len_bytes as u16).folded();
        }
        let header = self.template.tcp.word(len_bytes as u16).long(draft.sequence).long(draft.acknowledgement);
        let mut sum = header.word(flags).word(draft.window);
        if let Some((value, echo)) = draft.stamp {
            sum = sum.long(stamps::HEAD).long(value).long(echo);
        }
        if !draft.options.is_empty() {
            sum = sum.bytes(draft.options);
        }
        sum.bytes(payload).complement()
    }
}
