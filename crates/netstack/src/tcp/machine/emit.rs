//! Writes segments: headers from sums prepared once, payload from the ring, checksum over both.

use super::super::engine::Sent;
use super::super::segment::{FIN, HEADER_BYTES, SYN, Tuple};
use super::Machine;
use crate::checksum::Sum;
use crate::ipv4;
use crate::outbox::{PacketSink, TcpChecksum};

pub(super) const HEADERS_BYTES: usize = ipv4::HEADER_BYTES + HEADER_BYTES;

/// What is the same in all segments of a connection: the headers, and what of their checksums does not change.
#[derive(Clone, Copy, Debug)]
pub(super) struct Template {
    headers: [u8; HEADERS_BYTES],
    ip: Sum,
    tcp: Sum,
}

impl Template {
    /// For a connection that is none yet.
    pub(super) const fn empty() -> Self {
        Template { headers: [0; HEADERS_BYTES], ip: Sum::zero(), tcp: Sum::zero() }
    }

    pub(super) fn new(tuple: &Tuple) -> Self {
        let (local, remote) = (tuple.local.octets(), tuple.remote.octets());
        let mut headers = [0; HEADERS_BYTES];
        // Version and length; do not fragment; time to live and protocol.
        headers[0] = 0x45;
        headers[6] = 0x40;
        headers[8..10].copy_from_slice(&[64, ipv4::TCP]);
        headers[12..16].copy_from_slice(&local);
        headers[16..20].copy_from_slice(&remote);
        headers[20..22].copy_from_slice(&tuple.local_port.to_be_bytes());
        headers[22..24].copy_from_slice(&tuple.remote_port.to_be_bytes());
        let pseudo_header = Sum::pseudo_header(local, remote, ipv4::TCP, 0);
        Template {
            headers,
            ip: Sum::default().bytes(&headers[..ipv4::HEADER_BYTES]),
            tcp: pseudo_header.bytes(&headers[ipv4::HEADER_BYTES..]),
        }
    }
}

/// A segment to be written.
pub(super) struct Draft<'a> {
    pub(super) sequence: u32,
    pub(super) flags: u8,
    /// How much of the ring, from how far beyond its start.
    pub(super) payload: (usize, usize),
    pub(super) options: &'a [u8],
    pub(super) window: u16,
    pub(super) acknowledgement: u32,
}

impl Machine {
    /// Hands a segment to the sink.
    pub(super) fn emit(&self, draft: &Draft<'_>, sink: &mut dyn PacketSink) -> Sent {
        let (offset, payload_bytes) = draft.payload;
        let header_bytes = HEADER_BYTES + draft.options.len();
        let len_bytes = ipv4::HEADER_BYTES + header_bytes + payload_bytes;
        let checksum = sink.checksum();
        let flags = u16::from(draft.flags) | ((header_bytes / 4) as u16) << 12;
        sink.packet(len_bytes, &mut |packet| {
            let Some((headers, rest)) = packet.split_first_chunk_mut::<HEADERS_BYTES>() else { return };
            *headers = self.template.headers;
            headers[2..4].copy_from_slice(&(len_bytes as u16).to_be_bytes());
            headers[10..12].copy_from_slice(&self.template.ip.word(len_bytes as u16).complement());
            headers[24..28].copy_from_slice(&draft.sequence.to_be_bytes());
            headers[28..32].copy_from_slice(&draft.acknowledgement.to_be_bytes());
            headers[32..34].copy_from_slice(&flags.to_be_bytes());
            headers[34..36].copy_from_slice(&draft.window.to_be_bytes());
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
                headers[36..38].copy_from_slice(&self.tcp_checksum(draft, flags, payload, checksum));
            }
        });
        let controls = u32::from(draft.flags & FIN != 0) + u32::from(draft.flags & SYN != 0);
        Sent { payload_bytes, next: draft.sequence.wrapping_add(payload_bytes as u32).wrapping_add(controls) }
    }

    fn tcp_checksum(&self, draft: &Draft<'_>, flags: u16, payload: &[u8], checksum: TcpChecksum) -> [u8; 2] {
        let len_bytes = HEADER_BYTES + draft.options.len() + payload.len();
        if checksum == TcpChecksum::ByDevice {
            let tuple = &self.tuple;
            return Sum::pseudo_header(tuple.local.octets(), tuple.remote.octets(), ipv4::TCP, len_bytes).folded();
        }
        let header = self.template.tcp.word(len_bytes as u16).long(draft.sequence).long(draft.acknowledgement);
        let mut sum = header.word(flags).word(draft.window);
        if !draft.options.is_empty() {
            sum = sum.bytes(draft.options);
        }
        sum.bytes(payload).complement()
    }
}
