//! IPv6 beside what both families have in common: messages about packets, headers in between, and sockets of both families.

use crate::frames6::{ALL_NODES, Packet, ROUTER, ROUTER_MAC, UDP, advertisement, neighbor, prefix, solicited};
use crate::host6::{ADVERTISEMENT, AWAY, GLOBAL, Host, OWN, SOLICITATION};
use crate::world::{CLIENT, Family, MILLISECOND_NS, SECOND_NS, SERVER, World, config, end, ip6};
use core::net::Ipv6Addr;
use toro_netstack::{Error, Received, Sharing, Stack, State6};

#[test]
fn echoes_are_answered_as_oneself() {
    let mut host = Host::settled();
    let peer = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 0x99);
    host.stack.udp_bind(end(Ipv6Addr::UNSPECIFIED, 7)).unwrap();
    let told = [&[1, 1][..], &ROUTER_MAC].concat();
    host.hear(&Packet::message(peer, solicited(OWN), &neighbor(SOLICITATION, 0, OWN, &told)));
    host.say();
    let ping = [128, 0, 0, 0, 1, 2, 3, 4, 9, 9, 9];
    for (to, expected) in [(OWN, OWN), (GLOBAL, GLOBAL), (ALL_NODES, OWN)] {
        host.hear(&Packet::new(peer, to, 58, &ping));
        let said = host.messages(129, MILLISECOND_NS);
        assert_eq!((said.len(), said[0].source, said[0].destination), (1, expected, peer));
        assert_eq!(said[0].payload[4..], ping[4..]);
    }
}

#[test]
fn a_piece_in_a_piece_is_no_packet() {
    let mut host = Host::settled();
    let peer = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 0x99);
    host.neighbor_says(peer, 0x60);
    let told = [&[1, 1][..], &ROUTER_MAC].concat();
    host.hear(&Packet::message(peer, solicited(OWN), &neighbor(SOLICITATION, 0, OWN, &told)));
    host.say();
    let ping = Packet::new(peer, OWN, 58, &[128, 0, 0, 0, 1, 2, 3, 4, 9, 9, 9]);
    // The whole in one piece, that in one piece, and so on: as many as a frame has room for.
    for (pieces, answers) in [(1, 1), (2, 0), (180, 0)] {
        let headers: Vec<u8> =
            (1..=pieces).flat_map(|left| [if left == pieces { 58 } else { 44 }, 0, 0, 0, 0, 0, 0, 7]).collect();
        let before = host.stack.statistics().malformed;
        host.hear(&ping.clone().extended(44, &headers));
        assert_eq!(host.messages(129, MILLISECOND_NS).len(), answers, "{pieces}");
        assert_eq!(host.stack.statistics().malformed - before, u64::from(answers == 0), "{pieces}");
    }
    // Others may stand in between.
    let headers = [60, 0, 0, 0, 0, 0, 0, 7, 44, 0, 1, 4, 0, 0, 0, 0, 58, 0, 0, 0, 0, 0, 0, 7];
    host.hear(&ping.extended(44, &headers));
    assert_eq!(host.messages(129, MILLISECOND_NS).len(), 0);
}

