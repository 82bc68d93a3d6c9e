//! A machine with two links, each with a machine at its other end, one of which is a router.

use crate::frames::{Flags, Segment, arp_frame, udp_frame};
use crate::two_links::{MACS, Net, Ports, address, any, at, ends, own, peer, port};
use crate::world::{MILLISECOND_NS, SECOND_NS, config};
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use toro_netstack::{
    Address, Config, Device, Error, Event, Flushed, LinkConfig, Received, Seat, Stack, Steering, UdpOption,
};

#[test]
fn a_connection_leaves_by_the_link_of_its_peer_and_comes_from_its_address() {
    let mut net = Net::new([true, false]);
    let connections = [net.connect(0, None), net.connect(1, None)];
    for link in 0..2 {
        let (local, _) = net.machine.tcp_ends(connections[link].0).unwrap();
        assert_eq!(local.ip(), IpAddr::from(own(link)));
        net.echo(link, connections[link], 30_000);
        assert!(net.sent[link].iter().filter_map(|frame| ends(frame)).all(|it| it == (own(link), peer(link))));
        assert!(net.sent[link].iter().all(|frame| frame[6..12] == MACS[link]), "by its own hardware address");
    }
    // Each link has its own MTU.
    let longest = |link: usize| net.sent[link].iter().map(Vec::len).max();
    assert_eq!((longest(0), longest(1)), (Some(1514), Some(1414)));
}

#[test]
fn what_is_on_neither_link_goes_to_the_first_router_and_to_its_own_for_who_has_chosen_an_address() {
    let far = Ipv4Addr::new(192, 0, 2, 1);
    for (gateways, by) in
        [([true, true], Some(0)), ([false, true], Some(1)), ([true, false], Some(0)), ([false; 2], None)]
    {
        let mut net = Net::new(gateways);
        let socket = net.machine.udp_bind(any(0)).unwrap();
        let sent = net.machine.udp_send(socket, b"far", at(far, 9));
        let Some(by) = by else {
            assert_eq!(sent, Err(Error::NetworkUnreachable));
            continue;
        };
        sent.unwrap();
        net.run_for(SECOND_NS);
        let packets =
            |net: &Net, link: usize| net.sent[link].iter().filter_map(|frame| ends(frame)).collect::<Vec<_>>();
        assert_eq!(packets(&net, by), [(own(by), far)]);
        assert_eq!(packets(&net, 1 - by), []);
        // A packet with a source leaves by its link, or not at all.
        let bound = net.machine.udp_bind(at(own(1), 0)).unwrap();
        let sent = net.machine.udp_send(bound, b"far", at(far, 9));
        assert_eq!(sent, if gateways[1] { Ok(()) } else { Err(Error::NetworkUnreachable) });
        net.run_for(SECOND_NS);
        assert_eq!(packets(&net, 1).contains(&(own(1), far)), gateways[1]);
        assert!(!packets(&net, 0).contains(&(own(1), far)));
    }
}

#[test]
fn a_longer_prefix_wins_and_a_link_that_is_up_comes_before_one_that_is_not() {
    let mut net = Net::new([true, true]);
    // The first link's network is all of 10.0, the second's a part of it.
    assert!(net.machine.set_address(0, Address { prefix_bits: 16, ..address(own(0), Some(peer(0))) }));
    let socket = net.machine.udp_bind(any(0)).unwrap();
    let source = |net: &mut Net, to: Ipv4Addr| {
        net.machine.udp_connect(socket, Some(at(to, 9))).unwrap();
        net.machine.udp_address(socket).unwrap().ip()
    };
    assert_eq!(source(&mut net, peer(1)), own(1));
    assert_eq!(source(&mut net, Ipv4Addr::new(10, 0, 7, 7)), own(0));
    assert_eq!(source(&mut net, Ipv4Addr::new(192, 0, 2, 1)), own(0));
    let now_ns = net.now_ns;
    net.machine.set_link(0, false, now_ns);
    assert_eq!(source(&mut net, Ipv4Addr::new(192, 0, 2, 1)), own(1), "the other router");
    assert_eq!(source(&mut net, Ipv4Addr::new(10, 0, 7, 7)), own(0), "it is nowhere else");
}

