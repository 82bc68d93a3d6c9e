//! IPv4 addresses as they stand on a command line and in records.

use core::fmt;

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

/// How the guest gets its address.
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

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::ToString;

    #[test]
    fn addresses_print_as_they_are_read() {
        for text in ["dhcp", "none", "10.0.2.15/24", "0.0.0.0/0", "255.255.255.255/32"] {
            assert_eq!(Address::parse(text).unwrap().to_string(), text);
        }
    }

    #[test]
    fn what_is_no_address_is_refused() {
        for text in ["", "10.0.2.15", "10.0.2/24", "10.0.2.15/33", "10.0.2.15.1/24", "10.0.2.256/24", "+1.0.0.0/8"] {
            assert_eq!(Address::parse(text), None, "{text}");
        }
    }
}
