//! What a program may ask of a socket for datagrams.

use super::Udp;
use crate::error::Error;
use crate::event::UdpId;
use crate::shared::Shared;
use core::net::IpAddr;
use toro_tcp::Ip;

/// Groups that a socket can be in.
const GROUPS_MAX: usize = 20;

/// An option of a socket for datagrams.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UdpOption {
    /// Datagrams to everybody on the link are allowed.
    Broadcast(bool),
    /// How many routers a datagram may pass (time to live).
    Hops(u8),
    /// The class of service that datagrams are marked with.
    Service(u8),
    /// Joins a group on a link: what is sent to it there comes to this machine.
    Join(IpAddr),
    /// Leaves it.
    Leave(IpAddr),
    /// How many routers a datagram to a group may pass; at first none, which is 1.
    GroupHops(u8),
    /// Datagrams to groups come to this machine, too, if it is in them; at first they do.
    GroupLoop(bool),
    /// Datagrams to groups do not leave this machine.
    GroupInside(bool),
    /// Datagrams to groups leave by the link on which this is asked, or again by the one that is chosen for each.
    GroupsHere(bool),
}

impl Udp {
    /// A link on which a socket is in a group.
    pub(crate) fn link_of_group(&self, id: UdpId, group: Ip) -> Option<u8> {
        let groups = &self.sockets.get_key(id.0)?.groups;
        groups.iter().find(|(_, joined)| *joined == group).map(|(link, _)| *link)
    }

    pub(crate) fn tune(&mut self, id: UdpId, option: UdpOption, shared: &mut Shared) -> Result<(), Error> {
        let socket = self.get(id)?;
        match option {
            UdpOption::Broadcast(on) => socket.broadcast = on,
            UdpOption::Hops(0) => return Err(Error::InvalidInput),
            UdpOption::Hops(hops) => socket.hops = hops,
            UdpOption::Service(service) => socket.service = service,
            UdpOption::Join(group) => {
                let (link, group) = (shared.at(), Ip::from(group));
                if !group.is_multicast() {
                    return Err(Error::InvalidInput);
                }
                if socket.groups.contains(&(link, group)) {
                    return Err(Error::AddressInUse);
                }
                let room = socket.groups.len() < GROUPS_MAX && socket.groups.try_reserve(1).is_ok();
                if !room || !shared.join(group) {
                    return Err(Error::OutOfMemory);
                }
                socket.groups.push((link, group));
            }
            UdpOption::Leave(group) => {
                let is_it = |(link, joined): &(u8, Ip)| *link == shared.at() && *joined == Ip::from(group);
                let place = socket.groups.iter().position(is_it);
                let (_, group) = socket.groups.swap_remove(place.ok_or(Error::AddressNotAvailable)?);
                shared.leave(group);
            }
            UdpOption::GroupHops(hops) => socket.group_hops = hops,
            UdpOption::GroupLoop(on) => socket.group_loop = on,
            UdpOption::GroupInside(on) => socket.group_inside = on,
            UdpOption::GroupsHere(on) => socket.group_link = on.then(|| shared.at()),
        }
        Ok(())
    }
}
