//! Published ports: a port of the host that leads to a port of the guest.

use crate::error::Error;
use std::fmt;
use std::net::{Ipv4Addr, SocketAddrV4, TcpListener, UdpSocket};
use toro_abi::control::Protocol;

/// A port of the host that leads to a port of the guest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Port {
    /// Address of the host; port 0 stands for a free one.
    pub host: SocketAddrV4,
    /// Port of the guest.
    pub guest: u16,
    /// TCP or UDP.
    pub protocol: Protocol,
}

impl Port {
    /// A TCP port on a free port of 127.0.0.1.
    pub const fn on_free_port(guest: u16) -> Self {
        Self { host: SocketAddrV4::new(Ipv4Addr::LOCALHOST, 0), guest, protocol: Protocol::Tcp }
    }

    /// Reads `[ADDR:]HOST:GUEST[/udp]`.
    pub fn parse(text: &str) -> Result<Self, Error> {
        let fail = |why: &str| {
            Error::new(format!("cannot publish `{text}`: {why}"))
                .help("-p [ADDRESS:]HOST_PORT:GUEST_PORT[/udp], for example -p 8080:80")
        };
        let (ports, protocol) = match text.split_once('/') {
            None | Some((_, "tcp")) => (text.trim_end_matches("/tcp"), Protocol::Tcp),
            Some((ports, "udp")) => (ports, Protocol::Udp),
            Some((_, other)) => return Err(fail(&format!("`{other}` is neither tcp nor udp"))),
        };
        if ports.contains('[') {
            return Err(fail("the host address must be IPv4"));
        }
        let mut parts = ports.rsplit(':');
        let (guest, host) = (parts.next(), parts.next());
        let (Some(guest), Some(host)) = (guest, host) else {
            return Err(fail("a host port and a guest port are needed"));
        };
        let number = |text: &str| text.parse::<u16>().map_err(|_| fail(&format!("`{text}` is no port number")));
        let (guest, host) = (number(guest)?, number(host)?);
        if guest == 0 {
            return Err(fail("the guest port cannot be 0"));
        }
        let address = match parts.next() {
            None => Ipv4Addr::LOCALHOST,
            Some(address) => address.parse().map_err(|_| fail(&format!("`{address}` is no IPv4 address")))?,
        };
        if parts.next().is_some() {
            return Err(fail("too many `:`"));
        }
        Ok(Self { host: SocketAddrV4::new(address, host), guest, protocol })
    }

    /// Fails when somebody else has the host's port, so that the VMM need not.
    fn check_free(&self) -> Result<(), Error> {
        if self.host.port() == 0 {
            return Ok(());
        }
        let bound = match self.protocol {
            Protocol::Tcp => TcpListener::bind(self.host).map(drop),
            Protocol::Udp => UdpSocket::bind(self.host).map(drop),
        };
        bound.map_err(|error| {
            let cure = match error.kind() {
                std::io::ErrorKind::AddrInUse => {
                    format!("stop what uses it, or choose another port: -p {}", self.with_host_port(0))
                }
                std::io::ErrorKind::PermissionDenied => {
                    format!("choose a port above 1023: -p {}", self.with_host_port(8080))
                }
                _ => "choose an address of this host".into(),
            };
            let why = match error.kind() {
                std::io::ErrorKind::AddrInUse => "the port is taken".into(),
                _ => error.to_string(),
            };
            Error::new(format!("cannot publish {} port {}: {why}", self.protocol, self.host)).help(cure)
        })
    }

    /// The words that would publish it on another port of the host, as short as they can be.
    fn with_host_port(&self, host_port: u16) -> String {
        let other = Self { host: SocketAddrV4::new(*self.host.ip(), host_port), ..*self }.to_string();
        other.strip_prefix("127.0.0.1:").unwrap_or(&other).to_owned()
    }

    /// Whether both want the same port of the host.
    fn clashes_with(&self, other: &Self) -> bool {
        let (ip, other_ip) = (self.host.ip(), other.host.ip());
        let same_address = ip == other_ip || ip.is_unspecified() || other_ip.is_unspecified();
        let same_port = self.host.port() == other.host.port() && self.host.port() != 0;
        self.protocol == other.protocol && same_port && same_address
    }
}

/// Fails when a port of the host is taken by somebody else, or wanted twice.
pub(crate) fn check_all(ports: &[Port]) -> Result<(), Error> {
    for (at, port) in ports.iter().enumerate() {
        if let Some(first) = ports[..at].iter().find(|first| first.clashes_with(port)) {
            let other = port.with_host_port(0);
            return Err(Error::new(format!(
                "cannot publish {} port {} twice: for guest ports {} and {}",
                port.protocol, port.host, first.guest, port.guest
            ))
            .help(format!("leave one out, or choose another port for it: -p {other}")));
        }
        port.check_free()?;
    }
    Ok(())
}

impl fmt::Display for Port {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.host, self.guest)?;
        if self.protocol == Protocol::Udp { f.write_str("/udp") } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_are_read_as_docker_reads_them() {
        for (text, printed) in [
            ("8080:80", "127.0.0.1:8080:80"),
            ("0:80", "127.0.0.1:0:80"),
            ("0.0.0.0:53:5353/udp", "0.0.0.0:53:5353/udp"),
            ("8080:80/tcp", "127.0.0.1:8080:80"),
        ] {
            assert_eq!(Port::parse(text).unwrap().to_string(), printed);
        }
    }

    #[test]
    fn a_wrong_port_is_named() {
        for text in ["80", "a:80", "80:0", "80:70000", "1.2.3:80:80", "::1:80:80", "[::1]:80:80", "80:80/sctp", ""] {
            let error = Port::parse(text).unwrap_err();
            assert!(error.message().contains(&format!("`{text}`")), "{error}");
        }
    }

    #[test]
    fn a_taken_port_is_named_with_the_cure() {
        let taken = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = taken.local_addr().unwrap().port();
        let error = Port::parse(&format!("{port}:80")).unwrap().check_free().unwrap_err();
        assert_eq!(error.message(), format!("cannot publish tcp port 127.0.0.1:{port}: the port is taken"));
        assert!(error.cure().unwrap().contains("-p 0:80"));
        assert!(Port::parse("0:80").unwrap().check_free().is_ok());
        let taken = UdpSocket::bind("127.0.0.1:0").unwrap();
        let port = taken.local_addr().unwrap().port();
        let error = Port::parse(&format!("{port}:53/udp")).unwrap().check_free().unwrap_err();
        assert!(error.cure().unwrap().ends_with("-p 0:53/udp"), "{error}");
    }

    #[test]
    fn a_port_that_is_wanted_twice_is_named() {
        let all = |texts: &[&str]| check_all(&texts.iter().map(|text| Port::parse(text).unwrap()).collect::<Vec<_>>());
        let error = all(&["39471:80", "0.0.0.0:39471:81"]).unwrap_err();
        assert_eq!(error.message(), "cannot publish tcp port 0.0.0.0:39471 twice: for guest ports 80 and 81");
        assert!(error.cure().unwrap().ends_with("-p 0.0.0.0:0:81"), "{error}");
        assert_eq!(all(&["0:80", "0:80", "39471:80", "39471:80/udp"]), Ok(()));
    }
}
