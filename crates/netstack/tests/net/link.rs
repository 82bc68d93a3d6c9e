//! What lies beside TCP: ARP, DHCP, ICMP and UDP.

use crate::frames::{arp_frame, icmp_frame, udp_frame};
use crate::world::{CLIENT, Port, SECOND_NS, SERVER, World, address, at, config, end, ip, mac};
use core::net::{Ipv4Addr, SocketAddr};
use smoltcp::wire::{DhcpMessageType, DhcpOption, DhcpPacket, DhcpRepr};
use std::collections::VecDeque;
use toro_netstack::{Address, Error, Event, Received, Stack};

fn any(port: u16) -> SocketAddr {
    end(Ipv4Addr::UNSPECIFIED, port)
}

#[test]
fn datagrams_go_both_ways_and_wait_for_arp() {
    let mut world = World::new();
    let server = world.stacks[SERVER].udp_bind(any(53)).unwrap();
    let client = world.stacks[CLIENT].udp_bind(any(0)).unwrap();
    for round in 0..3u8 {
        world.stacks[CLIENT].udp_send(client, &[round; 100], at(SERVER, 53)).unwrap();
    }
    world.run_for(SECOND_NS);
    let mut buffer = [0; 50];
    let (len, source) = world.stacks[SERVER].udp_receive(server, &mut buffer, true).unwrap();
    assert_eq!((len, source.ip()), (50, ip(CLIENT).into()));
    for round in 0..3 {
        assert_eq!(world.stacks[SERVER].udp_receive(server, &mut buffer, false), Ok((50, source)));
        assert_eq!(buffer, [round; 50]);
    }
    world.stacks[SERVER].udp_send(server, b"answer", source).unwrap();
    world.run_for(SECOND_NS);
    assert_eq!(world.stacks[CLIENT].udp_receive(client, &mut buffer, false), Ok((6, at(SERVER, 53))));
    assert_eq!(world.stacks[CLIENT].udp_send(client, &[0; 1472], at(SERVER, 53)), Ok(()));
    world.run_for(SECOND_NS);
    assert_eq!(world.stacks[SERVER].udp_receive(server, &mut [0; 2000], false).unwrap().0, 1472);
}

#[test]
fn a_named_peer_is_the_only_one_heard_and_its_refusal_is_told() {
    let mut world = World::new();
    let client = world.stacks[CLIENT].udp_bind(any(5000)).unwrap();
    world.stacks[CLIENT].udp_connect(client, Some(at(SERVER, 99))).unwrap();
    world.inject(CLIENT, &udp_frame((ip(SERVER), 98), CLIENT, 5000, b"not him"));
    assert_eq!(world.stacks[CLIENT].udp_receive(client, &mut [0; 9], false), Err(Error::WouldBlock));
    world.stacks[CLIENT].udp_send(client, b"anybody?", at(SERVER, 99)).unwrap();
    world.run_for(SECOND_NS);
    let events: Vec<_> = std::iter::from_fn(|| world.stacks[CLIENT].next_event()).collect();
    assert!(events.contains(&Event::Datagram(client)));
    assert_eq!(world.stacks[CLIENT].udp_receive(client, &mut [0; 9], false), Err(Error::ConnectionRefused));
    assert_eq!(world.stacks[CLIENT].udp_receive(client, &mut [0; 9], false), Err(Error::WouldBlock));
}

#[test]
fn a_datagram_that_passed_too_many_routers_is_told_of() {
    let mut world = World::new();
    let client = world.stacks[CLIENT].udp_bind(any(5000)).unwrap();
    world.stacks[CLIENT].udp_connect(client, Some(at(SERVER, 99))).unwrap();
    let mut message = vec![11, 0, 0, 0, 0, 0, 0, 0, 0x45, 0, 0, 29, 0, 0, 0x40, 0, 1, 17, 0, 0];
    message.extend_from_slice(&ip(CLIENT).octets());
    message.extend_from_slice(&ip(SERVER).octets());
    message.extend_from_slice(&[5000u16.to_be_bytes(), 99u16.to_be_bytes(), [0; 2], [0; 2]].concat());
    world.inject(CLIENT, &icmp_frame(ip(SERVER), CLIENT, message));
    assert_eq!(world.stacks[CLIENT].udp_receive(client, &mut [0; 9], false), Err(Error::HostUnreachable));
}

