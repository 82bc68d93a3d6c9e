//! What programs ask of sockets without waiting: readiness, errors told once, shared ports, options.

use crate::frames::udp_frame;
use crate::world::{CLIENT, MILLISECOND_NS, SECOND_NS, SERVER, World, at, end, ip, keep_alive, pattern};
use core::net::{Ipv4Addr, SocketAddr};
use toro_netstack::{Ending, Error, Event, KeepAlive, Readiness, Sharing, Stack, TcpOption, TcpState, UdpOption};

const ANY: Ipv4Addr = Ipv4Addr::UNSPECIFIED;
const ADDRESS: Sharing = Sharing { reuse_address: true, reuse_port: false, v6_only: false };
const PORT: Sharing = Sharing { reuse_address: false, reuse_port: true, v6_only: false };

fn any(port: u16) -> SocketAddr {
    end(ANY, port)
}

fn events(stack: &mut Stack) -> Vec<Event> {
    std::iter::from_fn(|| stack.next_event()).collect()
}

#[test]
fn readiness_follows_a_connection_through_its_life() {
    let mut world = World::new();
    let listener = world.listen(80, 16);
    assert_eq!(world.stacks[SERVER].tcp_listener_readiness(listener), Readiness::default());
    let client = world.stacks[CLIENT].tcp_connect(at(SERVER, 80), world.now_ns).unwrap();
    assert_eq!(world.stacks[CLIENT].tcp_readiness(client), Readiness::default());
    world.run_for(MILLISECOND_NS);
    assert!(events(&mut world.stacks[SERVER]).contains(&Event::Acceptable(listener)));
    assert!(world.stacks[SERVER].tcp_listener_readiness(listener).readable);
    assert!(events(&mut world.stacks[CLIENT]).contains(&Event::Writable(client)));
    let (server, _) = world.stacks[SERVER].tcp_accept(listener).unwrap();
    let writable = Readiness { writable: true, ..Readiness::default() };
    assert_eq!(world.stacks[CLIENT].tcp_readiness(client), writable);
    assert_eq!(world.stacks[SERVER].tcp_readiness(server), writable);

    world.stacks[CLIENT].tcp_write(client, b"one").unwrap();
    world.run_for(MILLISECOND_NS);
    assert_eq!(events(&mut world.stacks[SERVER]), [Event::Readable(server)]);
    let both = Readiness { readable: true, ..writable };
    assert_eq!(world.stacks[SERVER].tcp_readiness(server), both);
    assert_eq!(world.stacks[SERVER].tcp_readable_bytes(server), 3);
    // Armed again, though there is something to read: the next arrival is told, once, and nothing else is.
    world.run_for(SECOND_NS);
    assert_eq!(events(&mut world.stacks[SERVER]), []);
    for _ in 0..2 {
        world.stacks[CLIENT].tcp_write(client, b"two").unwrap();
        world.run_for(SECOND_NS);
    }
    assert_eq!(events(&mut world.stacks[SERVER]), [Event::Readable(server)]);
    let mut buffer = [0; 4];
    assert_eq!(world.stacks[SERVER].tcp_peek(server, &mut buffer), Ok(4));
    assert_eq!(world.stacks[SERVER].tcp_read(server, &mut buffer), Ok(4));
    assert_eq!(&buffer, b"onet");
    assert_eq!(world.stacks[SERVER].tcp_readiness(server), both);

    world.stacks[CLIENT].tcp_shutdown_write(client).unwrap();
    world.run_for(SECOND_NS);
    assert_eq!(events(&mut world.stacks[SERVER]), [Event::Readable(server)]);
    assert_eq!(world.stacks[SERVER].tcp_readiness(server), Readiness { peer_ended: true, ..both });
    world.stacks[SERVER].tcp_shutdown_write(server).unwrap();
    world.run_for(SECOND_NS);
    let over = Readiness { peer_ended: true, hung_up: true, ..both };
    assert_eq!(world.stacks[SERVER].tcp_readiness(server), over);
    assert_eq!(world.stacks[CLIENT].tcp_readiness(client), over);
}

