//! The addresses that programs give to sockets of the network, in the words of their family: which of them can be, and what is meant.
//!
//! A socket of IPv6 takes IPv4 as mapped addresses (RFC 4291, 2.5.5.2), unless it was told not to; below, an address of IPv4 is one.

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use toro_linux_abi::address::{Address, CARD, Family};
use toro_linux_abi::errno::Errno;

/// What of a socket decides which addresses it takes.
#[derive(Clone, Copy)]
pub(super) struct Kind {
    pub(super) family: Family,
    /// `IPV6_V6ONLY`.
    pub(super) v6_only: bool,
    /// It is of TCP.
    pub(super) stream: bool,
}

impl Kind {
    /// All addresses of this machine, and no port.
    pub(super) fn anywhere(self) -> SocketAddr {
        let ip: IpAddr = match self.family {
            Family::Inet6 => Ipv6Addr::UNSPECIFIED.into(),
            Family::Inet | Family::Unix => Ipv4Addr::UNSPECIFIED.into(),
        };
        SocketAddr::new(ip, 0)
    }

    /// The own end that `bind` names.
    pub(super) fn local(self, address: &Address) -> Result<SocketAddr, Errno> {
        match (address, self.family) {
            (Address::Inet(address @ SocketAddr::V4(_)), Family::Inet) => Ok(*address),
            (Address::Inet(SocketAddr::V6(address)), Family::Inet6) => {
                let ip = address.ip();
                match ip.to_ipv4_mapped() {
                    Some(_) if self.v6_only => Err(Errno::INVAL),
                    Some(ip) => Ok(SocketAddr::new(ip.into(), address.port())),
                    None if self.stream && ip.is_multicast() => Err(Errno::INVAL),
                    None if ip.is_unicast_link_local() => check_link(address.scope_id()).map(|()| (*address).into()),
                    None => Ok((*address).into()),
                }
            }
            _ => Err(Errno::AFNOSUPPORT),
        }
    }

    /// The other end that `connect` or `sendto` names. Nobody is at all addresses; Linux takes it for this machine.
    pub(super) fn remote(self, address: &Address) -> Result<SocketAddr, Errno> {
        let of_v4 = |ip: Ipv4Addr, port| {
            let ip = if ip.is_unspecified() { Ipv4Addr::LOCALHOST } else { ip };
            SocketAddr::new(ip.into(), port)
        };
        match (address, self.family) {
            (Address::Inet(SocketAddr::V4(address)), Family::Inet) => Ok(of_v4(*address.ip(), address.port())),
            (Address::Inet(SocketAddr::V4(address)), Family::Inet6) if !self.stream && !self.v6_only => {
                Ok(of_v4(*address.ip(), address.port()))
            }
            (Address::Inet(SocketAddr::V6(address)), Family::Inet6) => {
                let (ip, port) = (*address.ip(), address.port());
                match ip.to_ipv4_mapped() {
                    Some(_) if self.v6_only => Err(Errno::NETUNREACH),
                    Some(ip) => Ok(of_v4(ip, port)),
                    None if ip.is_unspecified() => Ok(SocketAddr::new(Ipv6Addr::LOCALHOST.into(), port)),
                    None if self.stream && ip.is_multicast() => Err(Errno::NETUNREACH),
                    None if ip.is_unicast_link_local() => check_link(address.scope_id()).map(|()| (*address).into()),
                    None => Ok((*address).into()),
                }
            }
            _ => Err(Errno::AFNOSUPPORT),
        }
    }
}

/// An address of a link is one on a certain link: that has to be said.
fn check_link(scope: u32) -> Result<(), Errno> {
    match scope {
        0 => Err(Errno::INVAL),
        CARD => Ok(()),
        _ => Err(Errno::NODEV),
    }
}