#[test]
fn errors_are_told_to_those_they_concern() {
    let mut world = World::of(Family::Six, config(CLIENT), config(SERVER));
    world.run_for(3 * SECOND_NS);
    // Nobody has the port: the one that named its peer hears of it.
    let socket = world.stacks[CLIENT].udp_bind(end(Ipv6Addr::UNSPECIFIED, 0)).unwrap();
    world.stacks[CLIENT].udp_connect(socket, Some(end(ip6(SERVER), 9))).unwrap();
    world.stacks[CLIENT].udp_send(socket, b"x", end(ip6(SERVER), 9)).unwrap();
    world.run_for(10 * MILLISECOND_NS);
    assert_eq!(world.stacks[CLIENT].udp_take_error(socket), Some(Error::ConnectionRefused));
    // A thousand of them are not all answered.
    for _ in 0..200 {
        for _ in 0..5 {
            let _ = world.stacks[CLIENT].udp_send(socket, b"x", end(ip6(SERVER), 9));
        }
        world.run_for(MILLISECOND_NS);
    }
    let before = world.stacks[CLIENT].statistics().frames_received;
    assert!(before < 150, "{before}");
    // A connection that is refused.
    let client = world.stacks[CLIENT].tcp_connect(end(ip6(SERVER), 81), world.now_ns).unwrap();
    world.run_for(10 * MILLISECOND_NS);
    assert_eq!(world.stacks[CLIENT].tcp_connected(client), Err(Error::ConnectionRefused));
}

#[test]
fn a_way_that_carries_less_makes_segments_shorter() {
    let mut world = World::of(Family::Six, config(CLIENT), config(SERVER));
    let listener = world.listen(80, 4);
    let (client, server) = world.connect(listener, 80);
    assert_eq!(world.stacks[CLIENT].tcp_info(client).unwrap().segment_bytes, 1500 - 60 - 12);
    let lost = std::rc::Rc::new(std::cell::RefCell::new(Vec::new()));
    let kept = std::rc::Rc::clone(&lost);
    world.loses = Some(Box::new(move |_, frame| {
        let long = frame.len() > 14 + 1300;
        if long {
            *kept.borrow_mut() = frame[14..].to_vec();
        }
        long
    }));
    let data = vec![7; 8000];
    let mut written = world.stacks[CLIENT].tcp_write(client, &data).unwrap();
    world.run_for(MILLISECOND_NS);
    let too_big = |bytes: u32, quoted: &[u8]| {
        let head = [&[2, 0, 0, 0][..], &bytes.to_be_bytes()].concat();
        Packet::new(ROUTER, ip6(CLIENT), 58, &[&head[..], &quoted[..1200]].concat())
    };
    let quoted = lost.borrow().clone();
    // Less than every link carries is not believed; nor is one that has not seen the segment.
    let mut guessed = quoted.clone();
    guessed[44] ^= 0x55;
    world.inject(CLIENT, &too_big(1300, &guessed).frame(CLIENT));
    assert_eq!(world.stacks[CLIENT].tcp_info(client).unwrap().segment_bytes, 1428);
    world.inject(CLIENT, &too_big(1300, &quoted).frame(CLIENT));
    assert_eq!(world.stacks[CLIENT].tcp_info(client).unwrap().segment_bytes, 1300 - 72);
    let mut read = 0;
    world.run_until(10 * SECOND_NS, |world| {
        written += world.stacks[CLIENT].tcp_write(client, &data[written..]).unwrap_or(0);
        let mut buffer = [0; 9000];
        read += world.stacks[SERVER].tcp_read(server, &mut buffer).unwrap_or(0);
        read == data.len()
    });
    world.inject(CLIENT, &too_big(600, &quoted).frame(CLIENT));
    assert!(world.stacks[CLIENT].tcp_info(client).unwrap().segment_bytes >= 1280 - 72);
}

#[test]
fn datagrams_go_in_pieces_where_the_way_carries_less() {
    let mut host = Host::settled();
    let socket = host.stack.udp_bind(end(Ipv6Addr::UNSPECIFIED, 7)).unwrap();
    host.stack.udp_send(socket, &[1; 1400], end(AWAY, 7)).unwrap();
    host.run_for(MILLISECOND_NS);
    host.neighbor_says(ROUTER, 0xe0);
    let sent = host.say();
    assert_eq!(sent.len(), 1);
    let quoted = sent[0].bytes();
    let head = [&[2, 0, 0, 0][..], &1280u32.to_be_bytes()].concat();
    host.hear(&Packet::new(ROUTER, GLOBAL, 58, &[&head[..], &quoted[..1200]].concat()));
    host.stack.udp_send(socket, &[1; 1400], end(AWAY, 7)).unwrap();
    let pieces = host.say();
    assert_eq!(
        pieces.iter().map(|piece| (piece.protocol, piece.bytes().len())).collect::<Vec<_>>(),
        [(44, 1280), (44, 224)]
    );
}