#[test]
fn a_socket_keeps_no_more_than_its_share() {
    let mut world = World::new();
    let server = world.stacks[SERVER].udp_bind(any(53)).unwrap();
    for _ in 0..5000 {
        world.inject(SERVER, &udp_frame((ip(CLIENT), 999), SERVER, 53, &[1; 1000]));
    }
    let statistics = world.stacks[SERVER].statistics();
    assert!(statistics.datagrams_dropped > 4000 && statistics.memory_bytes <= 256 << 10, "{statistics:?}");
    world.stacks[SERVER].udp_close(server);
    assert_eq!(world.stacks[SERVER].statistics().memory_bytes, 0);
}

#[test]
fn echoes_are_answered() {
    let mut world = World::new();
    let mut message = vec![8, 0, 0, 0, 0x12, 0x34, 0, 1];
    message.extend_from_slice(&[0x77; 1000]);
    world.inject(SERVER, &icmp_frame(ip(CLIENT), SERVER, message.clone()));
    let mut answer = None;
    let now_ns = world.now_ns;
    // The server asks who the client is first.
    world.stacks[SERVER].flush(&mut world.ports[SERVER], now_ns);
    let request = world.ports[SERVER].sent.pop_front().unwrap();
    world.inject(CLIENT, &request);
    world.stacks[CLIENT].flush(&mut world.ports[CLIENT], now_ns);
    let reply = world.ports[CLIENT].sent.pop_front().unwrap();
    world.inject(SERVER, &reply);
    world.stacks[SERVER].flush(&mut world.ports[SERVER], now_ns);
    while let Some(frame) = world.ports[SERVER].sent.pop_front() {
        answer = Some(frame);
    }
    message[0] = 0;
    let expected = icmp_frame(ip(SERVER), CLIENT, message);
    assert_eq!(answer.unwrap()[14..], expected[14..]);
}

#[test]
fn a_neighbour_that_fell_silent_is_asked_for_once_a_second() {
    let mut stack = Stack::new(config(SERVER));
    assert!(stack.set_address(0, address(SERVER)));
    let socket = stack.udp_bind(any(7)).unwrap();
    let mut port = Port { sent: VecDeque::new(), room: 256, cut: 0 };
    let mut now_ns = SECOND_NS;
    let mut send = |stack: &mut Stack, now_ns| {
        stack.udp_send(socket, b"tick", at(CLIENT, 7)).unwrap();
        stack.flush(&mut port, now_ns);
        let questions = port.sent.iter().filter(|frame| frame[12..14] == [8, 6]).count();
        (questions, port.sent.drain(..).count() - questions)
    };
    let answer = arp_frame(2, (mac(CLIENT), ip(CLIENT)), SERVER, ip(SERVER));
    assert_eq!(send(&mut stack, now_ns), (1, 0));
    stack.receive(&answer, Received::Unverified, now_ns);
    assert_eq!(send(&mut stack, now_ns), (0, 2), "what was held, too");
    // It is asked whether that still holds, and gets what there is until it would have answered; then nobody knows.
    now_ns += 61 * SECOND_NS;
    assert_eq!((send(&mut stack, now_ns), send(&mut stack, now_ns)), ((1, 1), (0, 1)));
    now_ns += 11 * SECOND_NS;
    assert_eq!(send(&mut stack, now_ns), (1, 0));
    for _ in 0..9 {
        assert_eq!(send(&mut stack, now_ns), (0, 0));
    }
    assert_eq!(send(&mut stack, now_ns + SECOND_NS), (1, 0));
    stack.receive(&answer, Received::Unverified, now_ns);
    assert_eq!(send(&mut stack, now_ns + SECOND_NS), (0, 12), "nothing was lost");
}

#[test]
fn an_entry_is_confirmed_again_while_it_is_used() {
    let mut world = World::new();
    let listener = world.listen(80, 16);
    let (client, server) = world.connect(listener, 80);
    for _ in 0..100 {
        assert_eq!(world.transfer((CLIENT, client), (SERVER, server), b"tick"), b"tick");
        world.run_for(5 * SECOND_NS);
    }
    assert_eq!(world.stacks[CLIENT].statistics().packets_dropped, 0);
}

/// How long an address is lent.
const LEASE_S: u32 = 3600;

/// A DHCP server that knows one address.
#[derive(Default)]
struct DhcpServer {
    refuses: bool,
    heard: Vec<DhcpMessageType>,
}

