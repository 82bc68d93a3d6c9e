//! Addresses of a machine's network card: are they possible, and on the VMM's private network, which ones are the VMM's own?

use crate::cards::NetworkCard;
use crate::error::Error;
use crate::machine::{Machine, Network};
use toro_abi::network::{Address, CARDS_MAX, Ipv4};

/// The address of a guest's card on a private network of the VMM, unless it is given another.
const fn guest_at(place: usize) -> Ipv4 {
    Ipv4([10, 0, 2 + place as u8, 15])
}

const PREFIX: u8 = 24;
/// Networks that QEMU's private network can be: room for guest, host and name server, and not most of the Internet.
const PRIVATE_PREFIXES: std::ops::RangeInclusive<u8> = 4..=29;

/// The VMM's private network. It answers at two addresses of its own, which must not be the guest's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct PrivateNetwork {
    pub(crate) guest: Ipv4,
    pub(crate) prefix: u8,
    /// The host, and the gateway.
    pub(crate) host: Ipv4,
    pub(crate) dns: Ipv4,
}

impl PrivateNetwork {
    /// The network around the guest's address. The third and fourth address are the host and the name server, as QEMU has
    /// it, or those behind when the guest or its gateway took one.
    pub(crate) fn new(place: usize, address: Option<Address>, gateway: Option<Ipv4>) -> Self {
        let (guest, prefix) = match address {
            Some(Address::Static { ip, prefix }) => (ip, prefix),
            _ => (guest_at(place), PREFIX),
        };
        let first = number(guest) & mask(prefix);
        let is_free = |ip: &Ipv4| *ip != guest && Some(*ip) != gateway;
        let from = |offset: u32| (offset..8).map(|offset| from_number(first | offset)).find(is_free).unwrap_or(guest);
        let host = gateway.unwrap_or_else(|| from(2));
        let dns = if host == from(3) { from(4) } else { from(3) };
        Self { guest, prefix, host, dns }
    }

    /// `A.B.C.D/P` of the network.
    pub(crate) fn network(&self) -> String {
        format!("{}/{}", from_number(number(self.guest) & mask(self.prefix)), self.prefix)
    }
}

/// Fails for addresses that cannot work together, in the words of the command line.
pub(crate) fn check(machine: &Machine) -> Result<(), Error> {
    if machine.eth0.network == Network::None && !machine.further_cards.is_empty() {
        return Err(Error::new("a machine without a network has no further card").help("leave --net none out"));
    }
    let cards: Vec<&NetworkCard> = machine.cards().collect();
    if cards.len() > CARDS_MAX {
        return Err(Error::new(format!("{} network cards: the guest uses {CARDS_MAX}", cards.len()))
            .help("give --net fewer times"));
    }
    for (place, card) in cards.iter().enumerate() {
        let others = &cards[..place];
        if let Some(mac) = card.mac.filter(|_| others.iter().any(|other| other.mac == card.mac)) {
            return Err(Error::new(format!("two cards have the hardware address {mac}")).help("give each its own mac"));
        }
        check_card(place, card)?;
    }
    Ok(())
}

fn check_card(place: usize, card: &NetworkCard) -> Result<(), Error> {
    let is_private = card.network == Network::User;
    let (ip, prefix) = match card.address {
        Some(Address::Static { ip, prefix }) => (ip, prefix),
        _ if is_private => (guest_at(place), PREFIX),
        _ => {
            return match card.gateway {
                Some(gateway) => {
                    Err(Error::new(format!("cannot use gateway {gateway}: the guest asks DHCP for its gateway"))
                        .help("--gateway goes with --ip A.B.C.D/P"))
                }
                None => Ok(()),
            };
        }
    };
    let shown = format!("{ip}/{prefix}");
    let possible = if is_private { PRIVATE_PREFIXES } else { 1..=32 };
    if !possible.contains(&prefix) {
        let (least, most) = possible.into_inner();
        return Err(Error::new(format!("cannot use address {shown}: its prefix is not {least} to {most}"))
            .help("for example --ip 10.0.0.15/24"));
    }
    if !is_host(ip, prefix) {
        return Err(Error::new(format!("cannot use address {shown}: it is no address of a single machine"))
            .help("for example --ip 10.0.0.15/24"));
    }
    match card.gateway {
        Some(gateway) if gateway == ip => {
            Err(Error::new(format!("cannot use gateway {gateway}: it is the guest's own address"))
                .help("give the guest another with --ip"))
        }
        Some(gateway) if (number(gateway) ^ number(ip)) & mask(prefix) != 0 || !is_host(gateway, prefix) => {
            Err(Error::new(format!("cannot use gateway {gateway}: it is not on the guest's network, {shown}"))
                .help("--gateway takes an address on the network of --ip"))
        }
        _ => Ok(()),
    }
}

