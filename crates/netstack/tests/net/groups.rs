//! Groups of receivers: who has joined hears what is sent to one, and routers are told.

use crate::frames::checksum;
use crate::world::{CLIENT, MILLISECOND_NS, SECOND_NS, SERVER, World, end, ip, mac};
use core::net::{Ipv4Addr, SocketAddr};
use std::cell::RefCell;
use std::rc::Rc;
use toro_netstack::{Error, UdpOption};

const GROUP: Ipv4Addr = Ipv4Addr::new(239, 129, 2, 3);
const GROUP_MAC: [u8; 6] = [1, 0, 0x5e, 1, 2, 3];

fn any(port: u16) -> SocketAddr {
    end(Ipv4Addr::UNSPECIFIED, port)
}

/// An IGMP message: kind, group and where to.
type Heard = (u8, [u8; 4], [u8; 4]);

/// Those that the server sends from now on.
fn overheard(world: &mut World) -> Rc<RefCell<Vec<Heard>>> {
    let heard = Rc::new(RefCell::new(Vec::new()));
    let into = Rc::clone(&heard);
    world.loses = Some(Box::new(move |from, frame| {
        if from == SERVER && frame[12..14] == [8, 0] && frame[23] == 2 {
            assert_eq!((frame[14], frame[22], &frame[34..38]), (0x46, 1, &[0x94, 4, 0, 0][..]), "router alert");
            assert_eq!((checksum(&frame[14..38]), checksum(&frame[38..46])), ([0, 0], [0, 0]));
            assert_eq!(frame[..3], [1, 0, 0x5e]);
            let four = |at: usize| <[u8; 4]>::try_from(&frame[at..at + 4]).unwrap();
            into.borrow_mut().push((frame[38], four(42), four(30)));
        }
        false
    }));
    heard
}

#[test]
fn who_has_joined_hears_the_group() {
    let mut world = World::new();
    let heard = overheard(&mut world);
    let server = world.stacks[SERVER].udp_bind(any(5353)).unwrap();
    let client = world.stacks[CLIENT].udp_bind(any(0)).unwrap();
    let to = end(GROUP, 5353);
    world.stacks[CLIENT].udp_send(client, b"nobody hears", to).unwrap();
    world.run_for(SECOND_NS);
    assert_eq!(world.stacks[SERVER].udp_receive(server, &mut [0; 9], false), Err(Error::WouldBlock));
    world.stacks[SERVER].udp_set(server, UdpOption::Join(GROUP.into())).unwrap();
    world.run_for(2 * SECOND_NS);
    assert_eq!(*heard.borrow(), [(0x16, GROUP.octets(), GROUP.octets()); 2], "once, and once more");
    world.stacks[CLIENT].udp_send(client, b"everybody!", to).unwrap();
    world.run_for(SECOND_NS);
    let datagram = world.stacks[SERVER].udp_receive_datagram(server, &mut [0; 20], false).unwrap();
    assert_eq!((datagram.bytes, datagram.destination, datagram.source.ip()), (10, GROUP.into(), ip(CLIENT).into()));
    // Its other groups stay when it leaves one; closing leaves the rest.
    let other = Ipv4Addr::new(239, 1, 1, 1);
    world.stacks[SERVER].udp_set(server, UdpOption::Join(other.into())).unwrap();
    world.stacks[SERVER].udp_set(server, UdpOption::Leave(GROUP.into())).unwrap();
    world.run_for(2 * SECOND_NS);
    heard.borrow_mut().clear();
    world.stacks[CLIENT].udp_send(client, b"gone", to).unwrap();
    world.run_for(SECOND_NS);
    assert_eq!(world.stacks[SERVER].udp_receive(server, &mut [0; 9], false), Err(Error::WouldBlock));
    world.stacks[SERVER].udp_close(server);
    world.run_for(SECOND_NS);
    assert_eq!(*heard.borrow(), [(0x17, other.octets(), [224, 0, 0, 2])]);
}

#[test]
fn frames_to_a_group_have_its_address() {
    let mut world = World::new();
    let seen = Rc::new(RefCell::new(Vec::new()));
    let into = Rc::clone(&seen);
    world.loses = Some(Box::new(move |_, frame| {
        into.borrow_mut().push((frame[..6].to_vec(), frame[22]));
        false
    }));
    let client = world.stacks[CLIENT].udp_bind(any(0)).unwrap();
    for hops in [None, Some(7)] {
        if let Some(hops) = hops {
            world.stacks[CLIENT].udp_set(client, UdpOption::GroupHops(hops)).unwrap();
        }
        world.stacks[CLIENT].udp_send(client, b"x", end(GROUP, 9)).unwrap();
    }
    world.run_for(MILLISECOND_NS);
    assert_eq!(*seen.borrow(), [(GROUP_MAC.to_vec(), 1), (GROUP_MAC.to_vec(), 7)]);
}

