//! ICMPv6 (RFC 4443): as `icmp.rs`, for IPv6.

use crate::error::Error;
use crate::icmp::{Icmp, News, Report};
use crate::shared::Shared;
use toro_tcp::ipv6::{self, HEADER_BYTES};
use toro_tcp::packet::{self, ICMP6, Packet, Problem};
use toro_tcp::{End, Ip, Sum};

const MESSAGE_BYTES: usize = 8;
const UNREACHABLE: u8 = 1;
const TOO_BIG: u8 = 2;
const TIME_EXCEEDED: u8 = 3;
const PROBLEM: u8 = 4;
const ECHO_REQUEST: u8 = 128;
const ECHO_REPLY: u8 = 129;
const NO_PORT: u8 = 4;
/// What every link of IPv6 carries (RFC 8200, 5). Whoever claims that less is carried wants us to be slow.
pub(crate) const PACKET_BYTES_MIN: usize = 1280;

/// Whether a message is as it was sent.
pub(crate) fn is_intact(packet: &Packet<'_>) -> bool {
    packet.payload.len() >= 4 && packet.pseudo_header().bytes(packet.payload).is_intact()
}

/// Completes a packet whose message is written but for its checksum.
pub(crate) fn finish(packet: &mut [u8], source: Ip, destination: Ip) {
    let message = &mut packet[HEADER_BYTES..];
    message[2..4].fill(0);
    let sum = Sum::pseudo_header(source, destination, ICMP6, message.len()).bytes(message).complement();
    message[2..4].copy_from_slice(&sum);
    packet::write_header(packet, source, destination, ICMP6);
}

impl Icmp {
    /// Takes an intact message that is not about neighbours; returns an error report if it is one.
    pub(crate) fn receive6(&mut self, packet: &Packet<'_>, shared: &mut Shared) -> Option<Report> {
        let (head, quoted) = packet.payload.split_first_chunk::<MESSAGE_BYTES>()?;
        match (head[0], head[1]) {
            (ECHO_REQUEST, 0) => {
                answer_echo(packet, shared);
                None
            }
            (UNREACHABLE | TOO_BIG | TIME_EXCEEDED | PROBLEM, _) => report(head, quoted),
            _ => None,
        }
    }

    /// Answers a datagram that no socket wanted.
    pub(crate) fn port_unreachable6(&mut self, packet: &Packet<'_>, now_ns: u64, shared: &mut Shared) {
        self.send_error(packet, [UNREACHABLE, NO_PORT], 0, now_ns, shared);
    }

    /// Answers a packet with something in it that must be known, and is not.
    #[cold]
    pub(crate) fn problem(&mut self, data: &[u8], problem: Problem, now_ns: u64, shared: &mut Shared) {
        let Some(packet) = ipv6::parse_ends(data) else { return };
        // Of what is sent to several, only options that demand it are answered (2.4).
        if packet.destination.is_multicast() && problem.code != Problem::OPTION {
            return;
        }
        self.send_error(&packet, [PROBLEM, problem.code], problem.pointer.into(), now_ns, shared);
    }

    fn send_error(&mut self, packet: &Packet<'_>, [kind, code]: [u8; 2], word: u32, now_ns: u64, shared: &mut Shared) {
        let is_error = packet.protocol == ICMP6 && packet.payload.first().is_none_or(|kind| *kind < 128);
        if packet.source.is_unspecified() || is_error || !self.may_send(now_ns) {
            return;
        }
        let to = packet.source;
        let own = if packet.destination.is_multicast() { None } else { Some(packet.destination) };
        let Some(source) = own.or_else(|| shared.addresses.source_for(to)) else { return };
        let quoted = &packet.bytes[..packet.bytes.len().min(PACKET_BYTES_MIN - HEADER_BYTES - MESSAGE_BYTES)];
        shared.send(to, HEADER_BYTES + MESSAGE_BYTES + quoted.len(), &mut |reply| {
            let (head, rest) = reply[HEADER_BYTES..].split_at_mut(MESSAGE_BYTES);
            head.copy_from_slice(&[kind, code, 0, 0, 0, 0, 0, 0]);
            head[4..].copy_from_slice(&word.to_be_bytes());
            rest.copy_from_slice(quoted);
            finish(reply, source, to);
        });
    }
}

fn answer_echo(packet: &Packet<'_>, shared: &mut Shared) {
    let to = packet.source;
    // What is sent to several is answered as oneself (4.2).
    let own = if packet.destination.is_multicast() { None } else { Some(packet.destination) };
    let Some(source) = own.or_else(|| shared.addresses.source_for(to)) else { return };
    shared.send(to, HEADER_BYTES + packet.payload.len(), &mut |reply| {
        let message = &mut reply[HEADER_BYTES..];
        message.copy_from_slice(packet.payload);
        message[0] = ECHO_REPLY;
        finish(reply, source, to);
    });
}

/// Reads what a router or host says about a packet of ours, of which it quotes the beginning.
fn report(head: &[u8; MESSAGE_BYTES], quoted: &[u8]) -> Option<Report> {
    let word = u32::from_be_bytes([head[4], head[5], head[6], head[7]]);
    let news = match (head[0], head[1]) {
        (UNREACHABLE, NO_PORT) => News::Unreachable(Error::ConnectionRefused),
        (UNREACHABLE, 0 | 5 | 6) => News::Unreachable(Error::NetworkUnreachable),
        (UNREACHABLE, _) | (TIME_EXCEEDED, _) => News::Unreachable(Error::HostUnreachable),
        (PROBLEM, 1) => News::Unreachable(Error::ConnectionRefused),
        // A link that carries less than every link must has its routers cut by itself.
        (TOO_BIG, _) => News::TooLong { packet_bytes: word.max(PACKET_BYTES_MIN as u32) },
        _ => return None,
    };
    let quote = ipv6::parse_quote(quoted)?;
    let start = quote.payload.first_chunk::<8>()?;
    Some(Report {
        news,
        protocol: quote.protocol,
        local: End::new(quote.source, u16::from_be_bytes([start[0], start[1]])),
        remote: End::new(quote.destination, u16::from_be_bytes([start[2], start[3]])),
        sequence: u32::from_be_bytes([start[4], start[5], start[6], start[7]]),
    })
}