#[test]
fn who_says_that_it_is_no_router_is_none() {
    let mut host = Host::settled();
    let socket = host.stack.udp_bind(end(Ipv6Addr::UNSPECIFIED, 7)).unwrap();
    host.stack.udp_send(socket, b"x", end(AWAY, 7)).unwrap();
    host.run_for(MILLISECOND_NS);
    host.neighbor_says(ROUTER, 0x60);
    assert_eq!(host.stack.routers6(0).count(), 0);
    assert_eq!(host.stack.udp_send(socket, b"x", end(AWAY, 7)), Err(Error::NetworkUnreachable));
    // Of two, one that does not answer is not asked first the next time.
    host.hear(&advertisement(1800, &[]));
    let other = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 0xb);
    host.hear(&Packet { source: other, ..advertisement(1800, &[]) });
    assert_eq!(host.stack.routers6(0).collect::<Vec<_>>(), [ROUTER, other]);
    host.run_for(80 * SECOND_NS);
    host.stack.udp_send(socket, b"x", end(AWAY, 7)).unwrap();
    host.run_for(20 * SECOND_NS);
    host.stack.udp_send(socket, b"x", end(AWAY, 7)).unwrap();
    host.run_for(20 * SECOND_NS);
    assert_eq!(host.stack.routers6(0).collect::<Vec<_>>(), [other, ROUTER]);
}

/// A gateway that somebody chose was given up when it did not say that it is a router, and other routers were listened to.
#[test]
fn what_somebody_chose_is_what_counts() {
    let mut host = Host::new();
    assert!(host.stack.add_address6(0, GLOBAL, 64, host.now_ns) && host.stack.add_router6(0, ROUTER, host.now_ns));
    host.run_for(3 * SECOND_NS);
    let socket = host.stack.udp_bind(end(Ipv6Addr::UNSPECIFIED, 7)).unwrap();
    host.stack.udp_send(socket, b"x", end(AWAY, 7)).unwrap();
    host.run_for(MILLISECOND_NS);
    let option = [&[2, 1][..], &ROUTER_MAC].concat();
    host.hear(&Packet::message(ROUTER, GLOBAL, &neighbor(ADVERTISEMENT, 0x60, ROUTER, &option)));
    let other = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 0xb);
    let network = prefix(Ipv6Addr::new(0x2001, 0xdb8, 0, 2, 0, 0, 0, 0), 86_400, 14_400);
    host.hear(&Packet { source: other, ..advertisement(1800, &network) });
    assert_eq!(host.say().iter().filter(|packet| packet.destination == AWAY).count(), 1);
    assert_eq!(host.stack.routers6(0).collect::<Vec<_>>(), [ROUTER]);
    assert_eq!(host.states(), [(GLOBAL, State6::Preferred)]);
}