#[test]
fn who_connects_by_each_link_is_answered_there() {
    let mut net = Net::new([true, false]);
    let listener = net.machine.tcp_listen(any(80), 4).unwrap();
    let clients = [0, 1].map(|link| net.others[link].tcp_connect(at(own(link), 80), SECOND_NS).unwrap());
    let mut accepted = Vec::new();
    net.run_until(10 * SECOND_NS, |net| {
        accepted.extend(net.machine.tcp_accept(listener).ok());
        accepted.len() == 2 && (0..2).all(|link| net.others[link].tcp_connected(clients[link]) == Ok(()))
    });
    for (connection, remote) in accepted {
        let link = usize::from(remote.ip() == peer(1));
        net.echo_back(link, clients[link], connection);
    }
    assert!(net.sent[0].iter().filter_map(|frame| ends(frame)).all(|it| it == (own(0), peer(0))));
    assert!(net.sent[1].iter().filter_map(|frame| ends(frame)).all(|it| it == (own(1), peer(1))));
}

#[test]
fn an_address_is_good_on_its_own_link_only() {
    let mut net = Net::new([true, false]);
    net.machine.tcp_listen(any(80), 4).unwrap();
    let now_ns = net.now_ns;
    let turn = |net: &mut Net| {
        net.machine.flush(&mut net.ports, now_ns);
        net.ports.0.iter_mut().map(|port| port.sent.drain(..).count()).sum::<usize>()
    };
    // ARP for the address of another link, at each.
    for link in 0..2 {
        let question = |of: usize| {
            let from = ([2, 0, 0, 0, 0, 9], Ipv4Addr::new(10, 0, of as u8, 9));
            let mut frame = arp_frame(1, from, 0, own(of));
            frame[..6].fill(0xff);
            frame
        };
        net.machine.receive_on(link, &question(1 - link), Received::Unverified, now_ns);
        assert_eq!(turn(&mut net), 0, "link {link}");
        net.machine.receive_on(link, &question(link), Received::Unverified, now_ns);
        assert_eq!(turn(&mut net), 1);
    }
    // A wish for a connection with the other link's address, and one from an address of this machine.
    let before = net.machine.statistics().not_for_us;
    for (source, to) in [(peer(0), own(1)), (own(1), own(0))] {
        let mut frame = Segment::from_ip(source, 9, 0, 80).flags(Flags::SYN).frame();
        frame[..6].copy_from_slice(&MACS[0]);
        frame[30..34].copy_from_slice(&to.octets());
        frame[24..26].fill(0);
        let sum = crate::frames::checksum(&frame[14..34]);
        frame[24..26].copy_from_slice(&sum);
        net.machine.receive_on(0, &frame, Received::Verified, now_ns);
        assert_eq!(turn(&mut net), 0, "{source} {to}");
    }
    assert_eq!(net.machine.statistics().not_for_us, before + 2);
}

#[test]
fn one_link_goes_down_and_the_other_goes_on() {
    let mut net = Net::new([true, false]);
    let connections = [net.connect(0, None), net.connect(1, None)];
    while net.machine.next_event().is_some() {}
    let now_ns = net.now_ns;
    net.cut[1] = true;
    net.machine.set_link(1, false, now_ns);
    assert_eq!(net.machine.next_event(), Some(Event::Link(1, false)));
    assert_eq!((net.machine.link_is_up(0), net.machine.link_is_up(1)), (true, false));
    assert_eq!(net.machine.tcp_write(connections[1].0, b"kept"), Ok(4));
    net.echo(0, connections[0], 20_000);
    net.run_for(20 * SECOND_NS);
    let quiet = net.sent[1].len();
    net.run_for(20 * SECOND_NS);
    assert_eq!(net.sent[1].len(), quiet);
    net.cut[1] = false;
    let now_ns = net.now_ns;
    net.machine.set_link(1, true, now_ns);
    let mut buffer = [0; 8];
    net.run_until(100 * MILLISECOND_NS, |net| net.others[1].tcp_read(connections[1].1, &mut buffer) == Ok(4));
    net.echo(1, connections[1], 5000);
    net.echo(0, connections[0], 5000);
}

