//! Network interfaces as programs see them: `lo`, and a network card each, in `/sys/class/net` and by `ioctl` of a socket
//! (`netdevice(7)`). There is no `netlink`.

use crate::task::Task;
use core::fmt::Write;
use core::net::{IpAddr, Ipv4Addr};
use toro::net::Card;
use toro::prelude::*;
use toro_abi::network::Mac;
use toro_linux_abi::address;
use toro_linux_abi::errno::Errno;
use toro_linux_abi::raw::{ioctl, net};

const LOOPBACK: &str = "lo";
/// Kinds of hardware.
const ETHER: u16 = 1;
const LOOPBACK_HARDWARE: u16 = 772;
const LOOPBACK_MTU_BYTES: u32 = 65536;
/// `struct ifreq`: a name, and what is asked or answered.
const REQUEST_BYTES: usize = 40;
const NAME_BYTES: usize = 16;
const AF_INET: u16 = net::AF_INET as u16;
/// Flags of an interface.
const UP: u16 = 1;
const BROADCAST: u16 = 1 << 1;
const IS_LOOPBACK: u16 = 1 << 3;
const RUNNING: u16 = 1 << 6;
const MULTICAST: u16 = 1 << 12;

/// What of an interface a file in `/sys/class/net` tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fact {
    Address,
    Carrier,
    Flags,
    Index,
    Mtu,
    State,
    Type,
}

/// The files in each interface's directory.
pub(crate) const FACTS: [(&str, Fact); 7] = [
    ("address", Fact::Address),
    ("carrier", Fact::Carrier),
    ("flags", Fact::Flags),
    ("ifindex", Fact::Index),
    ("mtu", Fact::Mtu),
    ("operstate", Fact::State),
    ("type", Fact::Type),
];

/// An interface.
#[derive(Clone, Debug)]
pub(crate) struct Interface {
    pub(crate) name: String,
    /// The number by which programs know it.
    pub(crate) index: u32,
    card: Option<Card>,
}

/// All of them, by their numbers.
pub(crate) fn all() -> Vec<Interface> {
    let loopback = Interface { name: LOOPBACK.to_owned(), index: address::LOOPBACK, card: None };
    let cards = toro::net::cards().into_iter().map(|card| Interface {
        name: format!("eth{}", card.number),
        index: address::CARD + u32::from(card.number),
        card: Some(card),
    });
    core::iter::once(loopback).chain(cards).collect()
}

/// What a file tells of the interface with that number, now.
pub(crate) fn text(index: u32, fact: Fact) -> String {
    let Some(interface) = all().into_iter().find(|interface| interface.index == index) else { return String::new() };
    let mut text = String::new();
    _ = match fact {
        Fact::Address => writeln!(text, "{}", interface.mac()),
        Fact::Carrier => writeln!(text, "{}", u8::from(interface.is_up())),
        Fact::Flags => writeln!(text, "{:#x}", interface.flags() & !RUNNING),
        Fact::Index => writeln!(text, "{index}"),
        Fact::Mtu => writeln!(text, "{}", interface.mtu_bytes()),
        Fact::State => writeln!(text, "{}", interface.state()),
        Fact::Type => writeln!(text, "{}", interface.hardware()),
    };
    text
}

impl Interface {
    fn mac(&self) -> Mac {
        self.card.as_ref().map_or(Mac([0; 6]), |card| card.mac)
    }

    fn hardware(&self) -> u16 {
        if self.card.is_some() { ETHER } else { LOOPBACK_HARDWARE }
    }

    fn mtu_bytes(&self) -> u32 {
        self.card.as_ref().map_or(LOOPBACK_MTU_BYTES, |card| card.mtu_bytes)
    }

    fn is_up(&self) -> bool {
        self.card.as_ref().is_none_or(|card| card.up)
    }