#[test]
fn room_is_told_to_whoever_found_none() {
    let mut world = World::new();
    let listener = world.listen(80, 16);
    let (client, server) = world.connect(listener, 80);
    events(&mut world.stacks[CLIENT]);
    world.run_for(SECOND_NS);
    // Room is no news while there is some.
    assert!(world.stacks[CLIENT].tcp_readiness(client).writable);
    world.stacks[CLIENT].tcp_write(client, b"little").unwrap();
    world.run_for(SECOND_NS);
    assert_eq!(events(&mut world.stacks[CLIENT]), []);
    let data = pattern(1 << 20);
    let mut written = 0;
    // What was taken in part arms by itself.
    let taken = world.stacks[CLIENT].tcp_write(client, &data).unwrap();
    assert!(taken < data.len());
    assert!(!world.stacks[CLIENT].tcp_readiness(client).writable);
    written += taken;
    let mut read = 0;
    let mut buffer = vec![0; 4096];
    while read < data.len() + 6 {
        world.run_for(MILLISECOND_NS);
        while let Ok(bytes @ 1..) = world.stacks[SERVER].tcp_read(server, &mut buffer) {
            read += bytes;
        }
        if written < data.len() && events(&mut world.stacks[CLIENT]).contains(&Event::Writable(client)) {
            assert!(world.stacks[CLIENT].tcp_readiness(client).writable);
            written += world.stacks[CLIENT].tcp_write(client, &data[written..]).unwrap();
        }
    }
    world.run_for(SECOND_NS);
    assert_eq!(world.stacks[CLIENT].tcp_pending_bytes(client), (0, 0));
}

#[test]
fn pieces_are_read_and_written_in_place() {
    let mut world = World::new();
    let listener = world.listen(80, 16);
    let (client, server) = world.connect(listener, 80);
    let data = pattern(100_000);
    let (mut written, mut read) = (0, Vec::new());
    world.run_until(60 * SECOND_NS, |world| {
        let mut fill = |room: &mut [u8]| {
            // Now and then it stops in the middle, as at a fault.
            let bytes = room.len().min(data.len() - written).min(777);
            room[..bytes].copy_from_slice(&data[written..written + bytes]);
            written += bytes;
            bytes
        };
        let _ = world.stacks[CLIENT].tcp_write_with(client, 5000, &mut fill);
        let mut take = |piece: &[u8]| {
            let bytes = piece.len().min(1001);
            read.extend_from_slice(&piece[..bytes]);
            bytes
        };
        let _ = world.stacks[SERVER].tcp_read_with(server, 3000, &mut take);
        read.len() == data.len()
    });
    assert!(read == data);
}

#[test]
fn an_error_is_told_once_by_whoever_asks_first() {
    for ask in 0..3 {
        let mut world = World::new();
        let listener = world.listen(80, 16);
        let (client, server) = world.connect(listener, 80);
        world.stacks[CLIENT].tcp_readiness(client);
        world.stacks[SERVER].tcp_close(server, Ending::Reset, world.now_ns);
        world.run_for(SECOND_NS);
        let readiness = world.stacks[CLIENT].tcp_readiness(client);
        let all = Readiness { readable: true, writable: true, peer_ended: true, error: true, hung_up: true };
        assert_eq!(readiness, all);
        let stack = &mut world.stacks[CLIENT];
        let reset = Some(Error::ConnectionReset);
        let told = match ask {
            0 => stack.tcp_take_error(client),
            1 => stack.tcp_read(client, &mut [0; 9]).err(),
            _ => stack.tcp_write(client, b"?").err(),
        };
        assert_eq!(told, reset);
        assert_eq!(stack.tcp_take_error(client), None);
        assert_eq!(stack.tcp_readiness(client), Readiness { error: false, ..all });
        assert_eq!(stack.tcp_read(client, &mut [0; 9]), Ok(0));
        assert_eq!(stack.tcp_write(client, b"?"), Err(Error::BrokenPipe));
        assert_eq!(stack.tcp_info(client).unwrap().state, TcpState::Closed);
    }
}

