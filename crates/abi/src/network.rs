//! Addresses as they stand on a command line and in records: of machines, and of network cards.

use core::fmt;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// An IPv4 address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Ipv4(pub [u8; 4]);

impl Ipv4 {
    /// Reads `A.B.C.D`.
    pub fn parse(text: &str) -> Option<Self> {
        let mut octets = [0; 4];
        let mut parts = text.split('.');
        for octet in &mut octets {
            let part = parts.next()?;
            if part.starts_with('+') {
                return None;
            }
            *octet = part.parse().ok()?;
        }
        parts.next().is_none().then_some(Self(octets))
    }
}

impl fmt::Display for Ipv4 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d] = self.0;
        write!(f, "{a}.{b}.{c}.{d}")
    }
}

impl From<Ipv4> for IpAddr {
    fn from(ip: Ipv4) -> Self {
        Self::V4(Ipv4Addr::from(ip.0))
    }
}

/// Network cards that a guest uses; the first is `eth0`.
pub const CARDS_MAX: usize = 4;

/// The hardware address of a network card.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Mac(pub [u8; 6]);

impl Mac {
    /// Reads six pairs of hexadecimal digits with colons between, if they name a single card.
    pub fn parse(text: &str) -> Option<Self> {
        let mut bytes = [0; 6];
        let mut parts = text.split(':');
        for byte in &mut bytes {
            let part = parts.next().filter(|part| part.len() == 2 && !part.starts_with('+'))?;
            *byte = u8::from_str_radix(part, 16).ok()?;
        }
        let is_one = bytes[0] & 1 == 0 && bytes != [0; 6];
        (is_one && parts.next().is_none()).then_some(Self(bytes))
    }
}

impl fmt::Display for Mac {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, e, g] = self.0;
        write!(f, "{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{g:02x}")
    }
}

/// How the guest gets its address of IPv4.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Address {
    /// Asks the network.
    Dhcp,
    /// Uses no network.
    None,
    /// Takes what it is told.
    Static {
        /// The guest's own address.
        ip: Ipv4,
        /// Length of the network part, 0 to 32.
        prefix: u8,
    },
}

impl Address {
    /// Reads `A.B.C.D/P`, `dhcp` or `none`.
    pub fn parse(text: &str) -> Option<Self> {
        match text {
            "dhcp" => Some(Self::Dhcp),
            "none" => Some(Self::None),
            _ => {
                let (ip, prefix) = text.split_once('/')?;
                let prefix = prefix.parse().ok().filter(|prefix| *prefix <= 32)?;
                Some(Self::Static { ip: Ipv4::parse(ip)?, prefix })
            }
        }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Dhcp => f.write_str("dhcp"),
            Self::None => f.write_str("none"),
            Self::Static { ip, prefix } => write!(f, "{ip}/{prefix}"),
        }
    }
}

/// How the guest gets its addresses of IPv6.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Address6 {
    /// Listens to the routers on its link.
    Auto,
    /// Speaks no IPv6 on the network.
    None,
    /// Takes what it is told.
    Static {
        /// The guest's own address.
        ip: Ipv6Addr,
        /// Length of the network part, 0 to 128.
        prefix: u8,
    },
}

impl Address6 {
    /// Reads `X:X::X/P`, `auto` or `none`.
    pub fn parse(text: &str) -> Option<Self> {
        match text {
            "auto" => Some(Self::Auto),
            "none" => Some(Self::None),
            _ => {
                let (ip, prefix) = text.split_once('/')?;
                let prefix = prefix.parse().ok().filter(|prefix| *prefix <= 128)?;
                Some(Self::Static { ip: ip.parse().ok()?, prefix })
            }
        }
    }
}

impl fmt::Display for Address6 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Auto => f.write_str("auto"),
            Self::None => f.write_str("none"),
            Self::Static { ip, prefix } => write!(f, "{ip}/{prefix}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::ToString;

    #[test]
    fn addresses_print_as_they_are_read() {
        for text in ["dhcp", "none", "10.0.2.15/24", "0.0.0.0/0", "255.255.255.255/32"] {
            assert_eq!(Address::parse(text).unwrap().to_string(), text);
        }
        for text in ["auto", "none", "fd00::2/64", "::/0", "::1/128"] {
            assert_eq!(Address6::parse(text).unwrap().to_string(), text);
        }
    }

    #[test]
    fn hardware_addresses_name_one_card() {
        assert_eq!(Mac::parse("52:54:00:aB:cd:ef").unwrap().to_string(), "52:54:00:ab:cd:ef");
        for text in
            ["", "52:54:00:ab:cd", "52:54:00:ab:cd:ef:01", "53:54:00:ab:cd:ef", "00:00:00:00:00:00", "+1:0:0:0:0:0"]
        {
            assert_eq!(Mac::parse(text), None, "{text}");
        }
    }

    #[test]
    fn what_is_no_address_is_refused() {
        for text in ["", "10.0.2.15", "10.0.2/24", "10.0.2.15/33", "10.0.2.15.1/24", "10.0.2.256/24", "+1.0.0.0/8"] {
            assert_eq!(Address::parse(text), None, "{text}");
        }
        for text in ["", "dhcp", "fd00::2", "fd00::2/129", "10.0.2.15/24", "fd00:::2/64", "fe80::1%1/64"] {
            assert_eq!(Address6::parse(text), None, "{text}");
        }
    }
}
