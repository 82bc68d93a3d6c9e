//! A network card as a guest describes it when it is asked about its network: a control record for each, among those of its
//! sockets ([`crate::sockets`]).

use crate::network::Mac;
use crate::record::{field, number};
use alloc::vec::Vec;
use core::fmt;
use core::net::IpAddr;

/// One network card. `Display` writes the record without the line's end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Card {
    /// 0 for `eth0`.
    pub number: u8,
    /// Its hardware address.
    pub mac: Mac,
    /// The longest IP packet that it carries.
    pub mtu_bytes: u32,
    /// Its link carries frames.
    pub up: bool,
    /// The machine's addresses there, each with the bits that name its network.
    pub addresses: Vec<(IpAddr, u8)>,
    /// The routers to everywhere else.
    pub gateways: Vec<IpAddr>,
}

impl Card {
    /// Reads a record; `None` for one that is none of these.
    pub fn parse(line: &str) -> Option<Self> {
        if field(line, "event")?.encoded() != "card" {
            return None;
        }
        let figure = |name| number(field(line, name)?);
        let list =
            |name| field(line, name).map_or("", |value| value.encoded()).split(',').filter(|text| !text.is_empty());
        let address = |text: &str| {
            let (ip, prefix) = text.split_once('/')?;
            Some((ip.parse().ok()?, prefix.parse().ok()?))
        };
        Some(Self {
            number: figure("number")?.try_into().ok()?,
            mac: Mac::parse(field(line, "mac")?.encoded())?,
            mtu_bytes: figure("mtu")?.try_into().ok()?,
            up: figure("up")? == 1,
            addresses: list("ip").map(address).collect::<Option<_>>()?,
            gateways: list("gw").map(|text| text.parse().ok()).collect::<Option<_>>()?,
        })
    }
}

impl fmt::Display for Card {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { number, mac, mtu_bytes, up, addresses, gateways } = self;
        write!(f, "event=card number={number} mac={mac} mtu={mtu_bytes} up={}", u8::from(*up))?;
        for (place, (ip, prefix)) in addresses.iter().enumerate() {
            write!(f, "{}{ip}/{prefix}", if place == 0 { " ip=" } else { "," })?;
        }
        for (place, gateway) in gateways.iter().enumerate() {
            write!(f, "{}{gateway}", if place == 0 { " gw=" } else { "," })?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::ToString;

    fn card() -> Card {
        Card {
            number: 1,
            mac: Mac([0x52, 0x54, 0, 0x12, 0x34, 0x56]),
            mtu_bytes: 1500,
            up: true,
            addresses: alloc::vec![([10, 0, 2, 15].into(), 24), (IpAddr::from([0xfe80, 0, 0, 0, 0, 0, 0, 1]), 64)],
            gateways: alloc::vec![[10, 0, 2, 2].into()],
        }
    }

    #[test]
    fn a_card_is_read_as_it_was_written() {
        let bare = Card { up: false, addresses: Vec::new(), gateways: Vec::new(), ..card() };
        for card in [card(), bare] {
            assert_eq!(Card::parse(&card.to_string()), Some(card));
        }
    }

    #[test]
    fn what_is_no_card_is_none() {
        let whole = card().to_string();
        for (from, to) in
            [(" mtu=1500", ""), ("/24", ""), ("gw=10.0.2.2", "gw=x"), ("number=1", "number=256"), ("card", "c")]
        {
            assert_eq!(Card::parse(&whole.replace(from, to)), None, "{from}");
        }
    }
}