#[test]
fn a_refused_connection_says_so_without_waiting() {
    let mut world = World::new();
    let client = world.stacks[CLIENT].tcp_connect(at(SERVER, 81), world.now_ns).unwrap();
    assert_eq!(world.stacks[CLIENT].tcp_connected(client), Err(Error::WouldBlock));
    assert_eq!(world.stacks[CLIENT].tcp_info(client).unwrap().state, TcpState::SynSent);
    world.run_for(SECOND_NS);
    assert!(events(&mut world.stacks[CLIENT]).contains(&Event::Writable(client)));
    let readiness = world.stacks[CLIENT].tcp_readiness(client);
    assert!(readiness.writable && readiness.error && readiness.hung_up, "{readiness:?}");
    assert_eq!(world.stacks[CLIENT].tcp_take_error(client), Some(Error::ConnectionRefused));
}

#[test]
fn a_connection_may_say_where_it_begins() {
    let mut world = World::new();
    let listener = world.listen(80, 16);
    let now_ns = world.now_ns;
    let from = |ip, port| Some(end(ip, port));
    let connect = |stack: &mut Stack, local, now_ns| {
        stack.tcp_connect_from(local, at(SERVER, 80), &|port| port != 40_001, now_ns)
    };
    let stack = &mut world.stacks[CLIENT];
    let client = connect(stack, from(ANY, 4000), now_ns).unwrap();
    assert_eq!(stack.tcp_ends(client), Ok((at(CLIENT, 4000), at(SERVER, 80))));
    assert_eq!(connect(stack, from(ip(CLIENT), 4000), now_ns), Err(Error::AddressNotAvailable));
    assert_eq!(connect(stack, from(ip(SERVER), 0), now_ns), Err(Error::AddressNotAvailable));
    assert_eq!(connect(stack, from(Ipv4Addr::LOCALHOST, 0), now_ns), Err(Error::InvalidInput));
    let other = connect(stack, from(ip(CLIENT), 0), now_ns).unwrap();
    assert_eq!(stack.tcp_ends(other).unwrap().0.port(), 40_001, "the only one that nobody has");
    assert_eq!(connect(stack, None, now_ns), Err(Error::AddressInUse));
    let has = |stack: &Stack, ip: Ipv4Addr, port, now_ns| stack.tcp_has_port(end(ip, port), Sharing::default(), now_ns);
    assert!(has(stack, ANY, 4000, now_ns) && has(stack, ip(CLIENT), 40_001, now_ns));
    assert!(!has(stack, ANY, 4001, now_ns) && !has(stack, Ipv4Addr::LOCALHOST, 4000, now_ns));

    // The same ends again: not at once after the end, and told apart by their numbers later.
    let mut server = None;
    world.run_until(SECOND_NS, |world| {
        let accepted = world.stacks[SERVER].tcp_accept(listener);
        if let Ok((id, peer)) = accepted
            && peer.port() == 4000
        {
            server = Some(id);
        }
        server.is_some()
    });
    world.stacks[CLIENT].tcp_close(client, Ending::Orderly, world.now_ns);
    world.run_for(100 * MILLISECOND_NS);
    world.stacks[SERVER].tcp_close(server.unwrap(), Ending::Orderly, world.now_ns);
    world.run_for(100 * MILLISECOND_NS);
    let now_ns = world.now_ns;
    assert_eq!(connect(&mut world.stacks[CLIENT], from(ANY, 4000), now_ns), Err(Error::AddressNotAvailable));
    assert!(has(&world.stacks[CLIENT], ANY, 4000, now_ns));
    world.run_for(2 * SECOND_NS);
    let now_ns = world.now_ns;
    let again = connect(&mut world.stacks[CLIENT], from(ANY, 4000), now_ns).unwrap();
    world.run_until(SECOND_NS, |world| world.stacks[CLIENT].tcp_connected(again) == Ok(()));
}

