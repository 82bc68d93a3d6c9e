//! Writes segments: headers from sums prepared once, payload from the ring, checksum over both.

use super::super::engine::Sent;
use super::super::segment::{FIN, HEADER_BYTES, SYN, Tuple};
use super::Machine;
use crate::checksum::Sum;
use crate::ipv4;
use crate::outbox::{PacketSink, TcpChecksum};

const HEADERS_BYTES: usize = ipv4::HEADER_BYTES + HEADER_BYTES;

/// What is the same in the checksums of all segments of a connection.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Sums {
    ip: Sum,
    tcp: Sum,
}

impl Sums {
    pub(super) fn new(tuple: &Tuple) -> Self {
        let (local, remote) = (tuple.local.octets(), tuple.remote.octets());
        let addresses = Sum::default().bytes(&local).bytes(&remote);
        let ports = Sum::default().word(tuple.local_port).word(tuple.remote_port);
        Sums {
            // Version and length, "do not fragment", time to live and protocol.
            ip: addresses.word(0x4500).word(0x4000).word(0x4006),
            tcp: addresses.word(u16::from(ipv4::TCP)).plus(ports),
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
            let (options, payload) = rest.split_at_mut(draft.options.len());
            options.copy_from_slice(draft.options);
            self.send.copy(offset, payload);

            let total = len_bytes as u16;
            let [s0, s1, s2, s3] = draft.sequence.to_be_bytes();
            let [a0, a1, a2, a3] = draft.acknowledgement.to_be_bytes();
            let [f0, f1] = flags.to_be_bytes();
            let [w0, w1] = draft.window.to_be_bytes();
            let [t0, t1] = total.to_be_bytes();
            let [l0, l1, l2, l3] = self.tuple.local.octets();
            let [r0, r1, r2, r3] = self.tuple.remote.octets();
            let [p0, p1] = self.tuple.local_port.to_be_bytes();
            let [q0, q1] = self.tuple.remote_port.to_be_bytes();
            let [h0, h1] = self.sums.ip.word(total).complement();
            let [c0, c1] = if checksum == TcpChecksum::Ignored {
                [0, 0]
            } else {
                self.tcp_checksum(draft, flags, options, payload, checksum)
            };
            *headers = [
                0x45,
                0,
                t0,
                t1,
                0,
                0,
                0x40,
                0,
                64,
                ipv4::TCP,
                h0,
                h1,
                l0,
                l1,
                l2,
                l3,
                r0,
                r1,
                r2,
                r3,
                p0,
                p1,
                q0,
                q1,
                s0,
                s1,
                s2,
                s3,
                a0,
                a1,
                a2,
                a3,
                f0,
                f1,
                w0,
                w1,
                c0,
                c1,
                0,
                0,
            ];
        });
        let controls = u32::from(draft.flags & FIN != 0) + u32::from(draft.flags & SYN != 0);
        Sent { payload_bytes, next: draft.sequence.wrapping_add(payload_bytes as u32).wrapping_add(controls) }
    }

    fn tcp_checksum(
        &self,
        draft: &Draft<'_>,
        flags: u16,
        options: &[u8],
        payload: &[u8],
        checksum: TcpChecksum,
    ) -> [u8; 2] {
        let len_bytes = (HEADER_BYTES + options.len() + payload.len()) as u16;
        if checksum == TcpChecksum::ByDevice {
            let tuple = &self.tuple;
            return Sum::pseudo_header(tuple.local.octets(), tuple.remote.octets(), ipv4::TCP, len_bytes.into())
                .folded();
        }
        self.sums
            .tcp
            .word(len_bytes)
            .long(draft.sequence)
            .long(draft.acknowledgement)
            .word(flags)
            .word(draft.window)
            .bytes(options)
            .bytes(payload)
            .complement()
    }
}
