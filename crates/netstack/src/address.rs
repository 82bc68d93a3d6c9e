//! The addresses of this machine, and which way a packet leaves it.

use crate::address6::Link6;
use core::net::Ipv4Addr;
use toro_tcp::Ip;

/// An address, its network and the way out of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Address {
    /// Our address.
    pub ip: Ipv4Addr,
    /// Leading bits that name the network.
    pub prefix_bits: u8,
    /// Router to everything else.
    pub gateway: Option<Ipv4Addr>,
    /// Name servers that DHCP named, in the order in which they are to be asked.
    pub dns: [Option<Ipv4Addr>; 3],
}

impl Address {
    fn mask(&self) -> u32 {
        u32::MAX.checked_shl(32 - u32::from(self.prefix_bits.min(32))).unwrap_or(0)
    }

    fn is_on_link(&self, other: Ipv4Addr) -> bool {
        (self.ip.to_bits() ^ other.to_bits()) & self.mask() == 0
    }

    fn broadcast(&self) -> Option<Ipv4Addr> {
        (self.prefix_bits <= 30).then(|| Ipv4Addr::from_bits(self.ip.to_bits() | !self.mask()))
    }

    /// Whether this can be the address of one machine.
    #[must_use]
    pub fn is_usable(&self) -> bool {
        is_host(self.ip)
            && self.prefix_bits <= 32
            && Some(self.ip) != self.broadcast()
            && self.gateway.is_none_or(is_host)
    }
}

fn is_host(ip: Ipv4Addr) -> bool {
    !(ip.is_unspecified() || ip.is_broadcast() || ip.is_multicast() || ip.is_loopback())
}

/// Which way to a destination.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    /// It is this machine.
    Loopback,
    /// Out of the link, to this neighbour.
    Neighbor(Ip),
    /// To everybody on the link.
    Broadcast,
}

/// Where there is no address; no machine has this one.
const NONE: Ip = Ip::from_octets([0xff; 16]);

/// What this machine is called on its link, if it has a name yet.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Addresses {
    own: Option<Address>,
    /// Our address and everybody's, of IPv4.
    own_v4: Ip,
    broadcast_v4: Ip,
    /// What is known of IPv6.
    pub(crate) six: Link6,
}

impl Addresses {
    pub(crate) const fn new() -> Self {
        Addresses { own: None, own_v4: NONE, broadcast_v4: NONE, six: Link6::new() }
    }

    /// Our address of IPv4, with its network.
    pub(crate) fn own(&self) -> Option<Address> {
        self.own
    }

    pub(crate) fn set_own(&mut self, own: Option<Address>) {
        let of = |ip: Option<Ipv4Addr>| ip.map_or(NONE, Ip::of_v4);
        self.own = own;
        self.own_v4 = of(self.own_v4());
        self.broadcast_v4 = of(own.and_then(|own| own.broadcast()));
    }

    pub(crate) fn own_v4(&self) -> Option<Ipv4Addr> {
        self.own.map(|own| own.ip)
    }

    /// Whether `ip` is an address that this machine has on the link.
    #[inline]
    pub(crate) fn is_own(&self, ip: Ip) -> bool {
        ip == self.own_v4 || !ip.is_v4() && self.six.is_own(ip)
    }

    /// Whether packets to `ip` are for this machine.
    pub(crate) fn is_local(&self, ip: Ip) -> bool {
        ip.is_loopback() || self.is_own(ip)
    }

    /// Whether `ip` means every machine of the link.
    pub(crate) fn is_broadcast(&self, ip: Ip) -> bool {
        ip == Ip::BROADCAST_V4 || ip == self.broadcast_v4
    }

    /// Whether a packet from the link can have this source: one machine, and another one. Whoever has no address yet
    /// speaks to everybody.
    #[inline]
    pub(crate) fn is_from_outside(&self, source: Ip, destination: Ip) -> bool {
        if !source.is_v4() {
            let nobody = source.is_unspecified() && !destination.is_multicast();
            return !(nobody || source.is_loopback() || self.six.is_own(source));
        }
        let ours = source == self.own_v4 || source == self.broadcast_v4;
        let nobody = source == Ip::UNSPECIFIED_V4 && destination != Ip::BROADCAST_V4;
        !(ours || nobody || source.is_loopback())
    }

    /// The way to a destination; `None` when there is none (yet).
    pub(crate) fn way(&self, destination: Ip) -> Option<Way> {
        if self.is_local(destination) {
            return Some(Way::Loopback);
        }
        let Some(ip) = destination.v4() else { return self.six.way(destination) };
        // Without an address of our own there is nothing to send from, not even to everybody.
        let own = self.own.as_ref()?;
        if self.is_broadcast(destination) || ip.is_multicast() {
            return Some(Way::Broadcast);
        }
        let hop = if own.is_on_link(ip) { Some(ip) } else { own.gateway };
        hop.map(|hop| Way::Neighbor(hop.into()))
    }

    /// How well the link suits a destination: by the leading bits that name its network, and 0 where a router or everybody is
    /// spoken to. `None`: there is no way.
    pub(crate) fn fit(&self, destination: Ip) -> Option<u8> {
        match self.way(destination)? {
            Way::Neighbor(hop) if hop != destination => Some(0),
            Way::Broadcast if destination != self.broadcast_v4 => Some(0),
            _ => Some(1 + destination.v4().and(self.own()).map_or(64, |own| own.prefix_bits)),
        }
    }

    /// The address to speak to `destination` from.
    pub(crate) fn source_for(&self, destination: Ip) -> Option<Ip> {
        match destination.v4() {
            Some(ip) if ip.is_loopback() => Some(destination),
            Some(_) => self.own_v4().map(Ip::from),
            None => self.six.source_for(destination),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Address, Addresses, Way};
    use core::net::Ipv4Addr;

    #[test]
    fn the_way_follows_the_prefix() {
        let gateway = Ipv4Addr::new(10, 0, 2, 2);
        let own = Address { ip: Ipv4Addr::new(10, 0, 2, 15), prefix_bits: 24, gateway: Some(gateway), dns: [None; 3] };
        let mut addresses = Addresses::new();
        addresses.set_own(Some(own));
        let way = |a, b, c, d| addresses.way(Ipv4Addr::new(a, b, c, d).into());
        assert_eq!(way(127, 0, 0, 1), Some(Way::Loopback));
        assert_eq!(way(10, 0, 2, 15), Some(Way::Loopback));
        assert_eq!(way(10, 0, 2, 77), Some(Way::Neighbor(Ipv4Addr::new(10, 0, 2, 77).into())));
        assert_eq!(way(10, 0, 2, 255), Some(Way::Broadcast));
        assert_eq!(way(8, 8, 8, 8), Some(Way::Neighbor(gateway.into())));
        for anybody in [gateway, Ipv4Addr::BROADCAST, Ipv4Addr::new(224, 0, 0, 1)] {
            assert_eq!(Addresses::new().way(anybody.into()), None);
        }
        let everywhere = Address { prefix_bits: 0, ..own };
        assert!(everywhere.is_usable() && everywhere.is_on_link(Ipv4Addr::new(1, 2, 3, 4)));
    }
}