#[test]
fn listeners_share_a_port_by_consent() {
    let mut world = World::new();
    let stack = &mut world.stacks[SERVER];
    let listen = |stack: &mut Stack, ip, sharing| stack.tcp_listen_beside(end(ip, 80), sharing, 64).map(|(id, _)| id);
    let one = listen(stack, ANY, PORT).unwrap();
    for sharing in [Sharing::default(), ADDRESS] {
        assert_eq!(listen(stack, ANY, sharing), Err(Error::AddressInUse));
    }
    let two = listen(stack, ANY, PORT).unwrap();
    let mut counts = [0, 0];
    for _ in 0..60 {
        let client = world.stacks[CLIENT].tcp_connect(at(SERVER, 80), world.now_ns).unwrap();
        let mut accepted = None;
        world.run_until(SECOND_NS, |world| {
            accepted = [one, two].iter().position(|listener| world.stacks[SERVER].tcp_accept(*listener).is_ok());
            accepted.is_some()
        });
        counts[accepted.unwrap()] += 1;
        assert_eq!(world.stacks[CLIENT].tcp_connected(client), Ok(()));
    }
    assert!(counts[0] >= 15 && counts[1] >= 15, "{counts:?}");
    // The more exact address goes first.
    let exact = listen(&mut world.stacks[SERVER], ip(SERVER), PORT).unwrap();
    for _ in 0..10 {
        world.stacks[CLIENT].tcp_connect(at(SERVER, 80), world.now_ns).unwrap();
        world.run_until(SECOND_NS, |world| world.stacks[SERVER].tcp_accept(exact).is_ok());
    }
}

#[test]
fn a_backlog_can_grow() {
    let mut world = World::new();
    let listener = world.listen(80, 1);
    for _ in 0..3 {
        world.stacks[CLIENT].tcp_connect(at(SERVER, 80), world.now_ns).unwrap();
    }
    world.run_for(100 * MILLISECOND_NS);
    assert!(world.stacks[SERVER].statistics().backlog_full > 0);
    world.stacks[SERVER].tcp_set_backlog(listener, 3).unwrap();
    world.run_for(20 * SECOND_NS);
    for _ in 0..3 {
        world.stacks[SERVER].tcp_accept(listener).unwrap();
    }
}

#[test]
fn a_silent_peer_is_asked_as_often_as_was_said() {
    let mut world = World::new();
    let listener = world.listen(80, 16);
    let (_, server) = world.connect(listener, 80);
    let option = KeepAlive { idle_ns: 60 * SECOND_NS, interval_ns: 5 * SECOND_NS, count: 4 };
    world.stacks[SERVER].tcp_set(server, TcpOption::KeepAlive(Some(option)), world.now_ns).unwrap();
    for wrong in [KeepAlive { idle_ns: 0, ..option }, KeepAlive { count: 0, ..option }] {
        let answer = world.stacks[SERVER].tcp_set(server, TcpOption::KeepAlive(Some(wrong)), world.now_ns);
        assert_eq!(answer, Err(Error::InvalidInput));
    }
    // A peer that answers is asked once in a minute, for ever.
    let before = world.stacks[CLIENT].statistics().frames_received;
    world.run_for(600 * SECOND_NS);
    let asked = world.stacks[CLIENT].statistics().frames_received - before;
    // And as often ARP confirms the address.
    assert!((9..=22).contains(&asked), "{asked} frames");
    assert_eq!(world.stacks[SERVER].tcp_info(server).unwrap().state, TcpState::Established);
    // One that does not, four times more, and that was it.
    world.weather.lost = 1000;
    let silent_ns = world.now_ns;
    world.stacks[SERVER].tcp_readiness(server);
    world.run_until(200 * SECOND_NS, |world| world.stacks[SERVER].tcp_readiness(server).error);
    let after_s = (world.now_ns - silent_ns) / SECOND_NS;
    assert!((20..=82).contains(&after_s), "{after_s} s");
    assert_eq!(world.stacks[SERVER].tcp_take_error(server), Some(Error::TimedOut));
}

