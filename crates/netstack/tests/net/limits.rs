//! What a peer or a program can make grow has a bound, and past it the refusal is typed or counted.

use crate::frames::{Flags, Segment, arp_frame, seen};
use crate::world::{CLIENT, SECOND_NS, SERVER, World, at, config, end, ip, large_config, mac, pattern};
use core::cell::{Cell, RefCell};
use core::net::{Ipv4Addr, SocketAddr};
use std::rc::Rc;
use toro_netstack::{Ending, Error, Event, Limits};

#[test]
fn ten_thousand_sequential_connections_leave_nothing_behind() {
    let mut world = World::new();
    let listener = world.listen(80, 16);
    let mut memory_max = 0;
    for round in 0..10_000 {
        let (client, server) = world.connect(listener, 80);
        assert_eq!(world.transfer((CLIENT, client), (SERVER, server), b"GET /"), b"GET /");
        assert_eq!(world.transfer((SERVER, server), (CLIENT, client), b"200 OK"), b"200 OK");
        // Either side closes first, in turn.
        let (first, second) =
            if round % 2 == 0 { ((SERVER, server), (CLIENT, client)) } else { ((CLIENT, client), (SERVER, server)) };
        world.stacks[first.0].tcp_close(first.1, Ending::Orderly, world.now_ns);
        world.run_until(SECOND_NS, |world| world.stacks[second.0].tcp_read(second.1, &mut [0; 4]) == Ok(0));
        world.stacks[second.0].tcp_close(second.1, Ending::Orderly, world.now_ns);
        world.run_until(SECOND_NS, |world| world.stacks.iter().all(|stack| stack.statistics().connections == 0));
        let statistics = world.stacks[SERVER].statistics();
        if round == 100 {
            memory_max = statistics.memory_bytes;
        } else if round > 100 {
            assert!(statistics.memory_bytes <= memory_max, "round {round}: {statistics:?}");
        }
        while world.stacks[SERVER].next_event().is_some() || world.stacks[CLIENT].next_event().is_some() {}
    }
    let statistics = world.stacks[SERVER].statistics();
    assert_eq!(statistics.connections_opened, 10_000);
    assert!(statistics.remembered <= Limits::for_memory(64 << 20).time_wait_max as u64);
    assert_eq!((statistics.out_of_memory, statistics.packets_dropped, statistics.backlog_full), (0, 0, 0));
}

#[test]
fn ended_connections_are_forgotten_when_there_are_too_many() {
    let mut small = config(SERVER);
    small.limits.time_wait_max = 10;
    let mut world = World::with(config(CLIENT), small);
    let listener = world.listen(80, 16);
    for _ in 0..50 {
        let (client, server) = world.connect(listener, 80);
        world.close(client, server);
    }
    assert!(world.stacks[SERVER].statistics().remembered <= 10);
}

/// The ends of a connection that the server has ended, and remembers.
fn parted(world: &mut World) -> (SocketAddr, SocketAddr) {
    let listener = world.listen(80, 16);
    let (client, server) = world.connect(listener, 80);
    let ends = world.stacks[CLIENT].tcp_ends(client).unwrap();
    world.stacks[SERVER].tcp_close(server, Ending::Orderly, world.now_ns);
    world.run_for(SECOND_NS / 2);
    world.stacks[CLIENT].tcp_close(client, Ending::Orderly, world.now_ns);
    world.run_for(SECOND_NS / 2);
    assert_eq!(world.stacks[SERVER].statistics().remembered, 1);
    ends
}

#[test]
fn the_same_ports_connect_again_at_once() {
    let mut world = World::new();
    let (local, remote) = parted(&mut world);
    // The same two ends once more, with a later sequence number, as Linux would do.
    let syn = Segment::between(CLIENT, local.port(), SERVER, remote.port());
    let later = syn.sequence(0xffff_0000).flags(Flags::SYN).frame();
    let much_later = syn.sequence(0x7fff_0000).flags(Flags::SYN).frame();
    world.inject(SERVER, &later);
    world.inject(SERVER, &much_later);
    assert_eq!(world.stacks[SERVER].statistics().handshakes, 1);
}

