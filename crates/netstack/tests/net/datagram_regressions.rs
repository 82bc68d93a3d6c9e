//! Defects beside TCP that were found once, each as the conversation that showed it.

use crate::frames::{Flags, Segment, arp_frame, checksum, icmp_frame, udp_frame};
use crate::world::{CLIENT, MILLISECOND_NS, Port, SECOND_NS, SERVER, World, at, config, end, ip, mac, pattern};
use core::net::Ipv4Addr;
use smoltcp::wire::{DhcpMessageType, DhcpOption, DhcpPacket, DhcpRepr};
use toro_netstack::{Address, Error, Flushed, NoDevice, Received, Stack};

const LOCALHOST: Ipv4Addr = Ipv4Addr::LOCALHOST;

/// A datagram to everybody, on a machine without a card, kept the core awake for ever.
#[test]
fn without_a_card_nothing_waits_for_one() {
    let mut stack = Stack::new(config(SERVER));
    let listener = stack.tcp_listen(end(LOCALHOST, 80), 8).unwrap();
    let everybody = end(Ipv4Addr::BROADCAST, 9);
    let local = stack.udp_bind(end(LOCALHOST, 0)).unwrap();
    assert_eq!(stack.udp_send(local, b"x", everybody), Err(Error::InvalidInput));
    let any = stack.udp_bind(end(Ipv4Addr::UNSPECIFIED, 0)).unwrap();
    assert_eq!(stack.udp_send(any, b"x", everybody), Err(Error::NetworkUnreachable));
    // Whatever else may be meant for a link: it goes, and loopback works.
    stack.start_dhcp(0, 0);
    let client = stack.tcp_connect(end(LOCALHOST, 80), 0).unwrap();
    assert_eq!(stack.flush(&mut NoDevice, 0), Flushed::Whole);
    assert!(!stack.has_work());
    assert_eq!(stack.tcp_connected(client), Ok(()));
    assert!(stack.tcp_accept(listener).is_ok());
}

/// A loopback address left the machine as a source.
#[test]
fn a_loopback_source_stays_inside() {
    let mut world = World::new();
    let server = &mut world.stacks[SERVER];
    let socket = server.udp_bind(end(LOCALHOST, 5000)).unwrap();
    for octets in [[255, 255, 255, 255], [10, 0, 0, 255], [10, 0, 0, 1]] {
        let outside = end(Ipv4Addr::from(octets), 9);
        assert_eq!(server.udp_send(socket, b"x", outside), Err(Error::InvalidInput));
    }
    assert!(!server.has_work());
    assert_eq!(server.udp_send(socket, b"x", end(LOCALHOST, 5000)), Ok(()));
    assert_eq!(server.flush(&mut world.ports[SERVER], 0), Flushed::Whole);
    assert!(world.ports[SERVER].sent.is_empty());
    assert_eq!(server.udp_receive(socket, &mut [0; 9], false).unwrap().0, 1);
}

/// Most of a burst between two flushes was lost, and every call had said that it was sent.
#[test]
fn a_burst_of_datagrams_arrives_or_is_refused() {
    let mut world = World::new();
    let client = world.stacks[CLIENT].udp_bind(end(Ipv4Addr::UNSPECIFIED, 0)).unwrap();
    let server = world.stacks[SERVER].udp_bind(end(Ipv4Addr::UNSPECIFIED, 9)).unwrap();
    world.stacks[CLIENT].udp_send(client, b"warm", at(SERVER, 9)).unwrap();
    world.run_for(SECOND_NS);
    assert!(world.stacks[SERVER].udp_receive(server, &mut [0; 9], false).is_ok());
    let mut sent = 0u32;
    while sent < 1000 {
        match world.stacks[CLIENT].udp_send(client, &sent.to_be_bytes(), at(SERVER, 9)) {
            Ok(()) => sent += 1,
            Err(Error::WouldBlock) => world.run_for(MILLISECOND_NS),
            Err(error) => panic!("{error}"),
        }
    }
    world.run_for(SECOND_NS);
    for expected in 0..1000u32 {
        let mut data = [0; 4];
        world.stacks[SERVER].udp_receive(server, &mut data, false).unwrap();
        assert_eq!(u32::from_be_bytes(data), expected);
    }
    assert_eq!(world.stacks[CLIENT].statistics().packets_dropped, 0);
}