#[test]
fn written_data_may_not_wait_longer_than_was_said() {
    let mut world = World::new();
    let listener = world.listen(80, 16);
    let (_, server) = world.connect(listener, 80);
    world.stacks[SERVER].tcp_set(server, TcpOption::UserTimeout(Some(3 * SECOND_NS)), world.now_ns).unwrap();
    world.run_for(60 * SECOND_NS);
    assert_eq!(world.stacks[SERVER].tcp_write(server, b"heard"), Ok(5));
    world.run_for(60 * SECOND_NS);
    assert_eq!(world.stacks[SERVER].tcp_pending_bytes(server), (0, 0));
    world.weather.lost = 1000;
    let written_ns = world.now_ns;
    assert_eq!(world.stacks[SERVER].tcp_write(server, b"lost"), Ok(4));
    world.run_until(60 * SECOND_NS, |world| world.stacks[SERVER].tcp_readiness(server).error);
    let after_ms = (world.now_ns - written_ns) / MILLISECOND_NS;
    assert!((3000..3100).contains(&after_ms), "{after_ms} ms");
    assert_eq!(world.stacks[SERVER].tcp_take_error(server), Some(Error::TimedOut));
}

#[test]
fn a_cork_lets_full_segments_out_and_the_rest_later() {
    let mut world = World::new();
    let listener = world.listen(80, 16);
    let (client, server) = world.connect(listener, 80);
    world.stacks[CLIENT].tcp_set(client, TcpOption::Cork(true), world.now_ns).unwrap();
    world.stacks[CLIENT].tcp_write(client, &[1; 1500]).unwrap();
    world.run_for(10 * MILLISECOND_NS);
    assert_eq!(world.stacks[SERVER].tcp_readable_bytes(server), 1448);
    world.run_for(185 * MILLISECOND_NS);
    assert_eq!(world.stacks[SERVER].tcp_readable_bytes(server), 1448);
    world.run_for(20 * MILLISECOND_NS);
    assert_eq!(world.stacks[SERVER].tcp_readable_bytes(server), 1500, "not longer than 200 ms");
    world.stacks[CLIENT].tcp_write(client, &[1; 100]).unwrap();
    world.run_for(10 * MILLISECOND_NS);
    assert_eq!(world.stacks[SERVER].tcp_readable_bytes(server), 1500);
    world.stacks[CLIENT].tcp_set(client, TcpOption::Cork(false), world.now_ns).unwrap();
    world.run_for(10 * MILLISECOND_NS);
    assert_eq!(world.stacks[SERVER].tcp_readable_bytes(server), 1600);
    // The end waits for nothing.
    world.stacks[CLIENT].tcp_set(client, TcpOption::Cork(true), world.now_ns).unwrap();
    world.stacks[CLIENT].tcp_write(client, &[1; 100]).unwrap();
    world.stacks[CLIENT].tcp_shutdown_write(client).unwrap();
    world.run_for(10 * MILLISECOND_NS);
    assert_eq!(world.stacks[SERVER].tcp_readable_bytes(server), 1700);
}

#[test]
fn options_change_what_is_sent() {
    let mut world = World::new();
    let listener = world.listen(80, 16);
    let (client, server) = world.connect(listener, 80);
    world.run_for(SECOND_NS);
    world.stacks[SERVER].tcp_set(server, TcpOption::QuickAck(true), world.now_ns).unwrap();
    world.stacks[CLIENT].tcp_set(client, TcpOption::Hops(7), world.now_ns).unwrap();
    world.stacks[CLIENT].tcp_set(client, TcpOption::Service(0x10), world.now_ns).unwrap();
    assert_eq!(world.stacks[CLIENT].tcp_set(client, TcpOption::Hops(0), world.now_ns), Err(Error::InvalidInput));
    world.stacks[CLIENT].tcp_write(client, b"marked").unwrap();
    let now_ns = world.now_ns;
    world.stacks[CLIENT].flush(&mut world.ports[CLIENT], now_ns);
    let frame = world.ports[CLIENT].sent.pop_front().unwrap();
    assert_eq!((frame[15], frame[22]), (0x10, 7));
    world.inject(SERVER, &frame);
    assert_eq!(world.stacks[SERVER].tcp_readable_bytes(server), 6, "its checksums are right");
    // Its acknowledgement does not wait for an answer.
    world.stacks[SERVER].flush(&mut world.ports[SERVER], now_ns);
    assert_eq!(world.ports[SERVER].sent.len(), 1);
}