#[test]
fn the_same_ports_connect_again_by_their_stamps() {
    let mut world = World::new();
    let last = Rc::new(Cell::new((0, 0)));
    let heard = Rc::clone(&last);
    world.loses = Some(Box::new(move |from, frame| {
        if from == CLIENT
            && let Some(segment) = seen(frame)
            && let [1, 1, 8, 10, a, b, c, d, ..] = segment.options[..]
        {
            heard.set((segment.sequence, u32::from_be_bytes([a, b, c, d])));
        }
        false
    }));
    let (local, remote) = parted(&mut world);
    // A peer that has forgotten the connection begins anywhere, half the time at what looks older; its clock goes on.
    let (sequence, stamp) = last.get();
    let syn = Segment::between(CLIENT, local.port(), SERVER, remote.port()).sequence(sequence.wrapping_sub(1 << 20));
    let stamped = |stamp: u32| [&[1, 1, 8, 10][..], &stamp.to_be_bytes(), &[0; 4]].concat();
    for (stamp, handshakes) in [(stamp.wrapping_sub(1), 0), (stamp, 0), (stamp.wrapping_add(1), 1)] {
        world.inject(SERVER, &syn.flags(Flags::SYN).options(&stamped(stamp)).frame());
        assert_eq!(world.stacks[SERVER].statistics().handshakes, handshakes, "{stamp}");
    }
}

#[test]
fn a_flood_of_syns_is_bounded_and_lets_others_in() {
    let mut small = config(SERVER);
    small.limits.half_open_max = 64;
    let mut world = World::with(config(CLIENT), small);
    let listener = world.listen(80, 16);
    let (client, server) = world.connect(listener, 80);
    let memory = world.stacks[SERVER].statistics().memory_bytes;
    for flood in 0..5_000u32 {
        let frame = Segment::from_ip(Ipv4Addr::from_bits(0xc0a8_0000 + flood), 4000, SERVER, 80).flags(Flags::SYN);
        world.inject(SERVER, &frame.frame());
        if flood % 16 == 0 {
            world.turn();
        }
    }
    let statistics = world.stacks[SERVER].statistics();
    assert_eq!(statistics.handshakes, 64);
    assert!(statistics.cookies_sent >= 4_900);
    assert_eq!(statistics.memory_bytes, memory);
    assert_eq!(world.transfer((CLIENT, client), (SERVER, server), b"still here"), b"still here");
    // Newcomers get in by a number that remembers their handshake, and what they can do.
    let (client, server) = world.connect(listener, 80);
    assert_eq!(world.stacks[SERVER].statistics().cookies_accepted, 1);
    let data = pattern(100_000);
    assert!(world.transfer((CLIENT, client), (SERVER, server), &data) == data);
    let info = world.stacks[SERVER].tcp_info(server).unwrap();
    assert_eq!(info.segment_bytes, 1448, "{info:?}");
    world.run_for(60 * SECOND_NS);
    assert_eq!(world.stacks[SERVER].statistics().handshakes, 0);
    assert_eq!(world.stacks[SERVER].next_deadline(), None);
}

#[test]
fn a_number_that_remembers_is_good_for_its_peer_and_a_while() {
    let mut small = large_config(SERVER);
    small.limits.half_open_max = 0;
    for (later_ns, known) in [(0, true), (60 * SECOND_NS, true), (200 * SECOND_NS, false)] {
        let mut world = World::with(large_config(CLIENT), small.clone());
        let listener = world.listen(80, 16);
        world.connect(listener, 80);
        let options = [2, 4, 5, 180, 4, 2, 8, 10, 0, 0, 0, 9, 0, 0, 0, 0, 1, 3, 3, 9];
        let ends = Segment::between(CLIENT, 5000, SERVER, 80);
        world.inject(SERVER, &ends.flags(Flags::SYN).options(&options).frame());
        let now_ns = world.now_ns;
        world.stacks[SERVER].flush(&mut world.ports[SERVER], now_ns);
        let answer = seen(&world.ports[SERVER].sent.pop_front().unwrap()).unwrap();
        assert_eq!(world.stacks[SERVER].statistics().handshakes, 0);
        let echo = [&[1, 1, 8, 10, 0, 0, 0, 10], &answer.options[8..12]].concat();
        world.now_ns += later_ns;
        let ack = ends.sequence(1001).acknowledgement(answer.sequence + 1).flags(Flags::ACK).options(&echo);
        // Another peer cannot use it, nor this one with another number.
        let forged = Segment::between(CLIENT, 5001, SERVER, 80).sequence(1001).acknowledgement(answer.sequence + 1);
        let accepted = world.stacks[SERVER].statistics().cookies_accepted;
        world.inject(SERVER, &forged.flags(Flags::ACK).options(&echo).frame());
        world.inject(SERVER, &ack.sequence(1002).frame());
        world.inject(SERVER, &ack.acknowledgement(answer.sequence + 2).frame());
        assert_eq!(world.stacks[SERVER].statistics().cookies_accepted, accepted);
        world.inject(SERVER, &ack.frame());
        assert_eq!(world.stacks[SERVER].statistics().cookies_accepted, accepted + u64::from(known), "{later_ns}");
        if known {
            let (id, peer) = world.stacks[SERVER].tcp_accept(listener).unwrap();
            let info = world.stacks[SERVER].tcp_info(id).unwrap();
            assert_eq!((peer.port(), info.segment_bytes, info.peer_window_bytes), (5000, 1448, 0x2000 << 9));
        }
    }
}