    fn state(&self) -> &'static str {
        match &self.card {
            None => "unknown",
            Some(card) if card.up => "up",
            Some(_) => "down",
        }
    }

    fn flags(&self) -> u16 {
        let kind = if self.card.is_some() { BROADCAST | MULTICAST } else { IS_LOOPBACK };
        UP | kind | if self.is_up() { RUNNING } else { 0 }
    }

    /// Its address of IPv4, with the bits that name its network.
    fn address(&self) -> Option<(Ipv4Addr, u8)> {
        let Some(card) = &self.card else { return Some((Ipv4Addr::LOCALHOST, 8)) };
        card.addresses.iter().find_map(|(ip, bits)| match ip {
            IpAddr::V4(ip) => Some((*ip, *bits)),
            IpAddr::V6(_) => None,
        })
    }

    /// What a request asks of it, as it stands in the structure behind the name.
    fn answer(&self, request: u32) -> Result<[u8; REQUEST_BYTES - NAME_BYTES], Errno> {
        let mut answer = [0; REQUEST_BYTES - NAME_BYTES];
        let mut put = |at: usize, bytes: &[u8]| answer[at..at + bytes.len()].copy_from_slice(bytes);
        let mut put_ip = |ip: Ipv4Addr| {
            put(0, &AF_INET.to_ne_bytes());
            put(4, &ip.octets());
        };
        let mask = |bits: u8| u32::MAX.checked_shl(32 - u32::from(bits)).unwrap_or(0);
        let address = self.address().ok_or(Errno::ADDRNOTAVAIL);
        match request {
            ioctl::SIOCGIFADDR => put_ip(address?.0),
            ioctl::SIOCGIFNETMASK => put_ip(Ipv4Addr::from_bits(mask(address?.1))),
            ioctl::SIOCGIFBRDADDR => {
                let (ip, bits) = address?;
                let everybody = Ipv4Addr::from_bits(ip.to_bits() | !mask(bits));
                put_ip(if self.card.is_some() { everybody } else { Ipv4Addr::UNSPECIFIED });
            }
            ioctl::SIOCGIFFLAGS => put(0, &self.flags().to_ne_bytes()),
            ioctl::SIOCGIFINDEX => put(0, &self.index.to_ne_bytes()),
            ioctl::SIOCGIFMTU => put(0, &self.mtu_bytes().to_ne_bytes()),
            ioctl::SIOCGIFHWADDR => {
                put(0, &self.hardware().to_ne_bytes());
                put(2, &self.mac().0);
            }
            _ => return Err(Errno::NOTTY),
        }
        Ok(answer)
    }

    fn name_bytes(&self) -> [u8; NAME_BYTES] {
        let mut name = [0; NAME_BYTES];
        name[..self.name.len()].copy_from_slice(self.name.as_bytes());
        name
    }
}

/// An `ioctl` of a socket about interfaces.
pub(crate) fn control(task: &Task, request: u32, argument: u64) -> Result<u64, Errno> {
    let memory = &task.process.memory;
    match request {
        ioctl::SIOCGIFCONF => return list(task, argument),
        ioctl::SIOCGIFNAME => {
            let index = memory.get::<u32>(argument + NAME_BYTES as u64)?;
            let found = all().into_iter().find(|interface| interface.index == index).ok_or(Errno::NODEV)?;
            return memory.write(argument, &found.name_bytes()).map(|()| 0);
        }
        ioctl::SIOCGIFADDR
        | ioctl::SIOCGIFNETMASK
        | ioctl::SIOCGIFBRDADDR
        | ioctl::SIOCGIFFLAGS
        | ioctl::SIOCGIFINDEX
        | ioctl::SIOCGIFMTU
        | ioctl::SIOCGIFHWADDR => {}
        _ => return Err(Errno::NOTTY),
    }
    let name = memory.get::<[u8; NAME_BYTES]>(argument)?;
    let found = all().into_iter().find(|interface| interface.name_bytes() == terminated(name));
    let answer = found.ok_or(Errno::NODEV)?.answer(request)?;
    memory.write(argument + NAME_BYTES as u64, &answer).map(|()| 0)
}

/// A name, and zeros behind it.
fn terminated(mut name: [u8; NAME_BYTES]) -> [u8; NAME_BYTES] {
    let end = name.iter().position(|byte| *byte == 0).unwrap_or(NAME_BYTES - 1);
    name[end..].fill(0);
    name
}

/// Those that have an address of IPv4, as many as there is room for; without a place for them, how much room they need.
fn list(task: &Task, argument: u64) -> Result<u64, Errno> {
    let memory = &task.process.memory;
    let (room, place) = (memory.get::<i32>(argument)?, memory.get::<u64>(argument + 8)?);
    let with_address: Vec<_> = all().into_iter().filter(|interface| interface.address().is_some()).collect();
    let mut bytes = with_address.len() * REQUEST_BYTES;
    if place != 0 {
        let fitting = usize::try_from(room).map_err(|_| Errno::INVAL)? / REQUEST_BYTES;
        let shown = &with_address[..fitting.min(with_address.len())];
        for (number, interface) in shown.iter().enumerate() {
            let whole = [&interface.name_bytes()[..], &interface.answer(ioctl::SIOCGIFADDR)?].concat();
            memory.write(place + (number * REQUEST_BYTES) as u64, &whole)?;
        }
        bytes = shown.len() * REQUEST_BYTES;
    }
    memory.put(argument, &(bytes as i32)).map(|()| 0)
}