#[test]
fn headers_that_must_be_known_are_told_about() {
    let mut host = Host::settled();
    let socket = host.stack.udp_bind(end(Ipv6Addr::UNSPECIFIED, 53)).unwrap();
    let told = [&[1, 1][..], &ROUTER_MAC].concat();
    let peer = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 0x99);
    host.hear(&Packet::message(peer, solicited(OWN), &neighbor(SOLICITATION, 0, OWN, &told)));
    host.say();
    let datagram = Packet::datagram((peer, 9), (OWN, 53), b"hello");
    // Passed over.
    host.hear(&datagram.clone().extended(0, &[60, 0, 5, 2, 0, 0, 1, 0, UDP, 0, 0x1e, 4, 1, 2, 3, 4]));
    let mut buffer = [0; 10];
    assert_eq!(host.stack.udp_receive(socket, &mut buffer, false).map(|(bytes, _)| bytes), Ok(5));
    for (list, answer) in [
        ([UDP, 0, 0x85, 1, 0, 1, 1, 0], Some((4, 2, 42))),
        ([UDP, 0, 0x45, 1, 0, 1, 1, 0], None),
        ([UDP, 0, 0xc5, 1, 0, 1, 1, 0], Some((4, 2, 42))),
    ] {
        host.hear(&datagram.clone().extended(60, &list));
        let said = host.messages(4, MILLISECOND_NS);
        let found = said.first().map(|packet| (packet.payload[0], packet.payload[1], packet.payload[7]));
        assert_eq!(found, answer);
    }
    // To others that is nothing, and neither is one without a checksum.
    host.hear(&Packet { destination: AWAY, ..datagram.clone().extended(60, &[UDP, 0, 0x85, 1, 0, 1, 1, 0]) });
    let mut unsummed = datagram.frame(SERVER);
    unsummed[60..62].fill(0);
    host.stack.receive(&unsummed, Received::Unverified, host.now_ns);
    assert!(host.messages(4, MILLISECOND_NS).is_empty());
    assert_eq!(host.stack.udp_receive(socket, &mut buffer, false), Err(Error::WouldBlock));
}

#[test]
fn one_socket_serves_both_families_unless_it_would_rather_not() {
    let mut world = World::new();
    for host in [CLIENT, SERVER] {
        let now_ns = world.now_ns;
        assert!(world.stacks[host].add_address6(0, ip6(host), 64, now_ns));
    }
    let any6 = |port| end(Ipv6Addr::UNSPECIFIED, port);
    let any4 = |port| end(core::net::Ipv4Addr::UNSPECIFIED, port);
    let alone = Sharing { v6_only: true, ..Sharing::default() };
    let stack = &mut world.stacks[SERVER];
    let both = stack.tcp_listen(any6(80), 4).unwrap();
    assert_eq!(stack.tcp_listen(any4(80), 4), Err(Error::AddressInUse));
    let only6 = stack.tcp_listen_beside(any6(81), alone, 4).unwrap().0;
    let only4 = stack.tcp_listen(any4(81), 4).unwrap();
    let ends = [crate::world::at(SERVER, 80), end(ip6(SERVER), 80), crate::world::at(SERVER, 81), end(ip6(SERVER), 81)];
    for (to, listener) in ends.into_iter().zip([both, both, only4, only6]) {
        let client = world.stacks[CLIENT].tcp_connect(to, world.now_ns).unwrap();
        let mut accepted = None;
        world.run_until(SECOND_NS, |world| {
            accepted = accepted.or(world.stacks[SERVER].tcp_accept(listener).ok());
            accepted.is_some()
        });
        let (server, peer) = accepted.unwrap();
        assert_eq!(world.stacks[CLIENT].tcp_ends(client).unwrap().0, peer);
        assert_eq!(world.stacks[SERVER].tcp_ends(server).unwrap().0, to);
        assert_eq!(peer.is_ipv4(), to.is_ipv4());
    }
    // Datagrams: of both, and of one.
    let socket = world.stacks[CLIENT].udp_bind(any6(0)).unwrap();
    let alone = world.stacks[CLIENT].udp_bind_beside(any6(0), alone).unwrap();
    let four = world.stacks[CLIENT].udp_bind(any4(0)).unwrap();
    let (to4, to6) = (crate::world::at(SERVER, 9), end(ip6(SERVER), 9));
    assert_eq!(world.stacks[CLIENT].udp_send(socket, b"x", to4), Ok(()));
    assert_eq!(world.stacks[CLIENT].udp_send(socket, b"x", to6), Ok(()));
    assert_eq!(world.stacks[CLIENT].udp_send(alone, b"x", to4), Err(Error::Unsupported));
    assert_eq!(world.stacks[CLIENT].udp_send(four, b"x", to6), Err(Error::Unsupported));
    assert_eq!(world.stacks[CLIENT].udp_connect(four, Some(to6)), Err(Error::Unsupported));
    let now_ns = world.now_ns;
    let begun = world.stacks[CLIENT].tcp_connect_from(Some(any4(0)), to6, &|_| false, now_ns);
    assert_eq!(begun, Err(Error::Unsupported));
}