#[test]
fn buffers_are_as_large_as_was_said() {
    let mut world = World::new();
    let listener = world.listen(80, 16);
    let (client, server) = world.connect(listener, 80);
    world.stacks[CLIENT].tcp_set(client, TcpOption::SendBuffer(100_000), world.now_ns).unwrap();
    assert_eq!(world.stacks[CLIENT].tcp_write(client, &pattern(200_000)), Ok(100_000));
    world.stacks[SERVER].tcp_set(server, TcpOption::ReceiveBuffer(40_000), world.now_ns).unwrap();
    world.run_for(10 * SECOND_NS);
    let readable = world.stacks[SERVER].tcp_readable_bytes(server);
    assert!((38_000..=40_000).contains(&readable), "{readable}");
    let mut read = Vec::new();
    world.run_until(60 * SECOND_NS, |world| {
        let mut buffer = [0; 3000];
        while let Ok(bytes @ 1..) = world.stacks[SERVER].tcp_read(server, &mut buffer) {
            read.extend_from_slice(&buffer[..bytes]);
        }
        read.len() == 100_000
    });
    assert!(read == pattern(200_000)[..100_000]);
}

#[test]
fn what_was_written_is_waited_for() {
    let mut world = World::new();
    let listener = world.listen(80, 16);
    let (client, server) = world.connect(listener, 80);
    world.stacks[CLIENT].tcp_set(client, keep_alive(SECOND_NS), world.now_ns).unwrap();
    world.stacks[CLIENT].tcp_write(client, &[1; 12_000]).unwrap();
    world.stacks[CLIENT].tcp_shutdown_write(client).unwrap();
    assert_eq!(world.stacks[CLIENT].tcp_drained(client), Err(Error::WouldBlock));
    world.run_for(SECOND_NS);
    assert_eq!(world.stacks[CLIENT].tcp_drained(client), Err(Error::WouldBlock), "the peer does not read");
    events(&mut world.stacks[CLIENT]);
    let mut buffer = [0; 5000];
    world.run_until(30 * SECOND_NS, |world| {
        while let Ok(1..) = world.stacks[SERVER].tcp_read(server, &mut buffer) {}
        events(&mut world.stacks[CLIENT]).contains(&Event::Writable(client))
            && world.stacks[CLIENT].tcp_drained(client) == Ok(())
    });
}

#[test]
fn the_receiving_half_ends_for_this_side() {
    let mut world = World::new();
    let listener = world.listen(80, 16);
    let (client, server) = world.connect(listener, 80);
    assert_eq!(world.transfer((CLIENT, client), (SERVER, server), b"x"), b"x");
    world.stacks[CLIENT].tcp_write(client, b"there").unwrap();
    world.run_for(SECOND_NS);
    world.stacks[SERVER].tcp_shutdown_read(server);
    let mut buffer = [0; 9];
    assert_eq!(world.stacks[SERVER].tcp_read(server, &mut buffer), Ok(5));
    assert_eq!(world.stacks[SERVER].tcp_read(server, &mut buffer), Ok(0));
    assert_eq!(world.transfer((SERVER, server), (CLIENT, client), b"still"), b"still");
}

#[test]
fn datagram_sockets_share_a_port_by_consent() {
    let mut world = World::new();
    let stack = &mut world.stacks[SERVER];
    let bind = |stack: &mut Stack, ip, sharing| stack.udp_bind_beside(end(ip, 53), sharing);
    let first = bind(stack, ANY, ADDRESS).unwrap();
    assert_eq!(bind(stack, ANY, Sharing::default()), Err(Error::AddressInUse));
    assert_eq!(bind(stack, ip(CLIENT), ADDRESS), Err(Error::AddressNotAvailable));
    let second = bind(stack, ANY, ADDRESS).unwrap();
    let exact = bind(stack, ip(SERVER), ADDRESS).unwrap();
    let named = bind(stack, ANY, ADDRESS).unwrap();
    stack.udp_connect(named, Some(at(CLIENT, 7))).unwrap();
    assert_eq!(stack.udp_address(named), Ok(at(SERVER, 53)), "an address goes with the peer");
    let heard = |port: u16, everybody: bool, world: &mut World| {
        let mut frame = udp_frame((ip(CLIENT), port), SERVER, 53, b"?");
        if everybody {
            frame[..6].fill(0xff);
            frame[30..34].fill(0xff);
            frame[24..26].fill(0);
            frame[40..42].fill(0);
            let sum = crate::frames::checksum(&frame[14..34]);
            frame[24..26].copy_from_slice(&sum);
        }
        world.inject(SERVER, &frame);
        [first, second, exact, named].map(|id| world.stacks[SERVER].udp_receive(id, &mut [0; 9], false).is_ok())
    };
    assert_eq!(heard(7, false, &mut world), [false, false, false, true]);
    assert_eq!(heard(8, false, &mut world), [false, false, true, false]);
    assert_eq!(heard(8, true, &mut world), [true, true, false, false], "everybody's goes to all that are for all");
    world.stacks[SERVER].udp_close(exact);
    world.stacks[SERVER].udp_connect(named, None).unwrap();
    assert_eq!(world.stacks[SERVER].udp_address(named), Ok(any(53)));
    world.stacks[SERVER].udp_close(named);
    let frame = udp_frame((ip(CLIENT), 8), SERVER, 53, b"?");
    world.inject(SERVER, &frame);
    assert_eq!(world.stacks[SERVER].udp_next_bytes(first), 0);
    assert_eq!(world.stacks[SERVER].udp_next_bytes(second), 1, "the newest");
}