const LEASED: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 7);
const GATEWAY: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 1);

impl DhcpServer {
    /// Takes the client's frame; the answer, if there is one.
    fn answer(&mut self, frame: &[u8]) -> Option<Vec<u8>> {
        if frame[12..14] != [8, 0] || frame[23] != 17 || frame[36..38] != [0, 67] {
            return None;
        }
        let packet = DhcpPacket::new_checked(&frame[42..]).unwrap();
        let message = DhcpRepr::parse(&packet).unwrap();
        self.heard.push(message.message_type);
        let kind = match message.message_type {
            DhcpMessageType::Discover => DhcpMessageType::Offer,
            DhcpMessageType::Request if self.refuses => DhcpMessageType::Nak,
            DhcpMessageType::Request => DhcpMessageType::Ack,
            _ => return None,
        };
        let answer = DhcpRepr {
            message_type: kind,
            your_ip: LEASED,
            server_identifier: Some(GATEWAY),
            router: Some(GATEWAY),
            subnet_mask: Some(Ipv4Addr::new(255, 255, 255, 0)),
            lease_duration: Some(LEASE_S),
            client_identifier: None,
            requested_ip: None,
            parameter_request_list: None,
            max_size: None,
            dns_servers: Some([GATEWAY, LEASED].into_iter().collect()),
            additional_options: &[DhcpOption { kind: 119, data: b"\x03lab\x04test\0\x03dev\xc0\x00" }],
            ..message
        };
        let mut data = vec![0; answer.buffer_len()];
        answer.emit(&mut DhcpPacket::new_unchecked(&mut data[..])).unwrap();
        // To the address it will have, at the hardware address it has.
        let mut reply = udp_frame((GATEWAY, 67), 1, 68, &data);
        reply[30..34].copy_from_slice(&LEASED.octets());
        reply[24..26].fill(0);
        reply[40..42].fill(0);
        let sum = crate::frames::checksum(&reply[14..34]);
        reply[24..26].copy_from_slice(&sum);
        Some(reply)
    }
}

/// Lets a client live for a while with a server (or none).
fn live(stack: &mut Stack, server: &mut Option<DhcpServer>, now_ns: &mut u64, time_ns: u64) -> usize {
    let mut port = Port { sent: VecDeque::new(), room: 16, cut: 0 };
    let end = *now_ns + time_ns;
    let mut frames = 0;
    loop {
        stack.flush(&mut port, *now_ns);
        while let Some(frame) = port.sent.pop_front() {
            frames += 1;
            if let Some(reply) = server.as_mut().and_then(|server| server.answer(&frame)) {
                stack.receive(&reply, Received::Unverified, *now_ns);
            }
            if frame[12..14] == [8, 6] && server.is_some() {
                let reply = arp_frame(2, (mac(CLIENT), GATEWAY), SERVER, LEASED);
                stack.receive(&reply, Received::Unverified, *now_ns);
            }
        }
        let next = stack.next_deadline().unwrap_or(u64::MAX).max(*now_ns + 1);
        if stack.has_work() {
            continue;
        }
        if next > end {
            *now_ns = end;
            return frames;
        }
        *now_ns = next;
    }
}

#[test]
fn an_address_is_leased_renewed_and_lost() {
    let mut stack = Stack::new(config(SERVER));
    let mut now_ns = SECOND_NS;
    stack.start_dhcp(0, now_ns);
    // Nobody answers: it asks less and less often.
    let alone = live(&mut stack, &mut None, &mut now_ns, 600 * SECOND_NS);
    assert!((10..20).contains(&alone), "{alone} frames");
    let mut server = Some(DhcpServer::default());
    live(&mut stack, &mut server, &mut now_ns, 80 * SECOND_NS);
    let address =
        Address { ip: LEASED, prefix_bits: 24, gateway: Some(GATEWAY), dns: [Some(GATEWAY), Some(LEASED), None] };
    assert_eq!(stack.address(), Some(address));
    assert_eq!(stack.next_event(), Some(Event::Address(0, Some(address))));
    assert_eq!(stack.search_domains().collect::<Vec<_>>(), ["lab.test", "dev.lab.test"]);
    assert_eq!(server.as_ref().unwrap().heard, [DhcpMessageType::Discover, DhcpMessageType::Request]);
    // A day later it still has it, by renewals each half hour.
    live(&mut stack, &mut server, &mut now_ns, 86_400 * SECOND_NS);
    assert_eq!(stack.address(), Some(address));
    let renewals = server.as_ref().unwrap().heard.len();
    assert!((40..60).contains(&renewals), "{renewals} messages");
    assert_eq!(stack.next_event(), None);
    // The server goes: the address is kept to the end of the lease and no longer.
    live(&mut stack, &mut None, &mut now_ns, 3601 * SECOND_NS);
    assert_eq!(stack.address(), None);
    assert_eq!(stack.next_event(), Some(Event::Address(0, None)));
}

