//! Which of a name's addresses is tried first (RFC 6724, 6): those that there is a way to, then those that fit best to the address
//! that we would speak from.

use core::cmp::Reverse;
use core::net::{IpAddr, Ipv6Addr};

/// Prefixes with what they are worth, and with a number that sources and destinations of one kind share (RFC 6724, 2.1).
const POLICIES: [(Ipv6Addr, u32, u8, u8); 9] = [
    (Ipv6Addr::LOCALHOST, 128, 50, 0),
    (Ipv6Addr::new(0, 0, 0, 0, 0, 0xffff, 0, 0), 96, 35, 4),
    (Ipv6Addr::UNSPECIFIED, 96, 1, 3),
    (Ipv6Addr::new(0x2001, 0, 0, 0, 0, 0, 0, 0), 32, 5, 5),
    (Ipv6Addr::new(0x2002, 0, 0, 0, 0, 0, 0, 0), 16, 30, 2),
    (Ipv6Addr::new(0x3ffe, 0, 0, 0, 0, 0, 0, 0), 16, 1, 12),
    (Ipv6Addr::new(0xfec0, 0, 0, 0, 0, 0, 0, 0), 10, 1, 11),
    (Ipv6Addr::new(0xfc00, 0, 0, 0, 0, 0, 0, 0), 7, 3, 13),
    (Ipv6Addr::UNSPECIFIED, 0, 40, 1),
];
/// What of two addresses can be alike for being of one network.
const NETWORK_BITS: u32 = 64;

/// Puts the best first; those that are equally good stay in their order. `source` says which address we would speak to one from, if
/// there is a way to it.
pub fn sort(addresses: &mut [IpAddr], source: impl Fn(IpAddr) -> Option<IpAddr>) {
    addresses.sort_by_cached_key(|address| {
        let source = source(*address);
        let (precedence, label) = policy(*address);
        let fits = |fit: &dyn Fn(IpAddr) -> bool| source.is_some_and(fit);
        (
            !fits(&|_| true),
            !fits(&|source| scope(source) == scope(*address)),
            !fits(&|source| policy(source).1 == label),
            Reverse(precedence),
            scope(*address),
            Reverse(source.map_or(0, |source| common_bits(source, *address))),
        )
    });
}

fn v6(address: IpAddr) -> Ipv6Addr {
    match address {
        IpAddr::V4(ip) => ip.to_ipv6_mapped(),
        IpAddr::V6(ip) => ip,
    }
}

fn policy(address: IpAddr) -> (u8, u8) {
    let bits = v6(address).to_bits();
    let is_within = |prefix: Ipv6Addr, length: u32| (bits ^ prefix.to_bits()).leading_zeros() >= length;
    let found = POLICIES.iter().find(|(prefix, length, ..)| is_within(*prefix, *length));
    found.map_or((0, 0), |(.., precedence, label)| (*precedence, *label))
}

/// How far an address means the same: in the numbers that those of groups have.
fn scope(address: IpAddr) -> u8 {
    match address {
        IpAddr::V4(ip) if ip.is_loopback() || ip.is_link_local() => 2,
        IpAddr::V6(ip) if ip.is_multicast() => ip.octets()[1] & 0xf,
        IpAddr::V6(ip) if ip.is_loopback() || ip.is_unicast_link_local() => 2,
        IpAddr::V6(ip) if ip.segments()[0] & 0xffc0 == 0xfec0 => 5,
        _ => 14,
    }
}

/// How many bits two addresses of IPv6 begin with alike; of IPv4 that says nothing.
fn common_bits(one: IpAddr, other: IpAddr) -> u32 {
    match (one, other) {
        (IpAddr::V6(one), IpAddr::V6(other)) => (one.to_bits() ^ other.to_bits()).leading_zeros().min(NETWORK_BITS),
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `from` are our addresses: one of the destination's family is taken, that of its link for a link's.
    fn sorted(addresses: &[&str], from: &[&str]) -> Vec<String> {
        let parse = |text: &&str| text.parse::<IpAddr>().unwrap();
        let from: Vec<IpAddr> = from.iter().map(parse).collect();
        let mut addresses: Vec<IpAddr> = addresses.iter().map(parse).collect();
        sort(&mut addresses, |to| {
            let mut fitting: Vec<_> = from.iter().filter(|own| own.is_ipv4() == to.is_ipv4()).copied().collect();
            fitting.sort_by_key(|own| scope(*own) != scope(to));
            fitting.first().copied()
        });
        addresses.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn what_has_a_way_comes_first() {
        assert_eq!(sorted(&["2001:db8::1", "198.51.100.1"], &["10.0.0.2"]), ["198.51.100.1", "2001:db8::1"]);
        assert_eq!(sorted(&["198.51.100.1", "2001:db8::1"], &["2001:db8::2"]), ["2001:db8::1", "198.51.100.1"]);
        assert_eq!(sorted(&["198.51.100.1", "2001:db8::1"], &[]), ["2001:db8::1", "198.51.100.1"]);
    }

    #[test]
    fn the_examples_of_the_rfc() {
        // RFC 6724, 10.2.
        let both = ["2001:db8:1::1", "198.51.100.121"];
        assert_eq!(sorted(&both, &["2001:db8:1::2", "169.254.13.78"]), both);
        assert_eq!(sorted(&both, &["fe80::1", "198.51.100.117"]), ["198.51.100.121", "2001:db8:1::1"]);
        let private = ["2001:db8:1::1", "10.1.2.3"];
        assert_eq!(sorted(&private, &["2001:db8:1::2", "10.1.2.4"]), private);
        let near = ["2001:db8:1::1", "fe80::1"];
        assert_eq!(sorted(&near, &["2001:db8:1::2", "fe80::2"]), ["fe80::1", "2001:db8:1::1"]);
        let relayed = ["2002:c633:6401::1", "2001:db8:1::1"];
        assert_eq!(sorted(&relayed, &["2002:c633:6401::2"]), relayed);
        assert_eq!(sorted(&["2001:db8:3ffe::1", "2001:db8:1::1"], &["2001:db8:1::2"])[0], "2001:db8:1::1");
    }

    #[test]
    fn private_addresses_of_qemu_are_no_way_to_the_world() {
        // Its IPv6 is of a site: what is everywhere is reached by IPv4.
        let own = ["fec0::5054:ff:fe12:3456", "10.0.2.15"];
        assert_eq!(sorted(&["2001:db8::1", "198.51.100.1"], &own), ["198.51.100.1", "2001:db8::1"]);
        assert_eq!(sorted(&["10.0.2.2", "fec0::2"], &own), ["10.0.2.2", "fec0::2"]);
    }
}
