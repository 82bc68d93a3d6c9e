//! The addresses of IPv6 of a link: ours, the networks that are on it, and the routers to all others. Whoever asks a core's own copy is
//! told the same on all; times are looked at by the core that speaks with routers.

use crate::address::Way;
use core::net::Ipv6Addr;
use toro_tcp::Ip;
pub(crate) use toro_tcp::NEVER;

/// Addresses of our own.
const OWN_MAX: usize = 8;
/// Networks on the link.
const NETWORKS_MAX: usize = 8;
/// Routers.
const ROUTERS_MAX: usize = 4;

pub(crate) const ALL_NODES: Ip = Ip::of_v6(Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1));
pub(crate) const ALL_ROUTERS: Ip = Ip::of_v6(Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 2));

/// An address of this machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Address6 {
    /// The address.
    pub ip: Ipv6Addr,
    /// Leading bits that name the network.
    pub prefix_bits: u8,
    /// Whether something new may use it.
    pub state: State6,
}

/// How an address stands (RFC 4862, 2; RFC 4429).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State6 {
    /// It is used, and others on the link are being asked whether they have it.
    Optimistic,
    /// It is ours.
    Preferred,
    /// It is ours, and nothing new should use it.
    Deprecated,
}

/// One of ours.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Own6 {
    pub(crate) ip: Ip,
    pub(crate) prefix_bits: u8,
    pub(crate) preferred_until_ns: u64,
    pub(crate) valid_until_ns: u64,
    pub(crate) state: State6,
    /// While it is optimistic: until when others may object.
    pub(crate) sure_at_ns: u64,
}

/// A network on the link.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Network {
    pub(crate) ip: Ip,
    pub(crate) bits: u8,
    pub(crate) until_ns: u64,
}

/// A router to everywhere.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Router {
    pub(crate) ip: Ip,
    pub(crate) until_ns: u64,
}

/// A few things, as many as there is room for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Few<T, const MAX: usize>([Option<T>; MAX]);

impl<T: Copy, const MAX: usize> Few<T, MAX> {
    pub(crate) const fn new() -> Self {
        Few([None; MAX])
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &T> {
        self.0.iter().flatten()
    }

    pub(crate) fn iter_mut(&mut self) -> impl Iterator<Item = &mut T> {
        self.0.iter_mut().flatten()
    }

    /// Adds one behind the others; `false` when there is no room.
    pub(crate) fn push(&mut self, one: T) -> bool {
        let place = self.0.iter_mut().find(|place| place.is_none());
        place.map(|place| *place = Some(one)).is_some()
    }

    /// Keeps those of which `keep` says so, in their order. Whether that was all.
    pub(crate) fn retain(&mut self, mut keep: impl FnMut(&T) -> bool) -> bool {
        let before = self.0;
        self.0 = [None; MAX];
        let mut all = true;
        for one in before.iter().flatten() {
            let kept = keep(one);
            all &= kept;
            if kept {
                self.push(*one);
            }
        }
        all
    }
}

/// What is known of IPv6 on a link.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Link6 {
    pub(crate) own: Few<Own6, OWN_MAX>,
    pub(crate) networks: Few<Network, NETWORKS_MAX>,
    /// The first that answers is used.
    pub(crate) routers: Few<Router, ROUTERS_MAX>,
    /// The largest packet, if routers said less than the link's.
    pub(crate) mtu_bytes: Option<u32>,
}

impl Link6 {
    pub(crate) const fn new() -> Self {
        Link6 { own: Few::new(), networks: Few::new(), routers: Few::new(), mtu_bytes: None }
    }

    pub(crate) fn find(&self, ip: Ip) -> Option<&Own6> {
        self.own.iter().find(|own| own.ip == ip)
    }

    #[inline]
    pub(crate) fn is_own(&self, ip: Ip) -> bool {
        self.find(ip).is_some()
    }

    /// Whether an address is ours, and others may still object to that.
    pub(crate) fn is_optimistic(&self, ip: Ip) -> bool {
        self.find(ip).is_some_and(|own| own.state == State6::Optimistic)
    }

    /// The way to another machine or to a group; `None` when there is none (yet).
    pub(crate) fn way(&self, destination: Ip) -> Option<Way> {
        // Without an address of our own there is nothing to send from.
        self.own.iter().next()?;
        if destination.is_multicast() {
            return Some(Way::Broadcast);
        }
        let is_near = is_link_local(destination)
            || self.networks.iter().any(|network| common_bits(network.ip, destination) >= network.bits.into());
        let hop = if is_near { Some(destination) } else { self.routers.iter().next().map(|router| router.ip) };
        hop.map(Way::Neighbor)
    }

    /// The address to speak to `destination` from (RFC 6724, 5, as far as there is a choice): of as wide a scope, rather one that is not
    /// deprecated, and with as much in common as can be.
    pub(crate) fn source_for(&self, destination: Ip) -> Option<Ip> {
        if destination == Ip::LOCALHOST || self.is_own(destination) {
            return Some(destination);
        }
        let near = is_link_local(destination) || is_link_group(destination);
        let rank = |own: &&Own6| {
            let fits = is_link_local(own.ip) == near;
            let common = common_bits(own.ip, destination).min(own.prefix_bits.into());
            (fits, own.state != State6::Deprecated, if destination.is_multicast() { 0 } else { common })
        };
        // Of equals the first.
        let best = self.own.iter().map(|own| rank(&own)).max()?;
        self.own.iter().find(|own| rank(own) == best).map(|own| own.ip)
    }