#[test]
fn datagrams_are_spread_over_sockets_that_share_a_port() {
    let mut world = World::new();
    let ids = [(); 3].map(|()| world.stacks[SERVER].udp_bind_beside(any(53), PORT).unwrap());
    let mut counts = [0; 3];
    for port in 1000..1300 {
        for _ in 0..2 {
            world.inject(SERVER, &udp_frame((ip(CLIENT), port), SERVER, 53, b"?"));
        }
        let got =
            ids.map(|id| std::iter::from_fn(|| world.stacks[SERVER].udp_receive(id, &mut [0; 9], false).ok()).count());
        assert!(got.contains(&2), "the same flow goes to the same socket: {got:?}");
        (0..3).for_each(|index| counts[index] += got[index] / 2);
    }
    assert!(counts.iter().all(|count| (60..140).contains(count)), "{counts:?}");
}

#[test]
fn datagrams_know_their_length_and_destination_and_tell_of_room() {
    let mut world = World::new();
    let server = world.stacks[SERVER].udp_bind(any(53)).unwrap();
    events(&mut world.stacks[SERVER]);
    let readiness = world.stacks[SERVER].udp_readiness(server);
    assert_eq!(readiness, Readiness { writable: true, ..Readiness::default() });
    world.inject(SERVER, &udp_frame((ip(CLIENT), 9), SERVER, 53, &[1; 100]));
    assert_eq!(events(&mut world.stacks[SERVER]), [Event::Datagram(server)]);
    assert!(world.stacks[SERVER].udp_readiness(server).readable);
    assert_eq!(world.stacks[SERVER].udp_next_bytes(server), 100);
    let datagram = world.stacks[SERVER].udp_receive_datagram(server, &mut [0; 10], false).unwrap();
    assert_eq!((datagram.copied_bytes, datagram.bytes, datagram.destination), (10, 100, ip(SERVER).into()));
    // Everybody is spoken to by those who said so.
    let everybody = end(Ipv4Addr::BROADCAST, 9);
    assert_eq!(world.stacks[SERVER].udp_send(server, b"all", everybody), Err(Error::PermissionDenied));
    assert_eq!(world.stacks[SERVER].udp_connect(server, Some(everybody)), Err(Error::PermissionDenied));
    world.stacks[SERVER].udp_set(server, UdpOption::Broadcast(true)).unwrap();
    assert_eq!(world.stacks[SERVER].udp_send(server, b"all", everybody), Ok(()));
    // No room, and then some.
    while world.stacks[SERVER].udp_send(server, &[0; 100], at(CLIENT, 9)) == Ok(()) {}
    assert!(!world.stacks[SERVER].udp_readiness(server).writable);
    events(&mut world.stacks[SERVER]);
    world.run_for(10 * MILLISECOND_NS);
    assert!(events(&mut world.stacks[SERVER]).contains(&Event::Room(server)));
    assert!(world.stacks[SERVER].udp_readiness(server).writable);
}
