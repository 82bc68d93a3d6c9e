//! Addresses of IPv6 of a machine's network card, as `addresses.rs` has those of IPv4: are they possible, and where is the host?

use crate::cards::NetworkCard;
use crate::error::Error;
use crate::machine::{Machine, Network};
use std::net::Ipv6Addr;
use toro_abi::network::Address6;

/// Prefixes that QEMU's private network can have: room for guest, host and name server, and not most of the Internet.
const PRIVATE_PREFIXES: std::ops::RangeInclusive<u8> = 8..=124;

/// The VMM's private network around a guest that was given an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct PrivateNetwork6 {
    pub(crate) network: Ipv6Addr,
    pub(crate) prefix: u8,
    /// The host, and the gateway.
    pub(crate) host: Ipv6Addr,
}

impl PrivateNetwork6 {
    /// `None` where it is no private network, or QEMU's own addresses are as good as any: those of the first card's.
    pub(crate) fn of(place: usize, card: &NetworkCard) -> Option<Self> {
        let (ip, prefix) = match card.address6 {
            Some(Address6::Static { ip, prefix }) => (ip, prefix),
            _ if place > 0 => (Ipv6Addr::new(0xfec0, 0, 0, place as u16, 0, 0, 0, 0), 64),
            _ => return None,
        };
        let network = Ipv6Addr::from_bits(ip.to_bits() & mask(prefix));
        // The second address, as QEMU has it, or the one behind: the third is its name server's.
        let places = [2, 4].map(|offset| Ipv6Addr::from_bits(network.to_bits() | offset));
        let host = card.gateway6.or_else(|| places.into_iter().find(|place| *place != ip))?;
        (card.network == Network::User).then_some(Self { network, prefix, host })
    }
}

/// Fails for addresses that cannot work together, in the words of the command line.
pub(crate) fn check(machine: &Machine) -> Result<(), Error> {
    machine.cards().try_for_each(check_card)
}

fn check_card(card: &NetworkCard) -> Result<(), Error> {
    let Some(Address6::Static { ip, prefix }) = card.address6 else {
        return match card.gateway6 {
            Some(gateway) => {
                Err(Error::new(format!("cannot use gateway {gateway}: the guest asks routers for its gateway"))
                    .help("--gateway6 goes with --ip6 ADDRESS/PREFIX"))
            }
            _ => Ok(()),
        };
    };
    let shown = format!("{ip}/{prefix}");
    let possible = if card.network == Network::User { PRIVATE_PREFIXES } else { 1..=128 };
    if !possible.contains(&prefix) {
        let (least, most) = possible.into_inner();
        return Err(Error::new(format!("cannot use address {shown}: its prefix is not {least} to {most}"))
            .help("for example --ip6 fd00::15/64"));
    }
    if !is_host(ip) || ip.is_unicast_link_local() {
        return Err(Error::new(format!("cannot use address {shown}: it is no address of a single machine everywhere"))
            .help("for example --ip6 fd00::15/64"));
    }
    match card.gateway6 {
        Some(gateway) if gateway == ip => {
            Err(Error::new(format!("cannot use gateway {gateway}: it is the guest's own address"))
                .help("give the guest another with --ip6"))
        }
        Some(gateway) if !is_host(gateway) || !is_near(gateway, ip, prefix) => {
            Err(Error::new(format!("cannot use gateway {gateway}: it is not on the guest's network, {shown}"))
                .help("--gateway6 takes an address on the network of --ip6, or one of its link, fe80::"))
        }
        _ => Ok(()),
    }
}

fn is_near(gateway: Ipv6Addr, ip: Ipv6Addr, prefix: u8) -> bool {
    gateway.is_unicast_link_local() || (gateway.to_bits() ^ ip.to_bits()) & mask(prefix) == 0
}

fn is_host(ip: Ipv6Addr) -> bool {
    !(ip.is_unspecified() || ip.is_loopback() || ip.is_multicast() || ip.to_ipv4_mapped().is_some())
}

fn mask(prefix: u8) -> u128 {
    u128::MAX.checked_shl(128 - u32::from(prefix)).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::image::Image;

    fn machine(network: Network, ip: Option<&str>, gateway: Option<&str>) -> Machine {
        let image = Image { name: "app".into(), boot: "/k/app.elf".into(), symbols: "/k/app".into() };
        let mut machine = Machine::new(image).network(network);
        machine.eth0.address6 = ip.map(|ip| Address6::parse(ip).unwrap());
        machine.eth0.gateway6 = gateway.map(|ip| ip.parse().unwrap());
        machine
    }

    #[test]
    fn the_vmm_keeps_away_from_the_guests_address() {
        let around = |ip, gateway| {
            let machine = machine(Network::User, Some(ip), gateway);
            check(&machine).unwrap();
            let PrivateNetwork6 { network, prefix, host } = PrivateNetwork6::of(0, &machine.eth0).unwrap();
            format!("{network}/{prefix} {host}")
        };
        assert_eq!(around("fd00::15/64", None), "fd00::/64 fd00::2");
        assert_eq!(around("fd00::2/64", None), "fd00::/64 fd00::4");
        assert_eq!(around("fd00:1:2::9/48", Some("fd00:1:2::1")), "fd00:1:2::/48 fd00:1:2::1");
        let of = |network, ip| PrivateNetwork6::of(0, &machine(network, Some(ip), None).eth0);
        assert_eq!(of(Network::User, "auto"), None);
        assert_eq!(of(Network::Tap("tap0".into()), "fd00::2/64"), None);
    }

    #[test]
    fn addresses_that_cannot_work_are_named() {
        let tap = || Network::Tap("tap0".into());
        for (network, ip, gateway, why) in [
            (Network::User, Some("fd00::2/126"), None, "prefix is not 8 to 124"),
            (tap(), Some("fd00::2/0"), None, "prefix is not 1 to 128"),
            (tap(), Some("ff02::1/64"), None, "no address of a single machine"),
            (tap(), Some("::1/128"), None, "no address of a single machine"),
            (tap(), Some("fe80::2/64"), None, "no address of a single machine everywhere"),
            (tap(), Some("fd00::2/64"), Some("fd00::2"), "the guest's own"),
            (tap(), Some("fd00::2/64"), Some("fd00:1::1"), "not on the guest's network, fd00::2/64"),
            (tap(), None, Some("fd00::1"), "asks routers"),
            (tap(), Some("auto"), Some("fd00::1"), "asks routers"),
        ] {
            let error = check(&machine(network, ip, gateway)).unwrap_err();
            assert!(error.message().contains(why) && error.cure().is_some(), "{ip:?} {gateway:?}: {error}");
        }
        assert_eq!(check(&machine(tap(), Some("fd00::2/64"), Some("fe80::1"))), Ok(()));
        assert_eq!(check(&machine(tap(), Some("fd00::2/128"), Some("fe80::1"))), Ok(()));
    }
}