#[test]
fn ipv6_goes_by_its_links_as_well() {
    let mut net = Net::new([true, false]);
    let ip = |link: usize, host: u16| Ipv6Addr::new(0xfd00, 0, 0, link as u16, 0, 0, 0, host);
    for link in 0..2 {
        assert!(net.machine.add_address6(link, ip(link, 1), 64, SECOND_NS));
        assert!(net.others[link].add_address6(0, ip(link, 2), 64, SECOND_NS));
    }
    assert!(!net.machine.add_address6(2, ip(2, 1), 64, SECOND_NS));
    assert!(net.machine.addresses6(1).map(|address| address.ip).eq([ip(1, 1)]));
    net.run_for(3 * SECOND_NS);
    net.sent = [vec![], vec![]];
    for link in 0..2 {
        let listener = net.others[link].tcp_listen(SocketAddr::from((Ipv6Addr::UNSPECIFIED, 80)), 4).unwrap();
        let client = net.machine.tcp_connect(SocketAddr::from((ip(link, 2), 80)), net.now_ns).unwrap();
        assert_eq!(net.machine.tcp_ends(client).unwrap().0.ip(), IpAddr::from(ip(link, 1)));
        let mut server = None;
        net.run_until(SECOND_NS, |net| {
            server = server.or(net.others[link].tcp_accept(listener).ok().map(|(id, _)| id));
            net.machine.tcp_connected(client) == Ok(()) && server.is_some()
        });
        net.echo(link, (client, server.unwrap()), 3000);
        // The network is the sixth and seventh byte of an address: all of a link is said on that link.
        let networks = |frame: &Vec<u8>| (frame[12..14] == [0x86, 0xdd]).then(|| frame[29]);
        assert!(net.sent[link].iter().filter_map(networks).all(|network| usize::from(network) == link));
    }
    net.run_for(SECOND_NS);
    // A solicitation for the address of one link is nothing to the other.
    let before = net.sent.each_ref().map(Vec::len);
    let asked = net.others[0].udp_bind(SocketAddr::from((Ipv6Addr::UNSPECIFIED, 0))).unwrap();
    assert!(net.others[0].add_address6(0, ip(1, 77), 64, net.now_ns));
    net.others[0].udp_send(asked, b"?", SocketAddr::from((ip(1, 1), 9))).unwrap();
    net.run_for(10 * SECOND_NS);
    assert_eq!(net.sent.each_ref().map(Vec::len), before);
}

/// A device that takes nothing holds up its own link alone.
#[test]
fn a_full_device_holds_up_nobody_else() {
    let mut net = Net::new([true, false]);
    let connections = [net.connect(0, None), net.connect(1, None)];
    let sockets = [0, 1].map(|_| net.machine.udp_bind(any(0)).unwrap());
    net.run_for(SECOND_NS);
    net.ports.0[1].room = 0;
    assert_eq!(net.machine.tcp_write(connections[1].0, &[1; 1000]), Ok(1000));
    let mut sent = 0;
    while net.machine.udp_send(sockets[1], &[2; 100], at(peer(1), 9)) == Ok(()) {
        sent += 1;
    }
    assert!((10..1000).contains(&sent), "{sent}");
    while net.machine.next_event().is_some() {}
    net.echo(0, connections[0], 20_000);
    assert_eq!(net.machine.udp_send(sockets[0], b"goes", at(peer(0), 9)), Ok(()));
    net.turn();
    assert_eq!(net.machine.flush(&mut net.ports, net.now_ns), Flushed::DeviceFull);
    assert_eq!((net.machine.waits_for(0), net.machine.waits_for(1)), (false, true));
    let room =
        |net: &mut Net| std::iter::from_fn(|| net.machine.next_event()).any(|event| event == Event::Room(sockets[1]));
    assert!(!room(&mut net), "nobody is told of room that there is not");
    net.ports.0[1].room = 64;
    let mut buffer = [0; 1000];
    net.run_until(SECOND_NS, |net| net.others[1].tcp_read(connections[1].1, &mut buffer) == Ok(1000));
    assert!(room(&mut net));
    assert!(!net.machine.has_work());
}