/// Datagrams left no place for the question where to send them, nor for answers.
#[test]
fn a_burst_leaves_room_for_answers_and_arp() {
    let mut world = World::new();
    let now_ns = world.now_ns;
    let host = &mut world.stacks[SERVER];
    let socket = host.udp_bind(end(Ipv4Addr::UNSPECIFIED, 0)).unwrap();
    let sent = (0..1000).take_while(|_| host.udp_send(socket, b"x", at(CLIENT, 9)) == Ok(())).count();
    assert!(sent >= 64, "{sent}");
    let echo = icmp_frame(ip(CLIENT), SERVER, vec![8, 0, 0, 0, 0, 1, 0, 1]);
    for _ in 0..1000 {
        host.receive(&echo, Received::Unverified, now_ns);
    }
    let question = arp_frame(1, (mac(CLIENT), ip(CLIENT)), SERVER, ip(SERVER));
    host.receive(&question, Received::Unverified, now_ns);
    world.ports[SERVER].room = 1000;
    host.flush(&mut world.ports[SERVER], now_ns);
    let count = |protocol| {
        world.ports[SERVER].sent.iter().filter(|frame| frame[12..14] == [8, 0] && frame[23] == protocol).count()
    };
    assert_eq!(count(17), sent);
    assert!(count(1) > 0);
    assert_eq!(world.ports[SERVER].sent.iter().filter(|frame| frame[12..14] == [8, 6]).count(), 1);
}

/// A burst to ourselves is bounded in the same way.
#[test]
fn a_burst_to_ourselves_is_refused_past_its_bound() {
    let mut stack = Stack::new(config(SERVER));
    let here = end(LOCALHOST, 9);
    let socket = stack.udp_bind(here).unwrap();
    let sent = (0..1000).take_while(|_| stack.udp_send(socket, b"x", here) == Ok(())).count();
    assert_eq!(stack.udp_send(socket, b"x", here), Err(Error::WouldBlock));
    assert_eq!(stack.flush(&mut NoDevice, 0), Flushed::Whole);
    let received = (0..1000).take_while(|_| stack.udp_receive(socket, &mut [0], false).is_ok()).count();
    assert_eq!((received, stack.statistics().packets_dropped), (sent, 0));
}

const LEASED: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 7);
const ROUTER: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 1);

/// What a DHCP server with two routers says to the client's message.
fn dhcp_answer(frame: &[u8], lease_s: u32) -> Vec<u8> {
    let packet = DhcpPacket::new_checked(&frame[42..]).unwrap();
    let message = DhcpRepr::parse(&packet).unwrap();
    let message_type = match message.message_type {
        DhcpMessageType::Discover => DhcpMessageType::Offer,
        _ => DhcpMessageType::Ack,
    };
    let routers = [DhcpOption { kind: 3, data: &[10, 0, 0, 1, 10, 0, 0, 254] }];
    let answer = DhcpRepr {
        message_type,
        your_ip: LEASED,
        server_identifier: Some(ROUTER),
        router: None,
        subnet_mask: Some(Ipv4Addr::new(255, 255, 255, 0)),
        lease_duration: Some(lease_s),
        client_identifier: None,
        requested_ip: None,
        parameter_request_list: None,
        max_size: None,
        additional_options: &routers,
        ..message
    };
    let mut data = vec![0; answer.buffer_len()];
    answer.emit(&mut DhcpPacket::new_unchecked(&mut data[..])).unwrap();
    let mut reply = udp_frame((ROUTER, 67), SERVER, 68, &data);
    reply[30..34].copy_from_slice(&LEASED.octets());
    reply[24..26].fill(0);
    reply[40..42].fill(0);
    let sum = checksum(&reply[14..34]);
    reply[24..26].copy_from_slice(&sum);
    reply
}