#[test]
fn a_router_that_asks_is_answered_in_its_time() {
    let mut world = World::new();
    let server = world.stacks[SERVER].udp_bind(any(9)).unwrap();
    for last in 1..=3 {
        world.stacks[SERVER].udp_set(server, UdpOption::Join(Ipv4Addr::new(239, 0, 0, last).into())).unwrap();
    }
    world.run_for(3 * SECOND_NS);
    let heard = overheard(&mut world);
    let ask = |world: &mut World, group: Ipv4Addr, tenths: u8| {
        let mut message = [0x11, tenths, 0, 0, 0, 0, 0, 0];
        message[4..].copy_from_slice(&group.octets());
        let sum = checksum(&message);
        message[2..4].copy_from_slice(&sum);
        let to = if group.is_unspecified() { Ipv4Addr::new(224, 0, 0, 1) } else { group };
        let mut header = vec![0x45, 0, 0, 28, 0, 0, 0, 0, 1, 2, 0, 0];
        header.extend_from_slice(&ip(CLIENT).octets());
        header.extend_from_slice(&to.octets());
        let sum = checksum(&header);
        header[10..12].copy_from_slice(&sum);
        let [_, b, c, d] = to.octets();
        let frame = [&[1, 0, 0x5e, b & 0x7f, c, d][..], &mac(CLIENT), &[8, 0], &header, &message].concat();
        world.inject(SERVER, &frame);
    };
    ask(&mut world, Ipv4Addr::UNSPECIFIED, 20);
    world.run_for(2 * SECOND_NS + MILLISECOND_NS);
    let mut groups: Vec<u8> = heard.borrow().iter().map(|(_, group, _)| group[3]).collect();
    groups.sort_unstable();
    assert_eq!(groups, [1, 2, 3]);
    heard.borrow_mut().clear();
    ask(&mut world, Ipv4Addr::new(239, 0, 0, 2), 10);
    ask(&mut world, Ipv4Addr::new(239, 0, 0, 9), 10);
    world.run_for(2 * SECOND_NS);
    assert_eq!(heard.borrow().iter().map(|(_, group, _)| group[3]).collect::<Vec<_>>(), [2]);
    assert_eq!(world.stacks[SERVER].next_deadline(), None);
}

#[test]
fn a_machine_hears_itself_unless_it_does_not_want_to() {
    let mut world = World::new();
    let stack = &mut world.stacks[SERVER];
    let (one, two) = (stack.udp_bind(any(0)).unwrap(), stack.udp_bind(any(7)).unwrap());
    stack.udp_set(two, UdpOption::Join(GROUP.into())).unwrap();
    let to = end(GROUP, 7);
    for (option, bytes) in [
        (UdpOption::GroupLoop(true), Some(1)),
        (UdpOption::GroupLoop(false), None),
        (UdpOption::GroupLoop(true), Some(1)),
        (UdpOption::GroupInside(true), Some(1)),
    ] {
        world.stacks[SERVER].udp_set(one, option).unwrap();
        world.stacks[SERVER].udp_send(one, b"x", to).unwrap();
        world.run_for(SECOND_NS);
        let got = world.stacks[SERVER].udp_receive(two, &mut [0; 9], false).ok().map(|(bytes, _)| bytes);
        assert_eq!(got, bytes, "{option:?}");
    }
}

#[test]
fn groups_are_bounded_and_mistakes_told() {
    let mut world = World::new();
    let stack = &mut world.stacks[SERVER];
    let sockets: Vec<_> = (0..3).map(|port| stack.udp_bind(any(100 + port)).unwrap()).collect();
    let group = |number: usize| Ipv4Addr::new(239, 1, 0, number as u8);
    assert_eq!(stack.udp_set(sockets[0], UdpOption::Join(ip(CLIENT).into())), Err(Error::InvalidInput));
    assert_eq!(stack.udp_set(sockets[0], UdpOption::Leave(GROUP.into())), Err(Error::AddressNotAvailable));
    for number in 0..20 {
        stack.udp_set(sockets[0], UdpOption::Join(group(number).into())).unwrap();
        stack.udp_set(sockets[1], UdpOption::Join(group(number).into())).unwrap();
    }
    assert_eq!(stack.udp_set(sockets[0], UdpOption::Join(group(0).into())), Err(Error::AddressInUse));
    assert_eq!(stack.udp_set(sockets[0], UdpOption::Join(group(20).into())), Err(Error::OutOfMemory));
    let more =
        (20..60).take_while(|&number| stack.udp_set(sockets[2], UdpOption::Join(group(number).into())).is_ok()).count();
    assert_eq!(more, 12, "32 in all");
    stack.udp_close(sockets[0]);
    assert_eq!(
        stack.udp_set(sockets[2], UdpOption::Join(group(59).into())),
        Err(Error::OutOfMemory),
        "others are still in them"
    );
    stack.udp_close(sockets[1]);
    assert_eq!(stack.udp_set(sockets[2], UdpOption::Join(group(59).into())), Ok(()));
}