#[test]
fn a_machine_speaks_to_itself_without_a_link() {
    let mut stack = Stack::new(config(SERVER));
    let listener = stack.tcp_listen(end(Ipv6Addr::LOCALHOST, 80), 4).unwrap();
    let client = stack.tcp_connect(end(Ipv6Addr::LOCALHOST, 80), 0).unwrap();
    stack.flush(&mut toro_netstack::NoDevice, 0);
    stack.flush(&mut toro_netstack::NoDevice, 0);
    let (server, peer) = stack.tcp_accept(listener).unwrap();
    assert_eq!((stack.tcp_connected(client), peer.ip()), (Ok(()), Ipv6Addr::LOCALHOST.into()));
    assert_eq!(stack.tcp_write(client, b"hello"), Ok(5));
    stack.flush(&mut toro_netstack::NoDevice, 0);
    assert_eq!(stack.tcp_read(server, &mut [0; 10]), Ok(5));
    assert_eq!(stack.tcp_connect(end(AWAY, 80), 0), Err(Error::NetworkUnreachable));
    assert_eq!(stack.tcp_connect(end(ALL_NODES, 80), 0), Err(Error::InvalidInput));
}

/// A piece of a packet from a neighbour to us.
fn piece(identification: u32, start: u16, more: bool, data: &[u8]) -> Packet {
    let place = (start | u16::from(more)).to_be_bytes();
    let header = [&[UDP, 0, place[0], place[1]][..], &identification.to_be_bytes()].concat();
    Packet::new(ROUTER, OWN, 255, data).extended(44, &header)
}

#[test]
fn pieces_are_put_together_and_doubtful_ones_given_up() {
    let data: Vec<u8> = (0..1000u32).map(|index| index as u8).collect();
    let whole = Packet::datagram((ROUTER, 9), (OWN, 53), &data).bytes()[40..].to_vec();
    let parts: [&[(u16, u16, bool)]; 6] = [
        &[(0, 512, true), (512, 1008, false)],
        &[(512, 1008, false), (0, 512, true)],
        &[(0, 512, true), (504, 1008, false)], // overlap
        &[(0, 512, true), (0, 512, true), (512, 1008, false)],
        &[(0, 500, true), (500, 1008, false)], // no whole words
        &[(0, 1008, false)],                   // of one piece
    ];
    for (case, parts) in parts.into_iter().enumerate() {
        let arrives = case != 2 && case != 4;
        let mut host = Host::settled();
        let socket = host.stack.udp_bind(end(Ipv6Addr::UNSPECIFIED, 53)).unwrap();
        for &(start, end, more) in parts {
            host.hear(&piece(7, start, more, &whole[start.into()..end.into()]));
        }
        let mut buffer = [0; 2000];
        let got = host.stack.udp_receive(socket, &mut buffer, false).map(|(bytes, _)| bytes);
        assert_eq!(got.is_ok(), arrives, "{case}");
        assert!(!arrives || buffer[..1000] == data, "{case}");
        // What is left of it is forgotten.
        host.run_for(31 * SECOND_NS);
        assert_eq!(host.stack.statistics().memory_bytes, 0, "{case}");
    }
    let mut host = Host::settled();
    for number in 0..5000 {
        host.hear(&piece(number, 60_000, false, &[0; 400]));
    }
    assert!(host.stack.statistics().memory_bytes <= 2 << 20);
}
