//! The addresses of this machine, and which way a packet leaves it.

use core::net::Ipv4Addr;

/// An address, its network and the way out of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Address {
    /// Our address.
    pub ip: Ipv4Addr,
    /// Leading bits that name the network.
    pub prefix_bits: u8,
    /// Router to everything else.
    pub gateway: Option<Ipv4Addr>,
    /// Name server, when DHCP named one.
    pub dns: Option<Ipv4Addr>,
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
    Neighbor(Ipv4Addr),
    /// To everybody on the link.
    Broadcast,
}

/// What this machine is called on its link, if it has a name yet.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Addresses {
    pub(crate) own: Option<Address>,
}

impl Addresses {
    pub(crate) fn own_ip(&self) -> Option<Ipv4Addr> {
        self.own.map(|own| own.ip)
    }

    /// Whether packets to `ip` are for this machine.
    pub(crate) fn is_local(&self, ip: Ipv4Addr) -> bool {
        ip.is_loopback() || self.own_ip() == Some(ip)
    }

    /// Whether `ip` means every machine of the link.
    pub(crate) fn is_broadcast(&self, ip: Ipv4Addr) -> bool {
        ip.is_broadcast() || self.own.is_some_and(|own| own.broadcast() == Some(ip))
    }

    /// Whether a packet from the link can have this source: one machine, and another one. Whoever has no address yet
    /// speaks to everybody.
    #[inline]
    pub(crate) fn is_from_outside(&self, source: Ipv4Addr, destination: Ipv4Addr) -> bool {
        let ours = self.own.is_some_and(|own| own.ip == source || own.broadcast() == Some(source));
        let nobody = source.is_unspecified() && !destination.is_broadcast();
        !(ours || nobody || source.is_loopback())
    }

    /// The way to a destination; `None` when there is none (yet).
    pub(crate) fn way(&self, destination: Ipv4Addr) -> Option<Way> {
        if self.is_local(destination) {
            return Some(Way::Loopback);
        }
        // Without an address of our own there is nothing to send from, not even to everybody.
        let own = self.own.as_ref()?;
        if self.is_broadcast(destination) || destination.is_multicast() {
            return Some(Way::Broadcast);
        }
        if own.is_on_link(destination) { Some(Way::Neighbor(destination)) } else { own.gateway.map(Way::Neighbor) }
    }

    /// The address to speak to `destination` from.
    pub(crate) fn source_for(&self, destination: Ipv4Addr) -> Option<Ipv4Addr> {
        if destination.is_loopback() { Some(destination) } else { self.own_ip() }
    }
}

#[cfg(test)]
mod tests {
    use super::{Address, Addresses, Way};
    use core::net::Ipv4Addr;

    #[test]
    fn the_way_follows_the_prefix() {
        let gateway = Ipv4Addr::new(10, 0, 2, 2);
        let own = Address { ip: Ipv4Addr::new(10, 0, 2, 15), prefix_bits: 24, gateway: Some(gateway), dns: None };
        let addresses = Addresses { own: Some(own) };
        let way = |a, b, c, d| addresses.way(Ipv4Addr::new(a, b, c, d));
        assert_eq!(way(127, 0, 0, 1), Some(Way::Loopback));
        assert_eq!(way(10, 0, 2, 15), Some(Way::Loopback));
        assert_eq!(way(10, 0, 2, 77), Some(Way::Neighbor(Ipv4Addr::new(10, 0, 2, 77))));
        assert_eq!(way(10, 0, 2, 255), Some(Way::Broadcast));
        assert_eq!(way(8, 8, 8, 8), Some(Way::Neighbor(gateway)));
        for anybody in [gateway, Ipv4Addr::BROADCAST, Ipv4Addr::new(224, 0, 0, 1)] {
            assert_eq!(Addresses::default().way(anybody), None);
        }
        let everywhere = Address { prefix_bits: 0, ..own };
        assert!(everywhere.is_usable() && everywhere.is_on_link(Ipv4Addr::new(1, 2, 3, 4)));
    }
}