#[test]
fn a_full_backlog_makes_newcomers_wait() {
    let mut world = World::new();
    let listener = world.listen(80, 2);
    let clients: Vec<_> =
        (0..5).map(|_| world.stacks[CLIENT].tcp_connect(at(SERVER, 80), world.now_ns).unwrap()).collect();
    world.run_for(SECOND_NS / 2);
    assert_eq!(world.stacks[SERVER].statistics().connections, 2);
    assert!(world.stacks[SERVER].statistics().backlog_full > 0);
    let mut accepted = 0;
    world.run_until(120 * SECOND_NS, |world| {
        while world.stacks[SERVER].tcp_accept(listener).is_ok() {
            accepted += 1;
        }
        accepted == 5
    });
    for client in clients {
        assert_eq!(world.stacks[CLIENT].tcp_connected(client), Ok(()));
    }
}

#[test]
fn memory_has_an_end() {
    let mut small = config(SERVER);
    small.limits = Limits::for_memory(1 << 20);
    let mut world = World::with(config(CLIENT), small);
    let listener = world.listen(80, 4096);
    let mut open = Vec::new();
    for _ in 0..300 {
        let id = world.stacks[CLIENT].tcp_connect(at(SERVER, 80), world.now_ns).unwrap();
        world.run_for(10_000_000);
        // Bytes that nobody reads yet: each connection needs a buffer for them.
        world.stacks[CLIENT].tcp_write(id, b"waiting").unwrap();
        world.run_for(10_000_000);
        open.push(id);
    }
    let statistics = world.stacks[SERVER].statistics();
    assert!(statistics.memory_bytes <= 512 << 10, "{statistics:?}");
    assert!((100..300).contains(&statistics.connections), "{statistics:?}");
    assert!(statistics.out_of_memory > 0);
    // Those that fit still work, and when they are gone there is room again.
    let (first, _) = world.stacks[SERVER].tcp_accept(listener).unwrap();
    let ends = world.stacks[SERVER].tcp_ends(first).unwrap();
    let peer = open.iter().copied().find(|id| world.stacks[CLIENT].tcp_ends(*id).unwrap().0 == ends.1).unwrap();
    assert_eq!(world.transfer((CLIENT, peer), (SERVER, first), b", I fit")[..7], *b"waiting");
    world.stacks[SERVER].tcp_close_listener(listener);
    world.stacks[SERVER].tcp_close(first, Ending::Reset, world.now_ns);
    world.run_for(300 * SECOND_NS);
    let statistics = world.stacks[SERVER].statistics();
    assert_eq!((statistics.connections, statistics.handshakes), (0, 0));
    let listener = world.listen(80, 16);
    world.connect(listener, 80);
}

#[test]
fn what_lies_beyond_gaps_leaves_memory_to_others() {
    let mut small = config(SERVER);
    small.limits = Limits::for_memory(8 << 20);
    let mut world = World::with(config(CLIENT), small);
    let listener = world.listen(80, 512);
    let last = Rc::new(RefCell::new(None));
    let heard = Rc::clone(&last);
    world.loses = Some(Box::new(move |from, frame| {
        if from == CLIENT {
            *heard.borrow_mut() = seen(frame);
        }
        false
    }));
    for _ in 0..300 {
        let (client, _) = world.connect(listener, 80);
        let local = world.stacks[CLIENT].tcp_ends(client).unwrap().0;
        // One byte, far from where the stream begins, which never comes: the ring has room for all between.
        let last = last.take().unwrap();
        let far = Segment::between(CLIENT, local.port(), SERVER, 80).sequence(last.sequence.wrapping_add(10_000));
        let far = far.acknowledgement(last.acknowledgement).flags(Flags::ACK).options(&last.options).payload(b"!");
        world.inject(SERVER, &far.frame());
    }
    assert!(world.stacks[SERVER].statistics().memory_bytes >= 3 << 20, "memory is scarce");
    let (client, server) = world.connect(listener, 80);
    let question = pattern(30_000);
    assert_eq!(world.transfer((CLIENT, client), (SERVER, server), &question), question);
    assert_eq!(world.transfer((SERVER, server), (CLIENT, client), &question), question);
}

