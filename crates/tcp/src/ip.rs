//! Addresses of both families in one form: those of IPv4 as a part of IPv6's (RFC 4291, 2.5.5.2).
//!
//! Two words as they stand in memory, so that comparing, summing and writing one costs no thought about its family.

use core::fmt;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// What stands before an address of IPv4, in the second word.
const V4: u64 = 0xffff_0000;

/// An address.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Ip {
    /// The first eight bytes, the first of them lowest.
    first: u64,
    second: u64,
}

impl Ip {
    /// Nobody, or everybody's, of IPv6.
    pub const UNSPECIFIED: Ip = Ip::of_v6(Ipv6Addr::UNSPECIFIED);
    /// The same of IPv4.
    pub const UNSPECIFIED_V4: Ip = Ip::of_v4(Ipv4Addr::UNSPECIFIED);

    /// Everybody's on a link, of IPv4.
    pub const BROADCAST_V4: Ip = Ip::of_v4(Ipv4Addr::BROADCAST);

    /// This machine, to itself.
    pub const LOCALHOST: Ip = Ip::of_v6(Ipv6Addr::LOCALHOST);
    /// The same of IPv4.
    pub const LOCALHOST_V4: Ip = Ip::of_v4(Ipv4Addr::LOCALHOST);

    /// An address of IPv4.
    #[inline]
    #[must_use]
    pub const fn of_v4(ip: Ipv4Addr) -> Self {
        Ip { first: 0, second: (u32::from_le_bytes(ip.octets()) as u64) << 32 | V4 }
    }

    /// An address of IPv6.
    #[inline]
    #[must_use]
    pub const fn of_v6(ip: Ipv6Addr) -> Self {
        Ip::from_octets(ip.octets())
    }

    /// As it stands in a header of IPv6.
    #[inline]
    #[must_use]
    pub const fn from_octets(octets: [u8; 16]) -> Self {
        let all = u128::from_le_bytes(octets);
        Ip { first: all as u64, second: (all >> 64) as u64 }
    }

    /// All bytes.
    #[inline]
    #[must_use]
    pub const fn octets(self) -> [u8; 16] {
        ((self.second as u128) << 64 | self.first as u128).to_le_bytes()
    }

    /// Of [these](Self::words).
    #[inline]
    #[must_use]
    pub const fn from_words([first, second]: [u64; 2]) -> Self {
        Ip { first, second }
    }

    /// Both words, for hashing.
    #[inline]
    #[must_use]
    pub const fn words(self) -> [u64; 2] {
        [self.first, self.second]
    }

    /// As a number, whose high bits name the network.
    #[must_use]
    pub const fn to_bits(self) -> u128 {
        u128::from_be_bytes(self.octets())
    }

    /// Whether it is one of IPv4.
    #[inline]
    #[must_use]
    pub const fn is_v4(self) -> bool {
        self.first == 0 && self.second as u32 as u64 == V4
    }

    /// As one of IPv4, if it is that.
    #[inline]
    #[must_use]
    pub const fn v4(self) -> Option<Ipv4Addr> {
        if self.is_v4() { Some(self.low_v4()) } else { None }
    }

    /// The last four bytes.
    #[inline]
    #[must_use]
    pub const fn low_v4(self) -> Ipv4Addr {
        let [a, b, c, d] = ((self.second >> 32) as u32).to_le_bytes();
        Ipv4Addr::new(a, b, c, d)
    }

    /// As programs write it.
    #[must_use]
    pub const fn addr(self) -> IpAddr {
        match self.v4() {
            Some(ip) => IpAddr::V4(ip),
            None => IpAddr::V6(self.v6()),
        }
    }

    /// In the form of IPv6, whatever it is.
    #[must_use]
    pub const fn v6(self) -> Ipv6Addr {
        Ipv6Addr::from_bits(self.to_bits())
    }

