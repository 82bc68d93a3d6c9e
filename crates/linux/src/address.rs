//! Addresses of sockets as they lie in a program's memory: `sockaddr_in`, `sockaddr_in6`, `sockaddr_un`.

use crate::errno::Errno;
use alloc::vec::Vec;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};
use linux_raw_sys::net::{AF_INET, AF_INET6, AF_UNIX, AF_UNSPEC};

/// Longest address that a call takes.
pub const BYTES_MAX: usize = 128;
/// Bytes of an address of IP version 4.
pub const INET_BYTES: usize = 16;
/// The same of version 6, without the scope, which is missing in the oldest form.
pub const INET6_BYTES_MIN: usize = 24;
/// The same with it.
pub const INET6_BYTES: usize = 28;
/// Numbers of interfaces: the one inside of the machine, and its card.
pub const LOOPBACK: u32 = 1;
/// See there.
pub const CARD: u32 = 2;
/// Before a path in `sockaddr_un`, and the longest path.
const UNIX_HEADER_BYTES: usize = 2;
const UNIX_PATH_BYTES: usize = 108;

/// Family of a socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Family {
    /// IPv4.
    Inet,
    /// IPv6, and IPv4 in its guise.
    Inet6,
    /// Sockets of one machine.
    Unix,
}

/// The name of a socket of one machine.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum UnixName {
    /// A path in the tree of files.
    Path(Vec<u8>),
    /// A name in a list of its own.
    Abstract(Vec<u8>),
    /// None.
    Unnamed,
}

/// An address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Address {
    /// Of the network.
    Inet(SocketAddr),
    /// Of this machine.
    Unix(UnixName),
    /// None: `connect` to it ends a connection.
    Unspecified,
}

fn family_of(bytes: &[u8]) -> Result<u32, Errno> {
    let family: [u8; 2] = bytes.get(..2).and_then(|bytes| bytes.try_into().ok()).ok_or(Errno::INVAL)?;
    Ok(u16::from_le_bytes(family).into())
}

fn port_of(bytes: &[u8]) -> u16 {
    u16::from_be_bytes([bytes[2], bytes[3]])
}

impl Address {
    /// Reads what a program gave.
    ///
    /// # Errors
    /// `EINVAL` for one that is too short or too long, `EAFNOSUPPORT` for a family that is not known.
    pub fn parse(bytes: &[u8]) -> Result<Self, Errno> {
        match family_of(bytes)? {
            AF_UNSPEC => Ok(Self::Unspecified),
            AF_INET => {
                let bytes = bytes.get(..INET_BYTES).ok_or(Errno::INVAL)?;
                let ip = Ipv4Addr::new(bytes[4], bytes[5], bytes[6], bytes[7]);
                Ok(Self::Inet(SocketAddrV4::new(ip, port_of(bytes)).into()))
            }
            AF_INET6 => {
                let scope = bytes.get(INET6_BYTES_MIN..INET6_BYTES).and_then(|scope| scope.first_chunk());
                let scope = scope.map_or(0, |scope| u32::from_le_bytes(*scope));
                let bytes = bytes.get(..INET6_BYTES_MIN).ok_or(Errno::INVAL)?;
                let ip: [u8; 16] = bytes[8..24].try_into().map_err(|_| Errno::INVAL)?;
                Ok(Self::Inet(SocketAddrV6::new(Ipv6Addr::from(ip), port_of(bytes), 0, scope).into()))
            }
            AF_UNIX => Ok(Self::Unix(parse_unix(bytes)?)),
            _ => Err(Errno::AFNOSUPPORT),
        }
    }

    /// As it is written for a program: of the network in the guise of the socket's family.
    #[must_use]
    pub fn encode(&self, family: Family) -> Vec<u8> {
        match self {
            Self::Inet(address) => encode_inet(*address, family),
            Self::Unix(name) => encode_unix(name),
            Self::Unspecified => (AF_UNSPEC as u16).to_le_bytes().to_vec(),
        }
    }
}

fn parse_unix(bytes: &[u8]) -> Result<UnixName, Errno> {
    let path = &bytes[UNIX_HEADER_BYTES..];
    if path.len() > UNIX_PATH_BYTES {
        return Err(Errno::INVAL);
    }
    Ok(match path.first() {
        None => UnixName::Unnamed,
        Some(0) => UnixName::Abstract(path[1..].to_vec()),
        Some(_) => {
            let end = path.iter().position(|byte| *byte == 0).unwrap_or(path.len());
            UnixName::Path(path[..end].to_vec())
        }
    })
}

