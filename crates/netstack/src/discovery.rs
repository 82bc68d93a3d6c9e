//! Messages about neighbours and routers of IPv6 (RFC 4861): how they are read and written. What follows from them is in `neighbor.rs` and
//! `autoconf.rs`.

use crate::address6::{ALL_NODES, ALL_ROUTERS, solicited_group};
use crate::ethernet::{self, Mac};
use crate::icmp6;
use crate::outbox::Outbox;
use toro_tcp::Ip;
use toro_tcp::ipv6;
use toro_tcp::packet::Packet;

pub(crate) const ROUTER_SOLICITATION: u8 = 133;
pub(crate) const ROUTER_ADVERTISEMENT: u8 = 134;
pub(crate) const SOLICITATION: u8 = 135;
pub(crate) const ADVERTISEMENT: u8 = 136;
/// Only who is on the link can send it so: every router takes one away.
const HOPS: u8 = 255;
/// Kinds of option.
const SOURCE_MAC: u8 = 1;
const TARGET_MAC: u8 = 2;
const NONCE: u8 = 14;
/// Flags of an advertisement.
const IS_ROUTER: u8 = 0x80;
const SOLICITED: u8 = 0x40;
const OVERRIDE: u8 = 0x20;

/// A random number by which a question of ours is known again, should the link bring it back (RFC 7527).
pub(crate) type Nonce = [u8; 6];

/// A sound message about a neighbour.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Message {
    /// Somebody wants to know who has the target; `from` is unspecified when it would like to have it itself.
    Solicitation { from: Ip, target: Ip, mac: Option<Mac>, nonce: Option<Nonce> },
    /// Somebody has the target.
    Advertisement { target: Ip, mac: Option<Mac>, solicited: bool, is_router: bool },
}

/// Options, one after the other: its kind, and all of its bytes.
pub(crate) fn options(list: &[u8]) -> Options<'_> {
    Options { list }
}

/// See [`options`].
pub(crate) struct Options<'a> {
    list: &'a [u8],
}