/// A client that has its address at time 0, and what the server heard of it.
fn lease(lease_s: u32) -> Stack {
    let mut stack = Stack::new(config(SERVER));
    let mut port = Port { sent: Default::default(), room: 16, cut: 0 };
    stack.start_dhcp(0, 0);
    for _ in 0..3 {
        stack.flush(&mut port, 0);
        for frame in port.sent.drain(..).filter(|frame| frame[12..14] == [8, 0]) {
            stack.receive(&dhcp_answer(&frame, lease_s), Received::Unverified, 0);
        }
    }
    stack
}

/// With two routers there was none, and with it no way out of the network.
#[test]
fn the_first_of_two_routers_is_the_gateway() {
    let address = Address { ip: LEASED, prefix_bits: 24, gateway: Some(ROUTER), dns: [None; 3] };
    assert_eq!(lease(3600).address(), Some(address));
}

/// Leases of less than a minute were held for a minute, when somebody else could have the address already.
#[test]
fn a_short_lease_is_renewed_early_and_not_overstayed() {
    for (lease_s, renewed_at_s) in [(8, 4), (20, 10), (59, 29)] {
        let mut stack = lease(lease_s);
        let mut port = Port { sent: Default::default(), room: 16, cut: 0 };
        assert!(stack.address().is_some());
        let renewal_ns = stack.next_deadline().unwrap();
        assert_eq!(renewal_ns / SECOND_NS, renewed_at_s);
        // Nobody hears it.
        while let Some(next_ns) = stack.next_deadline()
            && stack.address().is_some()
        {
            assert!(next_ns <= u64::from(lease_s) * SECOND_NS, "{next_ns} ns");
            stack.flush(&mut port, next_ns);
            port.sent.clear();
        }
        assert_eq!(stack.address(), None);
    }
    // One that is over as soon as it is there is none.
    assert_eq!(lease(0).address(), None);
}

/// The answer to a SYN from the network's broadcast address went to every machine of the link.
#[test]
fn nobody_answers_everybody() {
    let mut world = World::new();
    world.listen(80, 16);
    let now_ns = world.now_ns;
    let host = &mut world.stacks[SERVER];
    let socket = host.udp_bind(end(Ipv4Addr::UNSPECIFIED, 67)).unwrap();
    let sources = [[10, 0, 0, 255], [255, 255, 255, 255], [224, 0, 0, 1], [0, 0, 0, 0], [127, 0, 0, 1], [10, 0, 0, 2]];
    for source in sources.map(Ipv4Addr::from) {
        for port in [80, 81] {
            let syn = Segment::from_ip(source, 999, SERVER, port).flags(Flags::SYN).frame();
            host.receive(&syn, Received::Unverified, now_ns);
        }
        host.receive(&udp_frame((source, 999), SERVER, 67, b"x"), Received::Unverified, now_ns);
        host.receive(&udp_frame((source, 999), SERVER, 99, b"x"), Received::Unverified, now_ns);
        host.receive(&icmp_frame(source, SERVER, vec![8, 0, 0, 0, 0, 1, 0, 1]), Received::Unverified, now_ns);
    }
    assert_eq!(host.statistics().handshakes, 0);
    assert_eq!(host.udp_receive(socket, &mut [0; 9], false), Err(Error::WouldBlock));
    host.flush(&mut world.ports[SERVER], now_ns);
    assert!(world.ports[SERVER].sent.is_empty());
    // Whoever asks everybody for an address is heard all the same.
    let mut wish = udp_frame((Ipv4Addr::UNSPECIFIED, 68), SERVER, 67, b"discover");
    wish[..6].fill(0xff);
    wish[24..26].fill(0);
    wish[30..34].fill(0xff);
    wish[40..42].fill(0);
    let sum = checksum(&wish[14..34]);
    wish[24..26].copy_from_slice(&sum);
    world.inject(SERVER, &wish);
    assert!(world.stacks[SERVER].udp_receive(socket, &mut [0; 9], false).is_ok());
}

