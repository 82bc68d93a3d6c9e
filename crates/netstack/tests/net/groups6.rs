//! Groups of receivers by IPv6: as by IPv4, and routers hear of them by MLD.

use crate::frames6::{ALL_NODES, Packet, ROUTER, taken_apart};
use crate::host6::{Host, OWN};
use crate::world::{CLIENT, Family, MILLISECOND_NS, SECOND_NS, SERVER, World, config, end, ip6};
use core::net::Ipv6Addr;
use toro_netstack::{Error, UdpOption};

const GROUP: Ipv6Addr = Ipv6Addr::new(0xff05, 0, 0, 0, 0, 0, 0, 0xfb);
const INSIDE: Ipv6Addr = Ipv6Addr::new(0xff01, 0, 0, 0, 0, 0, 0, 0xfb);
const ALL_ROUTERS: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 2);

/// Reports, and their ends: kind, group, destination.
fn reports(said: &[Packet]) -> Vec<(u8, Ipv6Addr, Ipv6Addr)> {
    let about = |packet: &Packet| {
        assert_eq!((packet.hops, packet.source), (1, OWN));
        assert_eq!(packet.extensions.as_ref().unwrap().1, [58, 0, 5, 2, 0, 0, 1, 0], "router alert");
        let group = <[u8; 16]>::try_from(&packet.payload[8..24]).unwrap();
        (packet.payload[0], Ipv6Addr::from(group), packet.destination)
    };
    said.iter().filter(|packet| matches!(packet.payload[0], 131 | 132)).map(about).collect()
}

#[test]
fn routers_hear_who_has_joined() {
    let mut host = Host::settled();
    let socket = host.stack.udp_bind(end(Ipv6Addr::UNSPECIFIED, 9)).unwrap();
    for group in [GROUP, INSIDE, ALL_NODES] {
        host.stack.udp_set(socket, UdpOption::Join(group.into())).unwrap();
    }
    assert_eq!(host.stack.udp_set(socket, UdpOption::Join(OWN.into())), Err(Error::InvalidInput));
    assert_eq!(reports(&host.run_for(3 * SECOND_NS)), [(131, GROUP, GROUP); 2], "once, and once more");
    let query = |group: Ipv6Addr, to: Ipv6Addr, limit_ms: u16| {
        let [high, low] = limit_ms.to_be_bytes();
        let message = [&[130, 0, 0, 0, high, low, 0, 0][..], &group.octets()].concat();
        Packet { hops: 1, ..Packet::message(ROUTER, to, &message) }.extended(0, &[58, 0, 5, 2, 0, 0, 1, 0])
    };
    // All of them, each at a time by chance: the groups in which our addresses are asked for, too.
    host.hear(&query(Ipv6Addr::UNSPECIFIED, ALL_NODES, 1000));
    assert!(reports(&host.run_for(0)).is_empty());
    let mut groups: Vec<_> = reports(&host.run_for(SECOND_NS)).iter().map(|report| report.1).collect();
    groups.sort();
    assert_eq!(groups, [crate::frames6::solicited(OWN), GROUP]);
    host.hear(&query(GROUP, GROUP, 0));
    assert_eq!(reports(&host.run_for(MILLISECOND_NS)), [(131, GROUP, GROUP)]);
    // From beyond the link, or by no router.
    host.hear(&Packet { hops: 2, ..query(GROUP, GROUP, 0) });
    host.hear(&Packet { source: Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1), ..query(GROUP, GROUP, 0) });
    assert!(reports(&host.run_for(SECOND_NS)).is_empty());
    host.stack.udp_close(socket);
    assert_eq!(reports(&host.run_for(SECOND_NS)), [(132, GROUP, ALL_ROUTERS)]);
    assert_eq!(host.stack.next_deadline(), None);
}

#[test]
fn who_has_joined_hears_the_group() {
    let mut world = World::of(Family::Six, config(CLIENT), config(SERVER));
    world.run_for(3 * SECOND_NS);
    let [server, other, client] = [(SERVER, 9), (SERVER, 9), (CLIENT, 0)].map(|(host, port)| {
        let sharing = toro_netstack::Sharing { reuse_address: true, ..Default::default() };
        world.stacks[host].udp_bind_beside(end(Ipv6Addr::UNSPECIFIED, port), sharing).unwrap()
    });
    let to = end(GROUP, 9);
    world.stacks[CLIENT].udp_send(client, b"nobody", to).unwrap();
    world.run_for(MILLISECOND_NS);
    let mut buffer = [0; 20];
    assert_eq!(world.stacks[SERVER].udp_receive(server, &mut buffer, false), Err(Error::WouldBlock));
    world.stacks[SERVER].udp_set(server, UdpOption::Join(GROUP.into())).unwrap();
    world.stacks[CLIENT].udp_set(client, UdpOption::GroupHops(5)).unwrap();
    let hops = std::rc::Rc::new(std::cell::Cell::new(0));
    let seen = std::rc::Rc::clone(&hops);
    world.loses = Some(Box::new(move |from, frame| {
        if let Some(packet) = taken_apart(frame).filter(|packet| from == CLIENT && packet.protocol == 17) {
            seen.set(packet.hops);
        }
        false
    }));
    world.stacks[CLIENT].udp_send(client, b"everybody", to).unwrap();
    world.run_for(MILLISECOND_NS);
    for socket in [server, other] {
        let datagram = world.stacks[SERVER].udp_receive_datagram(socket, &mut buffer, false).unwrap();
        assert_eq!((datagram.bytes, datagram.destination, datagram.source.ip()), (9, GROUP.into(), ip6(CLIENT).into()));
    }
    assert_eq!(hops.get(), 5);
    // Its own machine hears it, too.
    world.stacks[SERVER].udp_send(server, b"me", to).unwrap();
    world.run_for(MILLISECOND_NS);
    assert_eq!(world.stacks[SERVER].udp_receive(other, &mut buffer, false).map(|(bytes, _)| bytes), Ok(2));
}