#[test]
fn a_refused_address_is_dropped() {
    let (mut stack, mut server, mut now_ns) = leased();
    if let Some(server) = &mut server {
        server.refuses = true;
    }
    live(&mut stack, &mut server, &mut now_ns, 1900 * SECOND_NS);
    assert_eq!(stack.address(), None);
}

/// A client that has been lent an address, by whom, and when that was.
fn leased() -> (Stack, Option<DhcpServer>, u64) {
    let (mut stack, mut server, mut now_ns) = (Stack::new(config(SERVER)), Some(DhcpServer::default()), SECOND_NS);
    stack.start_dhcp(0, now_ns);
    live(&mut stack, &mut server, &mut now_ns, SECOND_NS);
    assert!(stack.address().is_some());
    (stack, server, now_ns)
}

/// The link went down and came up.
fn plug(stack: &mut Stack, now_ns: u64) {
    stack.set_link(0, false, now_ns);
    stack.set_link(0, true, now_ns);
}

#[test]
fn an_address_is_confirmed_when_the_link_comes_back() {
    let (mut stack, mut server, mut now_ns) = leased();
    let address = stack.address();
    // Twice, so that the one is in the middle of the other.
    plug(&mut stack, now_ns);
    plug(&mut stack, now_ns);
    live(&mut stack, &mut server, &mut now_ns, SECOND_NS);
    assert_eq!(stack.address(), address);
    assert_eq!(server.as_ref().unwrap().heard[2..], [DhcpMessageType::Request]);
    // Nobody answers: it is kept as long as it was lent, and asked after.
    plug(&mut stack, now_ns);
    live(&mut stack, &mut None, &mut now_ns, 3000 * SECOND_NS);
    assert_eq!(stack.address(), address);
    live(&mut stack, &mut None, &mut now_ns, 700 * SECOND_NS);
    assert_eq!(stack.address(), None);
}

#[test]
fn an_address_that_is_not_good_on_another_link_is_dropped_at_once() {
    let (mut stack, mut server, mut now_ns) = leased();
    if let Some(server) = &mut server {
        server.refuses = true;
    }
    plug(&mut stack, now_ns);
    let before = now_ns;
    live(&mut stack, &mut server, &mut now_ns, SECOND_NS / 2);
    assert_eq!(stack.address(), None, "{}", now_ns - before);
    if let Some(server) = &mut server {
        server.refuses = false;
    }
    live(&mut stack, &mut server, &mut now_ns, 5 * SECOND_NS);
    assert!(stack.address().is_some());
}

#[test]
fn an_address_that_was_not_found_is_asked_for_as_soon_as_there_is_a_link() {
    let mut stack = Stack::new(config(SERVER));
    let mut now_ns = SECOND_NS;
    stack.set_link(0, false, now_ns);
    stack.start_dhcp(0, now_ns);
    assert_eq!(live(&mut stack, &mut None, &mut now_ns, 600 * SECOND_NS), 0);
    let mut server = Some(DhcpServer::default());
    stack.set_link(0, true, now_ns);
    live(&mut stack, &mut server, &mut now_ns, SECOND_NS / 2);
    assert!(stack.address().is_some());
}

#[test]
fn a_connection_ends_with_its_address() {
    let mut world = World::new();
    let listener = world.listen(80, 16);
    let (_, server) = world.connect(listener, 80);
    let other = Address { ip: Ipv4Addr::new(10, 0, 0, 50), prefix_bits: 24, gateway: None, dns: [None; 3] };
    assert!(world.stacks[SERVER].set_address(0, other));
    assert_eq!(world.stacks[SERVER].tcp_read(server, &mut [0; 4]), Err(Error::ConnectionAborted));
    assert!(!world.stacks[SERVER].set_address(0, Address { ip: Ipv4Addr::BROADCAST, ..other }));
}