#[test]
fn a_closed_listener_refuses() {
    let mut world = World::new();
    let listener = world.listen(80, 16);
    let waiting = world.stacks[CLIENT].tcp_connect(at(SERVER, 80), world.now_ns).unwrap();
    world.run_for(SECOND_NS / 2);
    assert_eq!(world.stacks[CLIENT].tcp_connected(waiting), Ok(()));
    world.stacks[SERVER].tcp_close_listener(listener);
    world.run_for(SECOND_NS / 2);
    assert_eq!(world.stacks[CLIENT].tcp_read(waiting, &mut [0; 4]), Err(Error::ConnectionReset));
    assert_eq!(world.stacks[SERVER].tcp_accept(listener), Err(Error::NotConnected));
    let late = world.stacks[CLIENT].tcp_connect(at(SERVER, 80), world.now_ns).unwrap();
    world.run_for(SECOND_NS / 2);
    assert_eq!(world.stacks[CLIENT].tcp_connected(late), Err(Error::ConnectionRefused));
}

#[test]
fn a_burst_of_handshakes_waits_for_the_first_arp_answer() {
    let mut world = World::new();
    world.listen(80, 128);
    for port in 0..60 {
        world.inject(SERVER, &Segment::between(CLIENT, 2000 + port, SERVER, 80).flags(Flags::SYN).frame());
    }
    let now_ns = world.now_ns;
    world.stacks[SERVER].flush(&mut world.ports[SERVER], now_ns);
    let question = world.ports[SERVER].sent.drain(..).collect::<Vec<_>>();
    assert_eq!(question.len(), 1, "one question for the neighbour");
    world.inject(SERVER, &arp_frame(2, (mac(CLIENT), ip(CLIENT)), SERVER, ip(SERVER)));
    world.stacks[SERVER].flush(&mut world.ports[SERVER], now_ns);
    assert_eq!(world.ports[SERVER].sent.len(), 60, "an answer was lost");
}

#[test]
fn stale_names_find_nothing() {
    let mut world = World::new();
    let listener = world.listen(80, 16);
    let (client, server) = world.connect(listener, 80);
    world.close(client, server);
    let (_, again) = world.connect(listener, 80);
    assert_ne!(server, again);
    let stack = &mut world.stacks[SERVER];
    assert_eq!(stack.tcp_read(server, &mut [0; 4]), Err(Error::NotConnected));
    assert_eq!(stack.tcp_write(server, b"x"), Err(Error::NotConnected));
    stack.tcp_close(server, Ending::Reset, 0);
    assert_eq!(stack.statistics().connections, 1);
}

#[test]
fn ports_and_addresses_are_taken_once() {
    let mut world = World::new();
    let any = |port| end(Ipv4Addr::UNSPECIFIED, port);
    world.listen(80, 16);
    let stack = &mut world.stacks[SERVER];
    assert_eq!(stack.tcp_listen(any(80), 1), Err(Error::AddressInUse));
    assert_eq!(stack.tcp_listen(at(SERVER, 80), 1), Err(Error::AddressInUse));
    assert_eq!(stack.tcp_listen(at(CLIENT, 81), 1), Err(Error::AddressNotAvailable));
    let picked = stack.tcp_listen(any(0), 1).unwrap();
    assert!(stack.tcp_listener_address(picked).unwrap().port() >= 32768);
    stack.udp_bind(any(53)).unwrap();
    assert_eq!(stack.udp_bind(any(53)), Err(Error::AddressInUse));
}

#[test]
fn events_come_once_for_each_wait() {
    let mut world = World::new();
    let listener = world.listen(80, 16);
    assert_eq!(world.stacks[SERVER].tcp_accept(listener), Err(Error::WouldBlock));
    let client = world.stacks[CLIENT].tcp_connect(at(SERVER, 80), world.now_ns).unwrap();
    world.run_for(SECOND_NS / 2);
    while matches!(world.stacks[CLIENT].next_event(), Some(Event::Address(..))) {}
    let events: Vec<_> = std::iter::from_fn(|| world.stacks[SERVER].next_event()).collect();
    assert_eq!(events.iter().filter(|event| **event == Event::Acceptable(listener)).count(), 1);
    let (server, _) = world.stacks[SERVER].tcp_accept(listener).unwrap();
    assert_eq!(world.stacks[SERVER].tcp_read(server, &mut [0; 4]), Err(Error::WouldBlock));
    for _ in 0..3 {
        world.stacks[CLIENT].tcp_write(client, b"x").unwrap();
        world.run_for(SECOND_NS / 10);
    }
    assert_eq!(world.stacks[SERVER].next_event(), Some(Event::Readable(server)));
    assert_eq!(world.stacks[SERVER].next_event(), None);
}

#[test]
fn who_fills_nothing_has_not_run_out_of_memory() {
    let mut world = World::new();
    let listener = world.listen(80, 16);
    let (client, _) = world.connect(listener, 80);
    assert_eq!(world.stacks[CLIENT].tcp_write_with(client, usize::MAX, &mut |_| 0), Ok(0));
    assert!(world.stacks[CLIENT].tcp_write_with(client, usize::MAX, &mut |room| room.len()).unwrap() > 0);
}