    /// A router does not answer: others are tried before it. `false` when it is none.
    pub(crate) fn put_last(&mut self, router: Ip) -> bool {
        let Some(found) = self.routers.iter().find(|known| known.ip == router).copied() else { return false };
        self.routers.retain(|known| known.ip != router);
        self.routers.push(found)
    }
}

/// Whether an address is good on its link alone.
#[inline]
pub(crate) fn is_link_local(ip: Ip) -> bool {
    let [a, b, ..] = ip.octets();
    a == 0xfe && b & 0xc0 == 0x80
}

/// Whether a group is one of a link, or of this machine.
fn is_link_group(ip: Ip) -> bool {
    let [a, b, ..] = ip.octets();
    a == 0xff && b & 0x0f <= 2
}

/// How many leading bits two addresses have in common.
pub(crate) fn common_bits(one: Ip, other: Ip) -> u32 {
    (one.to_bits() ^ other.to_bits()).leading_zeros()
}

/// The group in which whoever has an address is asked for (RFC 4291, 2.7.1).
pub(crate) fn solicited_group(ip: Ip) -> Ip {
    let [.., a, b, c] = ip.octets();
    Ip::from_octets([0xff, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0xff, a, b, c])
}

/// The part of our addresses that tells us from others of our network (RFC 4291, appendix A).
pub(crate) fn interface_bits(mac: [u8; 6]) -> u64 {
    let [a, b, c, d, e, f] = mac;
    u64::from_be_bytes([a ^ 2, b, c, 0xff, 0xfe, d, e, f])
}

/// An address of ours in the network of that prefix, of 64 bits.
pub(crate) fn with_prefix(prefix: Ip, mac: [u8; 6]) -> Ip {
    let bits = prefix.to_bits() >> 64 << 64 | u128::from(interface_bits(mac));
    Ip::of_v6(Ipv6Addr::from_bits(bits))
}

#[cfg(test)]
mod tests {
    use super::*;
    use core::net::IpAddr;

    fn ip(text: &str) -> Ip {
        text.parse::<IpAddr>().unwrap().into()
    }

    fn own(text: &str, state: State6) -> Own6 {
        Own6 { ip: ip(text), prefix_bits: 64, preferred_until_ns: NEVER, valid_until_ns: NEVER, state, sure_at_ns: 0 }
    }

    #[test]
    fn the_way_and_the_source_follow_scope_and_prefix() {
        let mut link = Link6::new();
        assert_eq!((link.way(ip("fe80::9")), link.source_for(ip("fe80::9"))), (None, None));
        for (text, state) in [
            ("fe80::1", State6::Preferred),
            ("2001:db8::1", State6::Deprecated),
            ("2001:db8:0:1::1", State6::Preferred),
            ("fd00::1", State6::Preferred),
        ] {
            assert!(link.own.push(own(text, state)));
        }
        link.networks.push(Network { ip: ip("2001:db8::"), bits: 64, until_ns: NEVER });
        for (to, from) in [
            ("fe80::9", "fe80::1"),
            ("ff02::fb", "fe80::1"),
            ("ff05::fb", "2001:db8:0:1::1"),
            ("2001:db8::9", "2001:db8:0:1::1"),
            ("2001:db8::1", "2001:db8::1"),
            ("fd00:1::9", "fd00::1"),
            ("2a00::1", "2001:db8:0:1::1"),
            ("::1", "::1"),
        ] {
            assert_eq!(link.source_for(ip(to)), Some(ip(from)), "{to}");
        }
        assert_eq!(link.way(ip("2001:db8::9")), Some(Way::Neighbor(ip("2001:db8::9"))));
        assert_eq!(link.way(ip("ff02::fb")), Some(Way::Broadcast));
        assert_eq!(link.way(ip("2a00::1")), None);
        for router in ["fe80::a", "fe80::b"] {
            link.routers.push(Router { ip: ip(router), until_ns: NEVER });
        }
        assert_eq!(link.way(ip("2a00::1")), Some(Way::Neighbor(ip("fe80::a"))));
        assert!(link.put_last(ip("fe80::a")) && !link.put_last(ip("fe80::c")));
        assert_eq!(link.way(ip("2a00::1")), Some(Way::Neighbor(ip("fe80::b"))));
    }

    #[test]
    fn names_are_made_of_the_hardware_address() {
        let made = with_prefix(ip("fe80::"), [0x52, 0x54, 0, 0x12, 0x34, 0x56]);
        assert_eq!(made, ip("fe80::5054:ff:fe12:3456"));
        assert_eq!(solicited_group(made), ip("ff02::1:ff12:3456"));
        assert!(is_link_local(made) && !is_link_local(ip("fec0::1")) && is_link_group(ip("ff01::1")));
    }
}
