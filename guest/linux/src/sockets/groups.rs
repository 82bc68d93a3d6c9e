//! Options of a UDP socket about groups of receivers (multicast), as `ip(7)` and `ipv6(7)` have them.

use super::ip_options::short_number;
use super::options::{SOL_IP, number};
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use toro::net::socket::Error;
use toro::net::socket::udp::{Socket, UdpOption};
use toro::prelude::*;
use toro_linux_abi::address::{CARD, LOOPBACK};
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
/// Groups that a socket can be in.
const GROUPS_MAX: usize = 20;

/// What a socket was told before it had a port, too.
pub(super) struct Groups {
    hops: u8,
    loops: bool,
    /// The interface that datagrams to groups go out of; 0: it was not said.
    interface: u32,
    /// Joined before there was a port.
    early: Vec<IpAddr>,
}

impl Groups {
    pub(super) const fn new() -> Self {
        Groups { hops: 1, loops: true, interface: 0, early: Vec::new() }
    }

    /// Has a socket that has a port now do the same.
    pub(super) fn apply(&self, socket: &Socket) -> Result<(), Error> {
        self.early.iter().try_for_each(|group| socket.set(UdpOption::Join(*group)))?;
        socket.set(UdpOption::GroupHops(self.hops))?;
        socket.set(UdpOption::GroupLoop(self.loops))?;
        socket.set(UdpOption::GroupInside(self.interface == LOOPBACK))
    }

    /// Joins or leaves, for a socket that has no port yet.
    pub(super) fn remember(&mut self, option: UdpOption) -> Result<(), Errno> {
        match option {
            UdpOption::Join(group) if self.early.contains(&group) => Err(Errno::ADDRINUSE),
            UdpOption::Join(_) if self.early.len() == GROUPS_MAX || self.early.try_reserve(1).is_err() => {
                Err(Errno::NOBUFS)
            }
            UdpOption::Join(group) => {
                self.early.push(group);
                Ok(())
            }
            UdpOption::Leave(group) => {
                let place = self.early.iter().position(|joined| *joined == group).ok_or(Errno::ADDRNOTAVAIL)?;
                self.early.swap_remove(place);
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// Sets one of them; what is to be done about it where there is a port.
    pub(super) fn set(&mut self, level: u32, name: u32, value: &[u8]) -> Result<UdpOption, Errno> {
        if level == SOL_IP && name == INTERFACE {
            // The address of an interface, or a structure that has one behind the group's.
            let address = if value.len() < 8 { value } else { &value[4..] };
            let [a, b, c, d] = *address.first_chunk().ok_or(Errno::INVAL)?;
            let is_inside = Ipv4Addr::new(a, b, c, d).is_loopback();
            self.interface = if is_inside { LOOPBACK } else { 0 };
            return Ok(UdpOption::GroupInside(is_inside));
        }
        let number = short_number(level, value)?;
        match name {
            INTERFACE6 => {
                let interface = number as u32;
                check_interface(interface)?;
                self.interface = interface;
                Ok(UdpOption::GroupInside(interface == LOOPBACK))
            }
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
        match name {
            LOOP | LOOP6 => self.loops.into(),
            INTERFACE6 => self.interface as i32,
            _ => self.hops.into(),
        }
    }
}

fn check_interface(number: u32) -> Result<(), Errno> {
    if matches!(number, 0 | LOOPBACK | CARD) { Ok(()) } else { Err(Errno::NODEV) }
}

/// To join a group or to leave it: its address, and an interface, which makes no difference.
pub(super) fn membership(level: u32, name: u32, value: &[u8]) -> Result<UdpOption, Errno> {
    let (group, joins): (IpAddr, bool) = if level == SOL_IP {
        let octets: [u8; 4] = value.get(..8).and_then(|value| value.first_chunk()).copied().ok_or(Errno::INVAL)?;
        (Ipv4Addr::from(octets).into(), name == JOIN)
    } else {
        let (octets, interface) = value.split_first_chunk::<16>().ok_or(Errno::INVAL)?;
        let interface = number(interface)? as u32;
        let group = Ipv6Addr::from(*octets);
        if group.is_multicast() {
            check_interface(interface)?;
        }
        (group.into(), name == JOIN6)
    };
    match (group.is_multicast(), joins) {
        (true, true) => Ok(UdpOption::Join(group)),
        (true, false) => Ok(UdpOption::Leave(group)),
        (false, true) => Err(Errno::INVAL),
        (false, false) => Err(Errno::ADDRNOTAVAIL),
    }
}

/// Why it did not work.
pub(super) fn errno(error: Error) -> Errno {
    match error {
        Error::OutOfMemory => Errno::NOBUFS,
        error => super::errno(error),
    }
}