#[test]
fn room_for_what_goes_to_this_machine_is_told_of_on_each_link() {
    for link in [0, 1] {
        let mut net = Net::new([true, false]);
        let sockets = [0, 9].map(|port| net.machine.udp_bind(any(port)).unwrap());
        while net.machine.udp_send(sockets[0], b"x", at(own(link), 9)) == Ok(()) {}
        assert_eq!(net.machine.udp_send(sockets[0], b"x", at(own(link), 9)), Err(Error::WouldBlock));
        while net.machine.next_event().is_some() {}
        net.run_for(SECOND_NS);
        let mut events = std::iter::from_fn(|| net.machine.next_event());
        assert!(events.any(|event| event == Event::Room(sockets[0])), "link {link}");
    }
}

#[test]
fn a_group_is_left_where_it_was_joined() {
    let group = Ipv4Addr::new(239, 1, 1, 1);
    let mut net = Net::new([true, false]);
    let socket = net.machine.udp_bind(any(7000)).unwrap();
    net.machine.udp_set_on(1, socket, UdpOption::Join(group.into())).unwrap();
    // It would be joined on the first link now.
    assert_eq!(net.machine.udp_set(socket, UdpOption::Leave(group.into())), Ok(()));
    assert_eq!(net.machine.udp_set(socket, UdpOption::Leave(group.into())), Err(Error::AddressNotAvailable));
}

#[test]
fn this_machine_reaches_all_of_its_addresses_by_itself() {
    let mut net = Net::new([true, false]);
    let listener = net.machine.tcp_listen(any(80), 4).unwrap();
    for from in [None, Some(at(own(0), 0)), Some(at(own(1), 0))] {
        for to in [0, 1] {
            let client = net.machine.tcp_connect_from(from, at(own(to), 80), &|_| false, net.now_ns).unwrap();
            let mut server = None;
            net.run_until(SECOND_NS, |net| {
                server = server.or(net.machine.tcp_accept(listener).ok().map(|(id, _)| id));
                server.is_some()
            });
            assert_eq!(net.machine.tcp_write(client, b"inside"), Ok(6));
            let mut buffer = [0; 8];
            net.run_until(SECOND_NS, |net| net.machine.tcp_read(server.unwrap(), &mut buffer) == Ok(6));
        }
    }
    assert_eq!(net.sent.iter().map(Vec::len).sum::<usize>(), 0);
}

#[test]
fn datagrams_say_where_they_came_in_and_go_back_there() {
    let mut net = Net::new([true, false]);
    let server = net.machine.udp_bind(any(53)).unwrap();
    for link in [1, 0, 1] {
        let client = net.others[link].udp_bind(any(0)).unwrap();
        net.others[link].udp_send(client, b"who?", at(own(link), 53)).unwrap();
        net.run_for(SECOND_NS);
        let mut buffer = [0; 8];
        let datagram = net.machine.udp_receive_datagram(server, &mut buffer, false).unwrap();
        assert_eq!(datagram.destination, IpAddr::from(own(link)));
        net.machine.udp_send(server, b"me", datagram.source).unwrap();
        net.run_for(SECOND_NS);
        let (count, source) = net.others[link].udp_receive(client, &mut buffer, false).unwrap();
        assert_eq!((count, source), (2, at(own(link), 53)));
    }
    // A socket of one address hears that address alone.
    let bound = net.machine.udp_bind(at(own(1), 54)).unwrap();
    for (link, mac) in MACS.iter().enumerate() {
        let mut frame = udp_frame((peer(link), 9), 0, 54, b"hello");
        frame[..6].copy_from_slice(mac);
        frame[30..34].copy_from_slice(&own(link).octets());
        frame[24..26].fill(0);
        let sum = crate::frames::checksum(&frame[14..34]);
        frame[24..26].copy_from_slice(&sum);
        net.machine.receive_on(link, &frame, Received::Verified, net.now_ns);
        let heard = net.machine.udp_receive(bound, &mut [0; 8], false).is_ok();
        assert_eq!(heard, link == 1);
    }
}