/// Sends 10 000 bytes over a way whose router carries no packet longer than `carried`, and says so or not; the longest
/// packet that got through.
fn cross(carried: usize, says: u16) -> usize {
    let mut world = World::new();
    let listener = world.listen(80, 16);
    let (client, server) = world.connect(listener, 80);
    let data = pattern(10_000);
    assert_eq!(world.stacks[SERVER].tcp_write(server, &data), Ok(data.len()));
    let end_ns = world.now_ns + 5 * SECOND_NS;
    let (mut read, mut longest) = (Vec::new(), 0);
    while read.len() < data.len() {
        let now_ns = world.now_ns;
        assert!(now_ns < end_ns, "{} bytes arrived", read.len());
        for host in [SERVER, CLIENT] {
            world.stacks[host].flush(&mut world.ports[host], now_ns);
            for frame in world.ports[host].sent.split_off(0) {
                if frame.len() > 14 + carried {
                    let mut message = vec![3, 4, 0, 0, 0, 0];
                    message.extend_from_slice(&says.to_be_bytes());
                    message.extend_from_slice(&frame[14..14 + 28]);
                    let news = icmp_frame(ip(1 - host), host, message);
                    world.stacks[host].receive(&news, Received::Unverified, now_ns);
                } else {
                    longest = longest.max(frame.len() - 14);
                    world.stacks[1 - host].receive(&frame, Received::Unverified, now_ns);
                }
            }
        }
        let mut buffer = [0; 4096];
        while let Ok(bytes @ 1..) = world.stacks[CLIENT].tcp_read(client, &mut buffer) {
            read.extend_from_slice(&buffer[..bytes]);
        }
        if !world.stacks.iter().any(Stack::has_work) {
            world.advance();
        }
    }
    assert_eq!(read, data);
    assert!(world.now_ns < end_ns - 4 * SECOND_NS, "it waited for a time-out");
    longest
}

/// Our packets may not be cut, and what a router said about that was not heard: nothing long ever arrived.
#[test]
fn segments_shrink_to_what_the_way_carries() {
    assert_eq!(cross(1400, 1400), 1400);
    assert_eq!(cross(576, 576), 576);
    // Old routers do not say how much.
    assert_eq!(cross(1400, 0), 1006);
}

/// Who has not seen our segments, or says nonsense, changes nothing.
#[test]
fn a_stranger_cannot_make_segments_small() {
    let mut world = World::new();
    let listener = world.listen(80, 16);
    let (_, server) = world.connect(listener, 80);
    world.stacks[SERVER].tcp_write(server, &[5; 3000]).unwrap();
    let now_ns = world.now_ns;
    world.stacks[SERVER].flush(&mut world.ports[SERVER], now_ns);
    let first = world.ports[SERVER].sent[0].clone();
    let number = u32::from_be_bytes(first[38..42].try_into().unwrap());
    let mut news = |number: u32, says: u16| {
        let mut message = vec![3, 4, 0, 0, 0, 0];
        message.extend_from_slice(&says.to_be_bytes());
        message.extend_from_slice(&first[14..14 + 28]);
        message[8 + 24..8 + 28].copy_from_slice(&number.to_be_bytes());
        world.inject(SERVER, &icmp_frame(ip(CLIENT), SERVER, message));
        world.stacks[SERVER].has_work()
    };
    assert!(!news(number.wrapping_sub(1), 1000));
    assert!(!news(number.wrapping_add(3000), 1000));
    assert!(!news(number, 575) && !news(number, 68) && !news(number, 1500) && !news(number, 9000));
    assert!(news(number, 1000));
}