    /// Whether it is nobody's, of either family.
    #[inline]
    #[must_use]
    pub const fn is_unspecified(self) -> bool {
        self.first == 0 && (self.second == 0 || self.second == V4)
    }

    /// Whether it is that of a group.
    #[inline]
    #[must_use]
    pub const fn is_multicast(self) -> bool {
        self.first as u8 == 0xff || (self.is_v4() && self.low_v4().is_multicast())
    }

    /// Whether it is one that no packet on a link has.
    #[inline]
    #[must_use]
    pub const fn is_loopback(self) -> bool {
        self.first == 0 && (self.second == 1 << 56 || (self.second as u32 as u64 == V4 && self.low_v4().is_loopback()))
    }
}

impl From<Ipv4Addr> for Ip {
    fn from(ip: Ipv4Addr) -> Self {
        Ip::of_v4(ip)
    }
}

impl From<IpAddr> for Ip {
    fn from(ip: IpAddr) -> Self {
        match ip {
            IpAddr::V4(ip) => Ip::of_v4(ip),
            IpAddr::V6(ip) => Ip::of_v6(ip),
        }
    }
}

impl fmt::Display for Ip {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.addr().fmt(formatter)
    }
}

impl fmt::Debug for Ip {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.addr().fmt(formatter)
    }
}

/// An address and a port.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct End {
    /// The address.
    pub ip: Ip,
    /// The port.
    pub port: u16,
}

impl End {
    /// Both.
    #[inline]
    #[must_use]
    pub const fn new(ip: Ip, port: u16) -> Self {
        End { ip, port }
    }
}

impl From<SocketAddr> for End {
    fn from(address: SocketAddr) -> Self {
        End::new(address.ip().into(), address.port())
    }
}

impl From<End> for SocketAddr {
    fn from(end: End) -> Self {
        SocketAddr::new(end.ip.addr(), end.port)
    }
}

#[cfg(test)]
mod tests {
    use super::{End, Ip};
    use core::net::{IpAddr, SocketAddr};

    #[test]
    fn addresses_of_both_families_come_back_as_they_were() {
        for (text, is_v4) in [
            ("10.0.2.15", true),
            ("0.0.0.0", true),
            ("255.255.255.255", true),
            ("::", false),
            ("::1", false),
            ("fe80::5054:ff:fe12:3456", false),
            ("::fffe:a00:1", false),
            ("::1:0:ffff:a00:1", false),
            ("ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", false),
        ] {
            let address: IpAddr = text.parse().unwrap();
            let ip = Ip::from(address);
            assert_eq!((ip.addr(), ip.is_v4(), ip.to_string().as_str()), (address, is_v4, text));
            assert_eq!(Ip::from_octets(ip.octets()), ip);
            assert_eq!(ip.is_unspecified(), address.is_unspecified(), "{text}");
            let end = SocketAddr::new(address, 80);
            assert_eq!(SocketAddr::from(End::from(end)), end);
        }
        let mapped: IpAddr = "::ffff:10.0.2.15".parse().unwrap();
        assert_eq!(Ip::from(mapped), Ip::from("10.0.2.15".parse::<IpAddr>().unwrap()));
    }

    #[test]
    fn kinds_are_known() {
        let kinds = |text: &str| {
            let ip = Ip::from(text.parse::<IpAddr>().unwrap());
            (ip.is_loopback(), ip.is_multicast(), ip.is_unspecified())
        };
        for (text, expected) in [
            ("127.8.0.1", (true, false, false)),
            ("::1", (true, false, false)),
            ("128.0.0.1", (false, false, false)),
            ("::100", (false, false, false)),
            ("224.0.0.1", (false, true, false)),
            ("ff02::1", (false, true, false)),
            ("e0::", (false, false, false)),
            ("::e000:1", (false, false, false)),
            ("0.0.0.0", (false, false, true)),
            ("::", (false, false, true)),
        ] {
            assert_eq!(kinds(text), expected, "{text}");
        }
    }
}