#[test]
fn a_group_is_joined_on_a_link() {
    let group = Ipv4Addr::new(239, 1, 1, 1);
    let mut net = Net::new([true, false]);
    let socket = net.machine.udp_bind(any(7000)).unwrap();
    net.machine.udp_set_on(1, socket, UdpOption::Join(group.into())).unwrap();
    assert_eq!(net.machine.udp_set_on(2, socket, UdpOption::Join(group.into())), Err(Error::AddressNotAvailable));
    net.run_for(3 * SECOND_NS);
    assert_eq!(net.sent.each_ref().map(|sent| sent.iter().filter(|frame| frame[23] == 2).count()), [0, 2], "reports");
    let heard = |net: &mut Net, link: usize| {
        let other = net.others[link].udp_bind(any(0)).unwrap();
        net.others[link].udp_send(other, b"all", at(group, 7000)).unwrap();
        net.run_for(SECOND_NS);
        net.machine.udp_receive(socket, &mut [0; 8], false).is_ok()
    };
    assert_eq!([heard(&mut net, 0), heard(&mut net, 1)], [false, true]);
    // Datagrams to it leave by the first link, or the one that is chosen.
    let to_group = |net: &mut Net| {
        net.sent = [vec![], vec![]];
        net.machine.udp_send(socket, b"all", at(group, 7000)).unwrap();
        net.run_for(SECOND_NS);
        net.sent.each_ref().map(|sent| sent.iter().filter(|frame| ends(frame).is_some_and(|it| it.1 == group)).count())
    };
    assert_eq!(to_group(&mut net), [1, 0]);
    net.machine.udp_set_on(1, socket, UdpOption::GroupsHere(true)).unwrap();
    assert_eq!(to_group(&mut net), [0, 1]);
    net.machine.udp_set(socket, UdpOption::GroupsHere(false)).unwrap();
    assert_eq!(to_group(&mut net), [1, 0]);
    net.machine.udp_close(socket);
    net.sent = [vec![], vec![]];
    net.run_for(SECOND_NS);
    assert_eq!(net.sent[1].iter().filter(|frame| frame[23] == 2).count(), 1, "it is left there");
}

#[test]
fn a_lost_address_ends_the_connections_of_its_link_alone() {
    let mut net = Net::new([true, false]);
    let connections = [net.connect(0, None), net.connect(1, None)];
    assert!(net.machine.set_address(1, address(Ipv4Addr::new(10, 0, 1, 77), None)));
    assert_eq!(net.machine.tcp_read(connections[1].0, &mut [0; 4]), Err(Error::ConnectionAborted));
    net.echo(0, connections[0], 1000);
    assert_eq!((net.machine.address_on(0).unwrap().ip, net.machine.address().unwrap().ip), (own(0), own(0)));
    assert_eq!(net.machine.address_on(1).unwrap().ip, Ipv4Addr::new(10, 0, 1, 77));
    assert_eq!(net.machine.address_on(2), None);
}