/// Neither the network itself, nor all of it, nor a special address.
fn is_host(ip: Ipv4, prefix: u8) -> bool {
    let below = number(ip) & !mask(prefix);
    let is_special = matches!(ip.0[0], 0 | 127 | 224..);
    !is_special && (prefix > 30 || (below != 0 && below != !mask(prefix)))
}

fn mask(prefix: u8) -> u32 {
    u32::MAX.checked_shl(32 - u32::from(prefix)).unwrap_or(0)
}

fn number(ip: Ipv4) -> u32 {
    u32::from_be_bytes(ip.0)
}

fn from_number(number: u32) -> Ipv4 {
    Ipv4(number.to_be_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::image::Image;

    fn machine(network: Network, ip: Option<&str>, gateway: Option<&str>) -> Machine {
        let image = Image { name: "app".into(), boot: "/k/app.elf".into(), symbols: "/k/app".into() };
        let mut machine = Machine::new(image).network(network);
        machine.eth0.address = ip.map(|ip| Address::parse(ip).unwrap());
        machine.eth0.gateway = gateway.map(|ip| Ipv4::parse(ip).unwrap());
        machine
    }

    #[test]
    fn the_vmm_keeps_away_from_the_guests_address() {
        let around = |ip, gateway| {
            let machine = machine(Network::User, ip, gateway);
            check(&machine).unwrap();
            let PrivateNetwork { host, dns, .. } = PrivateNetwork::new(0, machine.eth0.address, machine.eth0.gateway);
            format!("{host} {dns}")
        };
        for (ip, gateway, expected) in [
            (None, None, "10.0.2.2 10.0.2.3"),
            (None, Some("10.0.2.1"), "10.0.2.1 10.0.2.3"),
            (Some("10.0.0.2/24"), None, "10.0.0.3 10.0.0.4"),
            (Some("10.0.0.3/24"), None, "10.0.0.2 10.0.0.4"),
            (Some("10.0.0.9/24"), Some("10.0.0.3"), "10.0.0.3 10.0.0.4"),
            (Some("10.0.0.3/24"), Some("10.0.0.1"), "10.0.0.1 10.0.0.4"),
            (Some("192.168.1.9/29"), None, "192.168.1.10 192.168.1.11"),
        ] {
            assert_eq!(around(ip, gateway), expected, "{ip:?} {gateway:?}");
        }
    }

    #[test]
    fn addresses_that_cannot_work_are_named() {
        let tap = || Network::Tap("tap0".into());
        for (network, ip, gateway, why) in [
            (Network::User, Some("10.0.0.2/30"), None, "prefix is not 4 to 29"),
            (tap(), Some("10.0.0.2/0"), None, "prefix is not 1 to 32"),
            (tap(), Some("10.0.0.0/24"), None, "no address of a single machine"),
            (tap(), Some("10.0.0.255/24"), None, "no address of a single machine"),
            (tap(), Some("127.0.0.2/24"), None, "no address of a single machine"),
            (Network::User, None, Some("10.0.3.1"), "not on the guest's network, 10.0.2.15/24"),
            (tap(), Some("10.0.0.2/24"), Some("10.0.0.2"), "the guest's own"),
            (tap(), Some("10.0.0.2/24"), Some("10.0.0.255"), "not on the guest's network"),
            (tap(), None, Some("10.0.0.1"), "asks DHCP"),
            (tap(), Some("dhcp"), Some("10.0.0.1"), "asks DHCP"),
        ] {
            let error = check(&machine(network, ip, gateway)).unwrap_err();
            assert!(error.message().contains(why) && error.cure().is_some(), "{ip:?} {gateway:?}: {error}");
        }
        assert_eq!(check(&machine(tap(), Some("10.0.0.2/31"), Some("10.0.0.3"))), Ok(()));
    }
}
