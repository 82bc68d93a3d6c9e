//! ICMP: echoes are answered, errors are told to whom they concern, and a datagram for nobody is answered with one.

use crate::error::Error;
use crate::shared::Shared;
use core::net::Ipv4Addr;
use toro_tcp::packet::{self, Packet};
use toro_tcp::{End, Ip, Sum, ipv4};

const HEADER_BYTES: usize = 8;
const ECHO_REPLY: u8 = 0;
const UNREACHABLE: u8 = 3;
const ECHO_REQUEST: u8 = 8;
const TIME_EXCEEDED: u8 = 11;
const HOST_UNREACHABLE: u8 = 1;
const PORT_UNREACHABLE: u8 = 3;
const TOO_LONG: u8 = 4;
/// Errors sent at most in a second.
const ERRORS_PER_SECOND: u32 = 100;
/// What every host takes in one piece (RFC 791). Whoever claims that less is carried wants us to be slow.
const PACKET_BYTES_MIN: u32 = 576;
/// Lengths of packet that links carry, for routers that do not say which (RFC 1191, 7).
const PLATEAUS: [u32; 8] = [32000, 17914, 8166, 4352, 2002, 1492, 1006, PACKET_BYTES_MIN];

/// Our limit on errors sent.
#[derive(Debug, Default)]
pub(crate) struct Icmp {
    second: u64,
    sent: u32,
}

/// Why a packet of ours did not arrive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum News {
    Unreachable(Error),
    /// A router may not cut it, and the next link carries no more than this.
    TooLong {
        packet_bytes: u32,
    },
}

/// An error report about a packet of ours.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Report {
    pub(crate) news: News,
    pub(crate) protocol: u8,
    /// Where our packet came from, on this machine.
    pub(crate) local: End,
    pub(crate) remote: End,
    /// Word behind the ports: the sequence number of a TCP segment.
    pub(crate) sequence: u32,
}

impl Icmp {
    /// Takes a packet; returns an error report if it is a sound one.
    pub(crate) fn receive(&mut self, packet: &Packet<'_>, to_everybody: bool, shared: &mut Shared) -> Option<Report> {
        let message = packet.payload;
        if message.len() < HEADER_BYTES || !Sum::default().bytes(message).is_intact() {
            shared.statistics.malformed += 1;
            return None;
        }
        match (message[0], message[1]) {
            (ECHO_REQUEST, 0) if !to_everybody => {
                answer_echo(packet, shared);
                None
            }
            (UNREACHABLE, code) => report(code, [message[6], message[7]], &message[HEADER_BYTES..]),
            // It went round in circles, or its pieces did not come together.
            (TIME_EXCEEDED, _) => report(HOST_UNREACHABLE, [0; 2], &message[HEADER_BYTES..]),
            _ => None,
        }
    }

    /// Whether one more error may be sent.
    pub(crate) fn may_send(&mut self, now_ns: u64) -> bool {
        let second = now_ns / 1_000_000_000;
        if second != self.second {
            *self = Icmp { second, sent: 0 };
        }
        let may = self.sent < ERRORS_PER_SECOND;
        self.sent += u32::from(may);
        may
    }

    /// Answers a datagram that no socket wanted.
    pub(crate) fn port_unreachable(&mut self, packet: &Packet<'_>, now_ns: u64, shared: &mut Shared) {
        if !packet.source.is_v4() {
            return self.port_unreachable6(packet, now_ns, shared);
        }
        if packet.source.is_unspecified() || !self.may_send(now_ns) {
            return;
        }
        // The header and what follows, as far as 576 bytes allow.
        let quoted = &packet.bytes[..packet.bytes.len().min(576 - ipv4::HEADER_BYTES - HEADER_BYTES)];
        let len_bytes = ipv4::HEADER_BYTES + HEADER_BYTES + quoted.len();
        shared.send(packet.source, len_bytes, &mut |reply| {
            let message = &mut reply[ipv4::HEADER_BYTES..];
            message[..HEADER_BYTES].copy_from_slice(&[UNREACHABLE, PORT_UNREACHABLE, 0, 0, 0, 0, 0, 0]);
            message[HEADER_BYTES..].copy_from_slice(quoted);
            finish(reply, packet.destination, packet.source);
        });
    }
}

fn answer_echo(packet: &Packet<'_>, shared: &mut Shared) {
    let len_bytes = ipv4::HEADER_BYTES + packet.payload.len();
    shared.send(packet.source, len_bytes, &mut |reply| {
        let message = &mut reply[ipv4::HEADER_BYTES..];
        message.copy_from_slice(packet.payload);
        message[0] = ECHO_REPLY;
        message[2..4].fill(0);
        finish(reply, packet.destination, packet.source);
    });
}

fn finish(reply: &mut [u8], source: Ip, destination: Ip) {
    let message = &mut reply[ipv4::HEADER_BYTES..];
    let checksum = Sum::default().bytes(message).complement();
    message[2..4].copy_from_slice(&checksum);
    packet::write_header(reply, source, destination, packet::ICMP);
}

/// What follows from a packet of `sent_bytes` that the next link, which carries `carried_bytes` or 0 for "unknown", could
/// not take.
fn too_long(carried_bytes: u32, sent_bytes: u32) -> Option<News> {
    let packet_bytes = match carried_bytes {
        0 => PLATEAUS.into_iter().find(|&plateau| plateau < sent_bytes)?,
        bytes => bytes,
    };
    (PACKET_BYTES_MIN..sent_bytes).contains(&packet_bytes).then_some(News::TooLong { packet_bytes })
}

/// Reads what a router or host says about a packet of ours, of which it quotes the beginning. `carried` is the length that
/// the next link carries, if the code is about that.
fn report(code: u8, carried: [u8; 2], quoted: &[u8]) -> Option<Report> {
    let header = quoted.first_chunk::<{ ipv4::HEADER_BYTES }>()?;
    let header_bytes = usize::from(header[0] & 0x0f) * 4;
    let is_first_piece = u16::from_be_bytes([header[6], header[7]]) & 0x1fff == 0;
    if header[0] >> 4 != 4 || header_bytes < ipv4::HEADER_BYTES || !is_first_piece {
        return None;
    }
    let start = quoted.get(header_bytes..)?.first_chunk::<8>()?;
    let news = match code {
        2 | PORT_UNREACHABLE => News::Unreachable(Error::ConnectionRefused),
        0 | 6 | 9 | 11 => News::Unreachable(Error::NetworkUnreachable),
        HOST_UNREACHABLE | 5 | 7 | 8 | 10 | 12 | 13 => News::Unreachable(Error::HostUnreachable),
        TOO_LONG => too_long(u16::from_be_bytes(carried).into(), u16::from_be_bytes([header[2], header[3]]).into())?,
        _ => return None,
    };
    Some(Report {
        news,
        protocol: header[9],
        local: End::new(
            Ipv4Addr::new(header[12], header[13], header[14], header[15]).into(),
            u16::from_be_bytes([start[0], start[1]]),
        ),
        remote: End::new(ipv4::destination(header).into(), u16::from_be_bytes([start[2], start[3]])),
        sequence: u32::from_be_bytes([start[4], start[5], start[6], start[7]]),
    })
}
