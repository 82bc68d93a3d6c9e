//! Options of a UDP socket about groups of receivers (multicast), as `ip(7)` and `ipv6(7)` have them.

use super::ip_options::short_number;
use super::options::{SOL_IP, number};
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use toro::net::socket::Error;
use toro::net::socket::udp::{Socket, UdpOption};
use toro::prelude::*;
use toro_linux_abi::address::{Address, CARD, LOOPBACK};
use toro_linux_abi::errno::Errno;

pub(super) const INTERFACE: u32 = 32;
pub(super) const HOPS: u32 = 33;
pub(super) const LOOP: u32 = 34;
pub(super) const JOIN: u32 = 35;
pub(super) const LEAVE: u32 = 36;
/// The same of IPv6.
pub(super) const INTERFACE6: u32 = 17;
pub(super) const HOPS6: u32 = 18;
pub(super) const LOOP6: u32 = 19;
pub(super) const JOIN6: u32 = 20;
pub(super) const LEAVE6: u32 = 21;
/// Of both.
pub(super) const JOIN_ANY: u32 = 42;
pub(super) const LEAVE_ANY: u32 = 45;
/// Groups that a socket can be in.
const GROUPS_MAX: usize = 20;

/// An interface that a program names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Interface {
    /// None.
    Any,
    /// This machine's own.
    Loopback,
    /// A network card, by its number.
    Card(usize),
}

impl Interface {
    fn of_index(index: u32) -> Option<Self> {
        match index {
            0 => Some(Self::Any),
            LOOPBACK => Some(Self::Loopback),
            index => {
                let number = index - CARD;
                let is_there = toro::net::cards().iter().any(|card| u32::from(card.number) == number);
                // Without any the first is spoken of all the same: it would be there on other machines.
                (is_there || number == 0).then_some(Self::Card(number as usize))
            }
        }
    }

    fn of_address(ip: Ipv4Addr) -> Option<Self> {
        match ip {
            ip if ip.is_unspecified() => Some(Self::Any),
            ip if ip.is_loopback() => Some(Self::Loopback),
            ip => {
                let has_it = |card: &toro::net::Card| card.addresses.iter().any(|(own, _)| *own == ip);
                toro::net::cards().iter().find(|card| has_it(card)).map(|card| Self::Card(card.number.into()))
            }
        }
    }

    /// What `ip_mreqn` names, or the shorter structures that it begins with, behind the address of a group.
    fn of_request(value: &[u8]) -> Result<Option<Self>, Errno> {
        let (address, index) = value.split_first_chunk::<4>().ok_or(Errno::INVAL)?;
        Ok(match number(index).unwrap_or(0) as u32 {
            0 => Self::of_address(Ipv4Addr::from(*address)),
            index => Self::of_index(index),
        })
    }

    /// Sets an option there.
    pub(super) fn set(self, socket: &Socket, option: UdpOption) -> Result<(), Error> {
        match self {
            Self::Card(number) => socket.set_on(number, option),
            Self::Any | Self::Loopback => socket.set(option),
        }
    }

    /// Has datagrams to groups leave there.
    pub(super) fn choose(self, socket: &Socket) -> Result<(), Error> {
        self.set(socket, UdpOption::GroupsHere(matches!(self, Self::Card(_))))?;
        socket.set(UdpOption::GroupInside(self == Self::Loopback))
    }
}

/// What a socket was told before it had a port, too.
pub(super) struct Groups {
    hops: u8,
    loops: bool,
    /// What datagrams to groups go out of, and how the program named that.
    interface: Interface,
    address: Ipv4Addr,
    /// Joined before there was a port.
    early: Vec<(Interface, IpAddr)>,
}

impl Groups {
    pub(super) const fn new() -> Self {
        Groups { hops: 1, loops: true, interface: Interface::Any, address: Ipv4Addr::UNSPECIFIED, early: Vec::new() }
    }

    /// Has a socket that has a port now do the same.
    pub(super) fn apply(&self, socket: &Socket) -> Result<(), Error> {
        self.early.iter().try_for_each(|(interface, group)| interface.set(socket, UdpOption::Join(*group)))?;
        socket.set(UdpOption::GroupHops(self.hops))?;
        socket.set(UdpOption::GroupLoop(self.loops))?;
        self.interface.choose(socket)
    }