fn encode_inet(address: SocketAddr, family: Family) -> Vec<u8> {
    let port = address.port().to_be_bytes();
    match (address.ip(), family) {
        (IpAddr::V4(ip), Family::Inet | Family::Unix) => {
            let mut bytes = (AF_INET as u16).to_le_bytes().to_vec();
            bytes.extend(port);
            bytes.extend(ip.octets());
            bytes.resize(INET_BYTES, 0);
            bytes
        }
        (ip, _) => {
            let ip = match ip {
                IpAddr::V4(ip) => ip.to_ipv6_mapped(),
                IpAddr::V6(ip) => ip,
            };
            // The network has one link, and does not name it.
            let scope = if ip.is_unicast_link_local() { CARD } else { 0 };
            let mut bytes = (AF_INET6 as u16).to_le_bytes().to_vec();
            bytes.extend(port);
            bytes.extend([0; 4]);
            bytes.extend(ip.octets());
            bytes.extend(scope.to_le_bytes());
            bytes
        }
    }
}

fn encode_unix(name: &UnixName) -> Vec<u8> {
    let mut bytes = (AF_UNIX as u16).to_le_bytes().to_vec();
    match name {
        UnixName::Unnamed => {}
        UnixName::Path(path) => {
            bytes.extend(path);
            bytes.push(0);
        }
        UnixName::Abstract(name) => {
            bytes.push(0);
            bytes.extend(name);
        }
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_as_they_are_written() {
        for (text, family) in [
            ("127.0.0.1:80", Family::Inet),
            ("0.0.0.0:0", Family::Inet),
            ("[::1]:65535", Family::Inet6),
            ("[fe80::1%2]:1", Family::Inet6),
        ] {
            let address = Address::Inet(text.parse().unwrap());
            assert_eq!(Address::parse(&address.encode(family)), Ok(address), "{text}");
        }
        for name in [UnixName::Path(b"/run/x".to_vec()), UnixName::Abstract(b"x\0y".to_vec()), UnixName::Unnamed] {
            let address = Address::Unix(name);
            assert_eq!(Address::parse(&address.encode(Family::Unix)), Ok(address));
        }
    }

    #[test]
    fn ipv4_has_another_guise_in_a_socket_of_ipv6() {
        let address = Address::Inet("10.0.2.2:1000".parse().unwrap());
        let Ok(Address::Inet(SocketAddr::V6(seen))) = Address::parse(&address.encode(Family::Inet6)) else {
            panic!("it is one of IPv6");
        };
        assert_eq!((seen.ip().to_ipv4_mapped(), seen.port()), (Some(Ipv4Addr::new(10, 0, 2, 2)), 1000));
        let any = Address::Inet("0.0.0.0:0".parse().unwrap()).encode(Family::Inet6);
        assert_eq!(Address::parse(&any), Ok(Address::Inet("[::ffff:0.0.0.0]:0".parse().unwrap())));
    }

    #[test]
    fn the_oldest_form_names_no_link() {
        let whole = Address::Inet("[fe80::1%2]:1".parse().unwrap()).encode(Family::Inet6);
        assert_eq!(whole.len(), INET6_BYTES);
        assert_eq!(Address::parse(&whole[..INET6_BYTES_MIN]), Ok(Address::Inet("[fe80::1]:1".parse().unwrap())));
    }

    #[test]
    fn what_is_none_is_refused() {
        for bytes in [&[][..], &[2], &[2, 0, 0, 80, 127, 0, 0], &[10, 0, 0, 80, 0, 0, 0, 0, 0]] {
            assert_eq!(Address::parse(bytes), Err(Errno::INVAL), "{bytes:?}");
        }
        assert_eq!(Address::parse(&[16, 0, 0, 0]), Err(Errno::AFNOSUPPORT));
        assert_eq!(Address::parse(&[&[1, 0], &[b'x'; 109][..]].concat()), Err(Errno::INVAL));
        assert_eq!(Address::parse(&[0, 0]), Ok(Address::Unspecified));
    }
}
