//! Network cards: one is what a machine has, others may stand beside it. The guest calls them `eth0`, `eth1` and so on, in the
//! order in which they are given.

use crate::addresses::PrivateNetwork;
use crate::addresses6::PrivateNetwork6;
use crate::machine::{Machine, Network};
use std::fmt;
use std::net::Ipv6Addr;
use toro_abi::cmdline::{self, Builder, OF_CARD};
use toro_abi::network::{Address, Address6, Ipv4, Mac};

/// A network card.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NetworkCard {
    /// What it is plugged into.
    pub network: Network,
    /// The guest's address there; `None` lets the private network decide, and asks DHCP elsewhere.
    pub address: Option<Address>,
    /// The guest's gateway there.
    pub gateway: Option<Ipv4>,
    /// The guest's address of IPv6 there; `None` has it listen to routers.
    pub address6: Option<Address6>,
    /// The guest's gateway of IPv6 there.
    pub gateway6: Option<Ipv6Addr>,
    /// Its hardware address; `None`: one that follows from the interface's name, or QEMU's own choice.
    pub mac: Option<Mac>,
}

/// As on a command line.
impl fmt::Display for NetworkCard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.network)?;
        if let Some(address) = self.address {
            write!(f, ",ip={address}")?;
        }
        if let Some(gateway) = self.gateway {
            write!(f, ",gateway={gateway}")?;
        }
        if let Some(address) = self.address6 {
            write!(f, ",ip6={address}")?;
        }
        if let Some(gateway) = self.gateway6 {
            write!(f, ",gateway6={gateway}")?;
        }
        if let Some(mac) = self.mac {
            write!(f, ",mac={mac}")?;
        }
        Ok(())
    }
}

impl NetworkCard {
    /// The private network that it is plugged into, if it is one; `number` is the card's.
    pub(crate) fn private(&self, number: usize) -> Option<PrivateNetwork> {
        (self.network == Network::User).then(|| PrivateNetwork::new(number, self.address, self.gateway))
    }
}

impl Machine {
    /// All cards, in order; none for a machine without a network.
    pub fn cards(&self) -> impl Iterator<Item = &NetworkCard> {
        let all = std::iter::once(&self.eth0).chain(&self.further_cards);
        all.filter(|card| card.network != Network::None)
    }

    /// What the guest is told of its cards. On a private network the host knows the address, so the guest need not ask for it.
    pub(crate) fn push_network(&self, line: &mut Builder) {
        for server in &self.name_servers {
            line.push(cmdline::DNS, server.to_string());
        }
        for domain in &self.search {
            line.push(cmdline::SEARCH, domain);
        }
        for (name, ip) in &self.hosts {
            line.push(cmdline::HOST, format!("{name}:{ip}"));
        }
        let mut served = !self.name_servers.is_empty();
        for ((number, card), [ip, gateway, ip6, gateway6]) in self.cards().enumerate().zip(OF_CARD) {
            if let Some(address) = card.address6 {
                line.push(ip6, address.to_string());
                let private = PrivateNetwork6::of(number, card).filter(|_| matches!(address, Address6::Static { .. }));
                if let Some(address) = private.map(|it| it.host).or(card.gateway6) {
                    line.push(gateway6, address.to_string());
                }
            }
            let private = card.private(number);
            let by_default =
                private.filter(|_| !self.plain).map(|it| Address::Static { ip: it.guest, prefix: it.prefix });
            let Some(address) = card.address.or(by_default) else { continue };
            line.push(ip, address.to_string());
            // DHCP brings the rest with it.
            if !matches!(address, Address::Static { .. }) {
                continue;
            }
            if let Some(address) = card.gateway.or(private.map(|it| it.host)) {
                line.push(gateway, address.to_string());
            }
            if let Some(private) = private.filter(|_| !std::mem::replace(&mut served, true)) {
                line.push(cmdline::DNS, private.dns.to_string());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::image::Image;
    use crate::machine::Accelerator;
    use crate::ports::Port;
    use crate::qemu::{self, Control};
    use toro_abi::console::Token;

    fn machine() -> Machine {
        let image = Image { name: "app".into(), boot: "/k/app.elf".into(), symbols: "/k/app".into() };
        Machine::new(image)
    }

    #[test]
    fn each_card_has_a_network_and_an_address_of_its_own() {
        let mac = Mac::parse("52:54:00:00:00:02");
        let mut machine = machine().network(Network::Tap("tap0".into())).publish_port(Port::parse("8080:80").unwrap());
        machine = machine.card(NetworkCard::default()).card(NetworkCard { mac, ..NetworkCard::default() });
        machine.eth0.address = Address::parse("10.77.0.2/24");
        crate::addresses::check(&machine).unwrap();
        let all = qemu::arguments(&machine, Accelerator::Tcg, Control::None { command_line: "" }).join(" ");
        for wanted in [
            "-netdev tap,id=net0,ifname=tap0,",
            "-netdev user,id=net1,net=10.0.3.0/24,dhcpstart=10.0.3.15,host=10.0.3.2,dns=10.0.3.3,ipv6-net=fec0:0:0:1::/64,ipv6-host=fec0:0:0:1::2,hostfwd=tcp:127.0.0.1:8080-10.0.3.15:80 \
             -device virtio-net-device,netdev=net1 ",
            "-netdev user,id=net2,net=10.0.4.0/24,dhcpstart=10.0.4.15,host=10.0.4.2,dns=10.0.4.3,ipv6-net=fec0:0:0:2::/64,ipv6-host=fec0:0:0:2::2 \
             -device virtio-net-device,netdev=net2,mac=52:54:00:00:00:02 ",
        ] {
            assert!(all.contains(wanted), "{wanted}: {all}");
        }
        let line = machine.command_line(Token::from_random(0));
        let wanted =
            " ip=10.77.0.2/24 eth1.ip=10.0.3.15/24 eth1.gw=10.0.3.2 dns=10.0.3.3 eth2.ip=10.0.4.15/24 eth2.gw=10.0.4.2";
        assert!(line.contains(wanted), "{line}");
    }

    #[test]
    fn cards_that_cannot_be_are_told() {
        let card = |ip: &str, mac| NetworkCard { address: Address::parse(ip), mac, ..NetworkCard::default() };
        let mac = Mac::parse("52:54:00:00:00:02");
        let (one, four) =
            (machine().card(card("dhcp", mac)), (0..4).fold(machine(), |it, _| it.card(card("dhcp", None))));
        for (machine, why) in [
            (four, "5 network cards: the guest uses 4"),
            (one.card(card("dhcp", mac)), "two cards have the hardware address 52:54:00:00:00:02"),
            (machine().network(Network::None).card(card("dhcp", None)), "no further card"),
            (machine().card(card("10.0.0.0/24", None)), "no address of a single machine"),
        ] {
            let error = crate::addresses::check(&machine).unwrap_err();
            assert!(error.message().contains(why) && error.cure().is_some(), "{error}");
        }
    }
}