    /// Joins or leaves, for a socket that has no port yet.
    pub(super) fn remember(&mut self, interface: Interface, option: UdpOption) -> Result<(), Errno> {
        match option {
            UdpOption::Join(group) if self.early.contains(&(interface, group)) => Err(Errno::ADDRINUSE),
            UdpOption::Join(_) if self.early.len() == GROUPS_MAX || self.early.try_reserve(1).is_err() => {
                Err(Errno::NOBUFS)
            }
            UdpOption::Join(group) => {
                self.early.push((interface, group));
                Ok(())
            }
            UdpOption::Leave(group) => {
                let is_it = |(there, joined): &(Interface, IpAddr)| {
                    *joined == group && (interface == Interface::Any || *there == interface)
                };
                let place = self.early.iter().position(is_it).ok_or(Errno::ADDRNOTAVAIL)?;
                self.early.swap_remove(place);
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// Datagrams to groups go out of that interface.
    pub(super) fn choose(&mut self, (interface, address): (Interface, Ipv4Addr)) {
        (self.interface, self.address) = (interface, address);
    }

    /// Sets one of them; what is to be done about it where there is a port.
    pub(super) fn set(&mut self, level: u32, name: u32, value: &[u8]) -> Result<UdpOption, Errno> {
        let number = short_number(level, value)?;
        match name {
            LOOP6 if !matches!(number, 0 | 1) => Err(Errno::INVAL),
            LOOP | LOOP6 => {
                self.loops = number != 0;
                Ok(UdpOption::GroupLoop(self.loops))
            }
            _ => {
                self.hops = if number == -1 { 1 } else { u8::try_from(number).map_err(|_| Errno::INVAL)? };
                Ok(UdpOption::GroupHops(self.hops))
            }
        }
    }

    pub(super) fn get(&self, name: u32) -> i32 {
        match (name, self.interface) {
            (LOOP | LOOP6, _) => self.loops.into(),
            (INTERFACE, _) => i32::from_le_bytes(self.address.octets()),
            (INTERFACE6, Interface::Any) => 0,
            (INTERFACE6, Interface::Loopback) => LOOPBACK as i32,
            (INTERFACE6, Interface::Card(number)) => CARD as i32 + number as i32,
            _ => self.hops.into(),
        }
    }
}

/// The interface that an option chooses for datagrams to groups, and its address if that was how.
pub(super) fn chosen(level: u32, value: &[u8]) -> Result<(Interface, Ipv4Addr), Errno> {
    if level != SOL_IP {
        let interface = Interface::of_index(number(value)? as u32).ok_or(Errno::NODEV)?;
        return Ok((interface, Ipv4Addr::UNSPECIFIED));
    }
    // The address of an interface, or a structure that has one behind the group's.
    let request = if value.len() < 8 { value } else { &value[4..] };
    let interface = Interface::of_request(request)?.ok_or(Errno::ADDRNOTAVAIL)?;
    Ok((interface, request.first_chunk().map_or(Ipv4Addr::UNSPECIFIED, |octets: &[u8; 4]| (*octets).into())))
}

/// To join a group or to leave it: its address, and where.
pub(super) fn membership(level: u32, name: u32, value: &[u8]) -> Result<(Interface, UdpOption), Errno> {
    let (group, interface, joins): (IpAddr, _, _) = if matches!(name, JOIN_ANY | LEAVE_ANY) {
        // group_req: an interface, and the address of a socket.
        let interface = number(value)? as u32;
        let Ok(Address::Inet(address)) = Address::parse(value.get(8..).ok_or(Errno::INVAL)?) else {
            return Err(Errno::INVAL);
        };
        if address.is_ipv4() != (level == SOL_IP) {
            return Err(if level == SOL_IP { Errno::INVAL } else { Errno::ADDRNOTAVAIL });
        }
        (address.ip(), Interface::of_index(interface), name == JOIN_ANY)
    } else if level == SOL_IP {
        let (octets, request) = value.split_first_chunk::<4>().ok_or(Errno::INVAL)?;
        (Ipv4Addr::from(*octets).into(), Interface::of_request(request)?, name == JOIN)
    } else {
        let (octets, interface) = value.split_first_chunk::<16>().ok_or(Errno::INVAL)?;
        (Ipv6Addr::from(*octets).into(), Interface::of_index(number(interface)? as u32), name == JOIN6)
    };
    let option = match (group.is_multicast(), joins) {
        (true, true) => UdpOption::Join(group),
        (true, false) => UdpOption::Leave(group),
        (false, true) => return Err(Errno::INVAL),
        (false, false) => return Err(Errno::ADDRNOTAVAIL),
    };
    Ok((interface.ok_or(Errno::NODEV)?, option))
}

/// Why it did not work.
pub(super) fn errno(error: Error) -> Errno {
    match error {
        Error::OutOfMemory => Errno::NOBUFS,
        error => super::errno(error),
    }
}