/// Nothing of a link is kept by another: a device that is asked is asked by the right one.
#[test]
fn a_link_that_there_is_not_takes_nothing() {
    let mut net = Net::new([true, false]);
    net.machine.receive_on(7, &[0; 60], Received::Unverified, net.now_ns);
    net.machine.set_link(7, false, net.now_ns);
    net.machine.start_dhcp(7, net.now_ns);
    assert!(!net.machine.link_is_up(7) && net.machine.link_is_up(0));
    assert_eq!((net.machine.links(), net.machine.statistics().frames_received), (2, 0));
    assert!(net.ports.0[0].ready());
}

/// Two cores: the second has connections by the second link, whose card is the first core's alone.
#[test]
fn another_core_speaks_by_a_link_that_the_first_listens_to() {
    let steering: &'static Steering = Box::leak(Box::default());
    let mut cores = [0, 1].map(|core| {
        let seat = Some(Seat { core, cores: 2, steering });
        let mut stack = Stack::new(Config { link: LinkConfig::new(MACS[0]), seat, ..config(0) });
        stack.add_link(LinkConfig::new(MACS[1]));
        stack
    });
    for link in 0..2 {
        assert!(cores[0].set_address(link, address(own(link), None)));
    }
    let mut other = Stack::new(Config { link: LinkConfig::new([2, 0, 0, 0, 0, 1]), ..config(1) });
    assert!(other.set_address(0, address(peer(1), None)));
    let mut ports = [Ports([port(), port()]), Ports([port(), port()])];
    let (mut other_port, mut now_ns) = (port(), SECOND_NS);
    let mut questions = 0;
    let mut turn = |cores: &mut [Stack; 2], other: &mut Stack, now_ns: u64| {
        let mut moved = false;
        for core in 0..2 {
            cores[core].flush(&mut ports[core], now_ns);
            while let Some((to, message)) = cores[core].next_message() {
                moved = true;
                cores[to].deliver(message, now_ns);
            }
            assert!(ports[core].0[0].sent.is_empty(), "nothing is for the first link");
            while let Some(frame) = ports[core].0[1].sent.pop_front() {
                moved = true;
                let question = frame[12..14] == [8, 6] && frame[20..22] == [0, 1];
                assert!(!question || core == 0, "one core asks for all");
                questions += usize::from(question);
                other.receive(&frame, Received::Unverified, now_ns);
            }
        }
        other.flush(&mut other_port, now_ns);
        while let Some(frame) = other_port.sent.pop_front() {
            moved = true;
            cores[0].receive_on(1, &frame, Received::Unverified, now_ns);
        }
        moved
    };
    while turn(&mut cores, &mut other, now_ns) {}
    assert_eq!(cores[1].address_on(1).map(|address| address.ip), Some(own(1)));
    let listener = cores[1].tcp_listen(any(80), 4).unwrap();
    let client = other.tcp_connect(at(own(1), 80), now_ns).unwrap();
    while turn(&mut cores, &mut other, now_ns) {}
    assert_eq!(other.tcp_connected(client), Ok(()));
    let (server, _) = cores[1].tcp_accept(listener).unwrap();
    assert_eq!(cores[1].tcp_write(server, b"from the second core"), Ok(20));
    while turn(&mut cores, &mut other, now_ns) {}
    assert_eq!(other.tcp_read(client, &mut [0; 40]), Ok(20));
    // The first core hears that the link is down; so does the second.
    cores[0].set_link(1, false, now_ns);
    while turn(&mut cores, &mut other, now_ns) {}
    assert!(!cores[1].link_is_up(1) && cores[1].link_is_up(0));
    cores[1].tcp_write(server, b"later").unwrap();
    now_ns += 3 * SECOND_NS;
    while turn(&mut cores, &mut other, now_ns) {}
    assert_eq!(other.tcp_read(client, &mut [0; 40]), Err(Error::WouldBlock));
    cores[0].set_link(1, true, now_ns);
    while turn(&mut cores, &mut other, now_ns) {}
    assert_eq!(other.tcp_read(client, &mut [0; 40]), Ok(5));
    assert!(questions > 0);
}