impl<'a> Iterator for Options<'a> {
    /// `None` inside: a length is a lie, and the whole message with it.
    type Item = Option<(u8, &'a [u8])>;

    fn next(&mut self) -> Option<Self::Item> {
        let (&kind, rest) = self.list.split_first()?;
        let bytes = rest.first().map_or(0, |&eights| usize::from(eights) * 8);
        let option = self.list.get(..bytes).filter(|option| !option.is_empty());
        self.list = option.map_or(&[], |_| &self.list[bytes..]);
        Some(option.map(|option| (kind, option)))
    }
}

/// Whether nothing is wrong with the lengths of a list.
pub(crate) fn are_sound(list: &[u8]) -> bool {
    options(list).all(|option| option.is_some())
}

fn find<const BYTES: usize>(list: &[u8], wanted: u8) -> Option<[u8; BYTES]> {
    let (_, option) = options(list).flatten().find(|(kind, _)| *kind == wanted)?;
    option.get(2..)?.first_chunk().copied()
}

fn find_mac(list: &[u8], wanted: u8) -> Option<Mac> {
    find(list, wanted).filter(|mac| ethernet::is_unicast(*mac))
}

/// The hardware address of a router that has said it.
pub(crate) fn source_mac(list: &[u8]) -> Option<Mac> {
    find_mac(list, SOURCE_MAC)
}

/// Whether an intact message can be believed as far as every message of these kinds must be (RFC 4861, 7.1).
pub(crate) fn is_from_link(packet: &Packet<'_>) -> bool {
    packet.bytes[7] == HOPS && packet.payload[1] == 0
}

/// Whom a question asks for.
pub(crate) fn target(packet: &Packet<'_>) -> Option<Ip> {
    packet.payload.get(8..)?.first_chunk().map(|octets| Ip::from_octets(*octets))
}

/// Reads an intact message about a neighbour; `None` when it is to be dropped (RFC 4861, 7.1.1 and 7.1.2).
pub(crate) fn parse(packet: &Packet<'_>) -> Option<Message> {
    let (head, list) = packet.payload.split_first_chunk::<24>()?;
    let target = target(packet).filter(|target| !target.is_multicast() && !target.is_v4())?;
    if !is_from_link(packet) || !are_sound(list) {
        return None;
    }
    if head[0] == SOLICITATION {
        let mac = find_mac(list, SOURCE_MAC);
        let anonymous = packet.source.is_unspecified();
        if anonymous && (mac.is_some() || packet.destination != solicited_group(target)) {
            return None;
        }
        return Some(Message::Solicitation { from: packet.source, target, mac, nonce: find(list, NONCE) });
    }
    let solicited = head[4] & SOLICITED != 0;
    if packet.source.is_unspecified() || (packet.destination.is_multicast() && solicited) {
        return None;
    }
    let is_router = head[4] & IS_ROUTER != 0;
    Some(Message::Advertisement { target, mac: find_mac(list, TARGET_MAC), solicited, is_router })
}

/// Asks who has `target`: all who may, or the one that was known to have it.
pub(crate) fn solicit(outbox: &mut Outbox, own: Mac, from: Ip, target: Ip, to: Option<Mac>, says_mac: bool) {
    let group = solicited_group(target);
    let (mac, destination) = to.map_or((ethernet::group(group), group), |mac| (mac, target));
    let option = says_mac.then_some((SOURCE_MAC, own));
    send(outbox, (own, mac), (from, destination), [SOLICITATION, 0, 0, 0, 0], Some(target), option);
}

/// Asks whether somebody has an address that we would like to have (RFC 4862, 5.4.2).
pub(crate) fn claim(outbox: &mut Outbox, own: Mac, target: Ip, nonce: Nonce) {
    let group = solicited_group(target);
    let head = [SOLICITATION, 0, 0, 0, 0];
    send(outbox, (own, ethernet::group(group)), (Ip::UNSPECIFIED, group), head, Some(target), Some((NONCE, nonce)));
}

/// Says that `target` is ours: to who asked, or to all when who asked has no address. An optimistic one does not take the place of
/// what others know.
pub(crate) fn advertise(outbox: &mut Outbox, own: Mac, target: Ip, to: Option<(Ip, Mac)>, is_sure: bool) {
    let (destination, mac) = to.unwrap_or((ALL_NODES, ethernet::group(ALL_NODES)));
    let solicited = if to.is_some() { SOLICITED } else { 0 };
    let flags = solicited | if is_sure { OVERRIDE } else { 0 };
    let head = [ADVERTISEMENT, 0, 0, 0, flags];
    send(outbox, (own, mac), (target, destination), head, Some(target), Some((TARGET_MAC, own)));
}

/// Asks for routers.
pub(crate) fn solicit_routers(outbox: &mut Outbox, own: Mac, from: Option<Ip>) {
    let option = from.map(|_| (SOURCE_MAC, own));
    let ends = (from.unwrap_or(Ip::UNSPECIFIED), ALL_ROUTERS);
    send(outbox, (own, ethernet::group(ALL_ROUTERS)), ends, [ROUTER_SOLICITATION, 0, 0, 0, 0], None, option);
}

fn send(
    outbox: &mut Outbox,
    (own, mac): (Mac, Mac),
    (source, destination): (Ip, Ip),
    head: [u8; 5],
    target: Option<Ip>,
    option: Option<(u8, [u8; 6])>,
) {
    let target_bytes = if target.is_some() { 16 } else { 0 };
    let message_bytes = 8 + target_bytes + if option.is_some() { 8 } else { 0 };
    outbox.frame(ethernet::HEADER_BYTES + ipv6::HEADER_BYTES + message_bytes, |frame| {
        let (header, packet) = frame.split_at_mut(ethernet::HEADER_BYTES);
        header.copy_from_slice(&ethernet::header(mac, own, ethernet::IPV6));
        let message = &mut packet[ipv6::HEADER_BYTES..];
        message[..8].fill(0);
        message[..5].copy_from_slice(&head);
        if let Some(target) = target {
            message[8..24].copy_from_slice(&target.octets());
        }
        if let Some((kind, value)) = option {
            message[8 + target_bytes..][..2].copy_from_slice(&[kind, 1]);
            message[10 + target_bytes..].copy_from_slice(&value);
        }
        icmp6::finish(packet, source, destination);
        packet[7] = HOPS;
    });
}
