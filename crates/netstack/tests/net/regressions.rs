//! Faults that were found once: long silences, shut windows, ends that nobody heard of, connections that stayed.

use crate::frames::{Flags, Segment};
use crate::world::{CLIENT, MILLISECOND_NS, SECOND_NS, SERVER, World, at, config, end, keep_alive, pattern};
use core::net::Ipv4Addr;
use toro_netstack::{ConnectionId, Ending, Error, Event, Flushed, NoDevice, Received, Stack};

fn events(world: &mut World, host: usize) -> Vec<Event> {
    std::iter::from_fn(|| world.stacks[host].next_event()).collect()
}

/// Writes until nothing more is taken and the window is shut.
fn fill(world: &mut World, host: usize, id: ConnectionId) -> usize {
    let mut written = 0;
    for _ in 0..20 {
        while let Ok(bytes) = world.stacks[host].tcp_write(id, &[7; 4096]) {
            written += bytes;
        }
        world.run_for(SECOND_NS / 2);
    }
    written
}

/// Reads what is there: how much, and what came instead of more.
fn drain(world: &mut World, host: usize, id: ConnectionId) -> (usize, Result<usize, Error>) {
    let mut read = 0;
    let mut buffer = [0; 4096];
    loop {
        match world.stacks[host].tcp_read(id, &mut buffer) {
            Ok(bytes) if bytes > 0 => read += bytes,
            other => return (read, other),
        }
    }
}

/// Lets a host speak and loses what it says; how many frames that were.
fn lose(world: &mut World, host: usize) -> usize {
    let now = world.now_ns;
    world.stacks[host].flush(&mut world.ports[host], now);
    let lost = world.ports[host].sent.len();
    world.ports[host].sent.clear();
    lost
}

/// The sequence and acknowledgement numbers of a frame.
fn numbers(frame: &[u8]) -> (u32, u32) {
    let number = |at: usize| u32::from_be_bytes([frame[at], frame[at + 1], frame[at + 2], frame[at + 3]]);
    (number(38), number(42))
}

#[test]
fn one_loss_after_a_long_silence_is_repaired() {
    let mut world = World::new();
    let listener = world.listen(80, 16);
    let (client, server) = world.connect(listener, 80);
    world.transfer((CLIENT, client), (SERVER, server), b"hello");
    world.run_for(400 * SECOND_NS);
    world.stacks[CLIENT].tcp_write(client, b"ping").unwrap();
    assert!(lose(&mut world, CLIENT) > 0);
    world.run_for(10 * SECOND_NS);
    assert_eq!(drain(&mut world, SERVER, server), (4, Err(Error::WouldBlock)));
    assert_eq!(world.stacks[CLIENT].tcp_connected(client), Ok(()));
}

#[test]
fn a_lost_end_after_a_long_silence_is_said_again() {
    let mut world = World::new();
    let listener = world.listen(80, 16);
    let (client, server) = world.connect(listener, 80);
    world.transfer((CLIENT, client), (SERVER, server), b"hello");
    world.run_for(400 * SECOND_NS);
    world.stacks[SERVER].tcp_close(server, Ending::Orderly, world.now_ns);
    assert!(lose(&mut world, SERVER) > 0);
    world.run_for(10 * SECOND_NS);
    assert_eq!(world.stacks[CLIENT].tcp_read(client, &mut [0; 4]), Ok(0));
}

#[test]
fn a_peer_that_is_gone_is_given_up_after_a_long_silence() {
    let mut world = World::new();
    let listener = world.listen(80, 16);
    let (client, _server) = world.connect(listener, 80);
    world.run_for(400 * SECOND_NS);
    world.weather.lost = 1000;
    world.stacks[CLIENT].tcp_write(client, b"ping").unwrap();
    world.run_for(250 * SECOND_NS);
    assert_eq!(world.stacks[CLIENT].tcp_connected(client), Ok(()));
    world.run_for(150 * SECOND_NS);
    assert_eq!(world.stacks[CLIENT].tcp_connected(client), Err(Error::TimedOut));
}

#[test]
fn an_end_under_way_keeps_its_timer_when_the_window_opens() {
    let mut world = World::new();
    let listener = world.listen(80, 16);
    let (client, server) = world.connect(listener, 80);
    // Exactly the receive buffer: everything acknowledged, the window shut.
    let mut written = 0;
    while written < 8192 {
        written += world.stacks[CLIENT].tcp_write(client, &vec![1; 8192 - written]).unwrap();
        world.run_for(SECOND_NS);
    }
    world.stacks[CLIENT].tcp_shutdown_write(client).unwrap();
    assert!(lose(&mut world, CLIENT) > 0);
    assert_eq!(drain(&mut world, SERVER, server), (8192, Err(Error::WouldBlock)));
    world.run_for(20 * SECOND_NS);
    assert_eq!(world.stacks[SERVER].tcp_read(server, &mut [0; 4]), Ok(0));
}

#[test]
fn the_peers_end_wakes_a_reader_whatever_we_still_have_to_send() {
    let mut world = World::new();
    let listener = world.listen(80, 16);
    let (client, server) = world.connect(listener, 80);
    fill(&mut world, CLIENT, client);
    world.stacks[CLIENT].tcp_shutdown_write(client).unwrap();
    assert_eq!(world.stacks[CLIENT].tcp_read(client, &mut [0; 4]), Err(Error::WouldBlock));
    events(&mut world, CLIENT);
    world.stacks[SERVER].tcp_shutdown_write(server).unwrap();
    world.run_for(SECOND_NS);
    assert!(events(&mut world, CLIENT).contains(&Event::Readable(client)));
    assert_eq!(world.stacks[CLIENT].tcp_read(client, &mut [0; 4]), Ok(0));
}

#[test]
fn a_reset_after_our_end_is_no_end_of_the_stream() {
    let mut world = World::new();
    let listener = world.listen(80, 16);
    let (client, server) = world.connect(listener, 80);
    world.transfer((CLIENT, client), (SERVER, server), b"GET /");
    world.stacks[CLIENT].tcp_shutdown_write(client).unwrap();
    world.run_for(SECOND_NS);
    world.stacks[SERVER].tcp_write(server, b"half of the answ").unwrap();
    world.run_for(SECOND_NS);
    world.stacks[SERVER].tcp_close(server, Ending::Reset, world.now_ns);
    world.run_for(SECOND_NS);
    assert_eq!(drain(&mut world, CLIENT, client), (16, Err(Error::ConnectionReset)));
}

#[test]
fn an_orphan_outlives_a_slow_reader() {
    let mut world = World::new();
    let listener = world.listen(80, 16);
    let (client, server) = world.connect(listener, 80);
    let written = fill(&mut world, SERVER, server);
    world.stacks[SERVER].tcp_close(server, Ending::Orderly, world.now_ns);
    world.run_for(180 * SECOND_NS);
    let mut read = 0;
    let mut last = Err(Error::WouldBlock);
    for _ in 0..100 {
        let (bytes, then) = drain(&mut world, CLIENT, client);
        read += bytes;
        last = then;
        world.run_for(SECOND_NS);
    }
    assert_eq!((read, last), (written, Ok(0)));
}

#[test]
fn an_orphan_behind_a_shut_window_is_given_up() {
    let mut world = World::new();
    let listener = world.listen(80, 16);
    let (client, server) = world.connect(listener, 80);
    fill(&mut world, SERVER, server);
    world.stacks[SERVER].tcp_close(server, Ending::Orderly, world.now_ns);
    world.run_for(400 * SECOND_NS);
    assert_eq!(world.stacks[SERVER].statistics().connections, 0);
    assert_eq!(drain(&mut world, CLIENT, client).1, Err(Error::ConnectionReset));
}

#[test]
fn an_orphan_is_not_pinned_by_acknowledgements() {
    let mut world = World::new();
    let listener = world.listen(80, 16);
    let (client, server) = world.connect(listener, 80);
    let (local, remote) = world.stacks[CLIENT].tcp_ends(client).unwrap();
    world.stacks[SERVER].tcp_close(server, Ending::Orderly, world.now_ns);
    let now = world.now_ns;
    world.stacks[SERVER].flush(&mut world.ports[SERVER], now);
    let (sequence, acknowledgement) = numbers(&world.ports[SERVER].sent.pop_front().unwrap());
    // The end is acknowledged, and again, and again; the peer's own end never comes.
    let frame = Segment::between(CLIENT, local.port(), SERVER, remote.port())
        .sequence(acknowledgement)
        .acknowledgement(sequence.wrapping_add(1))
        .flags(Flags::ACK)
        .frame();
    for _ in 0..10 {
        world.inject(SERVER, &frame);
        world.run_for(20 * SECOND_NS);
    }
    assert_eq!(world.stacks[SERVER].statistics().connections, 0);
}

#[test]
fn asking_about_a_shut_window_does_not_slow_down_what_follows() {
    let mut world = World::new();
    let listener = world.listen(80, 16);
    let (client, server) = world.connect(listener, 80);
    fill(&mut world, CLIENT, client);
    world.run_for(600 * SECOND_NS);
    assert!(drain(&mut world, SERVER, server).0 > 0);
    // The news of the window gets through; what it lets go is lost.
    let now = world.now_ns;
    world.stacks[SERVER].flush(&mut world.ports[SERVER], now);
    while let Some(frame) = world.ports[SERVER].sent.pop_front() {
        world.stacks[CLIENT].receive(&frame, Received::Unverified, now);
    }
    assert!(lose(&mut world, CLIENT) > 0);
    world.run_for(1500 * MILLISECOND_NS);
    assert!(drain(&mut world, SERVER, server).0 > 0);
}

#[test]
fn nothing_stays_for_a_peer_that_cannot_be_reached() {
    let mut world = World::new();
    let listener = world.listen(80, 64);
    let mut held = Vec::new();
    for _ in 0..20 {
        let (client, server) = world.connect(listener, 80);
        world.stacks[CLIENT].tcp_write(client, b"unread").unwrap();
        world.run_for(SECOND_NS / 10);
        held.push(server);
    }
    let (_, talker) = world.connect(listener, 80);
    world.run_for(SECOND_NS);
    world.weather.lost = 1000;
    world.run_for(70 * SECOND_NS);
    world.stacks[SERVER].tcp_write(talker, b"are you there").unwrap();
    world.run_for(20 * SECOND_NS);
    for server in held {
        world.stacks[SERVER].tcp_close(server, Ending::Orderly, world.now_ns);
    }
    world.run_for(400 * SECOND_NS);
    // The one that a program holds.
    assert_eq!(world.stacks[SERVER].statistics().connections, 1);
}

#[test]
fn keep_alive_on_a_dead_connection_does_nothing() {
    let mut world = World::new();
    let listener = world.listen(80, 16);
    let (client, server) = world.connect(listener, 80);
    let now = world.now_ns;
    assert_eq!(world.stacks[SERVER].tcp_set(server, keep_alive(0), now), Err(Error::InvalidInput));
    world.stacks[CLIENT].tcp_close(client, Ending::Reset, world.now_ns);
    world.run_for(SECOND_NS);
    let now = world.now_ns;
    assert_eq!(world.stacks[SERVER].tcp_set(server, keep_alive(10 * SECOND_NS), now), Ok(()));
    assert_eq!(world.stacks[SERVER].next_deadline(), None);
}

#[test]
fn shutting_down_wakes_a_blocked_writer() {
    let mut world = World::new();
    let listener = world.listen(80, 16);
    let (client, _server) = world.connect(listener, 80);
    fill(&mut world, CLIENT, client);
    assert_eq!(world.stacks[CLIENT].tcp_write(client, b"x"), Err(Error::WouldBlock));
    events(&mut world, CLIENT);
    world.stacks[CLIENT].tcp_shutdown_write(client).unwrap();
    assert!(events(&mut world, CLIENT).contains(&Event::Writable(client)));
    assert_eq!(world.stacks[CLIENT].tcp_write(client, b"x"), Err(Error::BrokenPipe));
}

#[test]
fn a_dead_connection_does_not_block_its_ends() {
    let mut world = World::new();
    let listener = world.listen(80, 16);
    let (client, server) = world.connect(listener, 80);
    let (local, remote) = world.stacks[CLIENT].tcp_ends(client).unwrap();
    world.stacks[CLIENT].tcp_close(client, Ending::Reset, world.now_ns);
    world.run_for(SECOND_NS);
    assert_eq!(world.stacks[SERVER].tcp_read(server, &mut [0; 4]), Err(Error::ConnectionReset));
    let syn = Segment::between(CLIENT, local.port(), SERVER, remote.port()).flags(Flags::SYN);
    world.inject(SERVER, &syn.sequence(7).frame());
    assert_eq!(world.stacks[SERVER].statistics().handshakes, 1);
    // Letting go of the dead one leaves the new one alone.
    world.stacks[SERVER].tcp_close(server, Ending::Orderly, world.now_ns);
    world.inject(SERVER, &syn.sequence(7).frame());
    assert_eq!(world.stacks[SERVER].statistics().handshakes, 1);
}

#[test]
fn a_full_card_does_not_hold_up_loopback() {
    let mut world = World::new();
    let listener = world.listen(80, 16);
    let (_client, server) = world.connect(listener, 80);
    world.ports[SERVER].room = 0;
    let now = world.now_ns;
    let stack = &mut world.stacks[SERVER];
    stack.tcp_write(server, b"for the wire").unwrap();
    let own = stack.tcp_connect(end(Ipv4Addr::LOCALHOST, 80), now).unwrap();
    for step in 0..4 {
        assert_eq!(stack.flush(&mut world.ports[SERVER], now + step), Flushed::DeviceFull);
    }
    assert_eq!(stack.tcp_connected(own), Ok(()));
}

#[test]
fn a_full_loopback_is_no_full_device() {
    let mut stack = Stack::new(config(SERVER));
    let listener = stack.tcp_listen(end(Ipv4Addr::LOCALHOST, 80), 128).unwrap();
    let mut clients = Vec::new();
    for _ in 0..60 {
        let client = stack.tcp_connect(end(Ipv4Addr::LOCALHOST, 80), 0).unwrap();
        while stack.flush(&mut NoDevice, 0) != Flushed::Whole {}
        stack.tcp_accept(listener).unwrap();
        clients.push(client);
    }
    for client in &clients {
        stack.tcp_write(*client, &[1; 8192]).unwrap();
    }
    let mut flushed = stack.flush(&mut NoDevice, 1000);
    for _ in 0..10 {
        assert_ne!(flushed, Flushed::DeviceFull);
        flushed = stack.flush(&mut NoDevice, 1000);
    }
    assert_eq!(flushed, Flushed::Whole);
}

#[test]
fn data_with_an_ancient_acknowledgement_is_not_taken() {
    let mut world = World::new();
    let listener = world.listen(80, 16);
    let (client, server) = world.connect(listener, 80);
    let (local, remote) = world.stacks[CLIENT].tcp_ends(client).unwrap();
    world.stacks[CLIENT].tcp_write(client, b"a").unwrap();
    let now = world.now_ns;
    world.stacks[CLIENT].flush(&mut world.ports[CLIENT], now);
    let frame = world.ports[CLIENT].sent.pop_front().unwrap();
    let (sequence, acknowledgement) = numbers(&frame);
    world.inject(SERVER, &frame);
    let segment = Segment::between(CLIENT, local.port(), SERVER, remote.port()).sequence(sequence + 1);
    let guessed = segment.acknowledgement(acknowledgement.wrapping_sub(0x7000_0000)).flags(Flags::ACK);
    world.inject(SERVER, &guessed.payload(b"EVIL").frame());
    assert_eq!(drain(&mut world, SERVER, server), (1, Err(Error::WouldBlock)));
}

#[test]
fn both_may_ask_at_once() {
    let mut world = World::new();
    let client = world.stacks[CLIENT].tcp_connect(at(SERVER, 33000), world.now_ns).unwrap();
    let now = world.now_ns;
    for host in [CLIENT, SERVER] {
        world.stacks[host].flush(&mut world.ports[host], now);
        let frame = world.ports[host].sent.pop_front().unwrap();
        world.inject(1 - host, &frame);
    }
    world.stacks[CLIENT].flush(&mut world.ports[CLIENT], now);
    let (isn, _) = numbers(&world.ports[CLIENT].sent.pop_front().unwrap());
    let (local, remote) = world.stacks[CLIENT].tcp_ends(client).unwrap();
    let peer = Segment::between(SERVER, remote.port(), CLIENT, local.port()).sequence(5000);
    world.inject(CLIENT, &peer.flags(Flags::SYN).frame());
    world.stacks[CLIENT].flush(&mut world.ports[CLIENT], now);
    let answer = world.ports[CLIENT].sent.pop_front().unwrap();
    assert_eq!((answer[47], numbers(&answer)), (Flags::SYN | Flags::ACK, (isn, 5001)));
    world.inject(CLIENT, &peer.flags(Flags::SYN | Flags::ACK).acknowledgement(isn.wrapping_add(1)).frame());
    assert_eq!(world.stacks[CLIENT].tcp_connected(client), Ok(()));
}

#[test]
fn a_connection_is_never_to_itself() {
    let mut stack = Stack::new(config(SERVER));
    // A hundred thousand tries, each with one chance in 28232.
    for port in 32768..34768 {
        for _ in 0..50 {
            let client = stack.tcp_connect(end(Ipv4Addr::LOCALHOST, port), 0).unwrap();
            assert_ne!(stack.tcp_ends(client).unwrap().0.port(), port);
            stack.tcp_close(client, Ending::Reset, 0);
        }
    }
}

#[test]
fn numbers_go_on_where_a_remembered_connection_ended() {
    let mut world = World::new();
    world.latency_ns = 1000;
    let listener = world.listen(80, 16);
    let (client, server) = world.connect(listener, 80);
    let (local, remote) = world.stacks[CLIENT].tcp_ends(client).unwrap();
    // More than the clock gives a new connection.
    world.transfer((SERVER, server), (CLIENT, client), &pattern(2_000_000));
    world.stacks[SERVER].tcp_close(server, Ending::Orderly, world.now_ns);
    let now = world.now_ns;
    world.stacks[SERVER].flush(&mut world.ports[SERVER], now);
    let (last, expected) = numbers(world.ports[SERVER].sent.back().unwrap());
    world.run_for(MILLISECOND_NS);
    world.stacks[CLIENT].tcp_close(client, Ending::Orderly, world.now_ns);
    world.run_for(MILLISECOND_NS);
    assert_eq!(world.stacks[SERVER].statistics().remembered, 1);
    let syn = Segment::between(CLIENT, local.port(), SERVER, remote.port()).flags(Flags::SYN);
    world.inject(SERVER, &syn.sequence(expected.wrapping_add(1000)).frame());
    let now = world.now_ns;
    world.stacks[SERVER].flush(&mut world.ports[SERVER], now);
    let answer = world.ports[SERVER].sent.back().unwrap();
    assert_eq!(answer[47], Flags::SYN | Flags::ACK);
    assert!(numbers(answer).0.wrapping_sub(last) as i32 > 0);
}

#[test]
fn an_unanswered_handshake_is_repeated_four_times_and_forgotten() {
    let mut world = World::new();
    let listener = world.listen(80, 16);
    world.connect(listener, 80);
    world.run_for(SECOND_NS / 2);
    // Handshakes that are over wake nobody.
    assert_eq!(world.stacks[SERVER].next_deadline(), None);
    let syn = Segment::between(CLIENT, 999, SERVER, 80).flags(Flags::SYN).frame();
    let started = world.now_ns;
    world.inject(SERVER, &syn);
    let mut answers = Vec::new();
    loop {
        let now = world.now_ns;
        world.stacks[SERVER].flush(&mut world.ports[SERVER], now);
        let sent = world.ports[SERVER].sent.drain(..).filter(|frame| frame[47] == Flags::SYN | Flags::ACK).count();
        answers.extend(std::iter::repeat_n((now - started) / SECOND_NS, sent));
        let Some(next) = world.stacks[SERVER].next_deadline() else { break };
        world.now_ns = next;
    }
    assert_eq!(answers, [0, 1, 3, 7, 15]);
    assert_eq!((world.now_ns - started) / SECOND_NS, 31);
    assert_eq!(world.stacks[SERVER].statistics().handshakes, 0);
}

#[test]
fn a_held_connection_that_is_over_does_not_keep_its_ends() {
    let mut world = World::new();
    let listener = world.listen(80, 16);
    let (client, server) = world.connect(listener, 80);
    world.stacks[CLIENT].tcp_write(client, b"last words").unwrap();
    world.stacks[SERVER].tcp_shutdown_write(server).unwrap();
    world.run_for(SECOND_NS);
    let (ends, _) = world.stacks[CLIENT].tcp_ends(client).unwrap();
    world.stacks[CLIENT].tcp_close(client, Ending::Reset, world.now_ns);
    let abandoned = lose(&mut world, CLIENT);
    assert!(abandoned > 0, "the reset never arrives");
    // What the client would have said instead: its end, in order.
    let next = |world: &mut World| {
        world.stacks[SERVER].flush(&mut world.ports[SERVER], world.now_ns);
        world.ports[SERVER].sent.pop_back().map(|frame| numbers(&frame))
    };
    let segment = Segment::between(CLIENT, ends.port(), SERVER, 80);
    world.inject(SERVER, &segment.sequence(0).flags(Flags::ACK).payload(b"?").frame());
    let (sequence, expected) = next(&mut world).expect("an acknowledgement of what is expected");
    let end = segment.sequence(expected).acknowledgement(sequence).flags(Flags::FIN | Flags::ACK);
    world.inject(SERVER, &end.frame());
    next(&mut world).expect("the end is acknowledged");
    // An old one is answered with what is expected; a new one opens, though the program holds the old connection.
    world.inject(SERVER, &segment.sequence(expected.wrapping_sub(9)).flags(Flags::SYN).frame());
    world.stacks[SERVER].flush(&mut world.ports[SERVER], world.now_ns);
    assert!(world.ports[SERVER].sent.drain(..).all(|frame| frame[47] & Flags::SYN == 0));
    world.inject(SERVER, &segment.sequence(expected.wrapping_add(9)).flags(Flags::SYN).frame());
    world.stacks[SERVER].flush(&mut world.ports[SERVER], world.now_ns);
    let answer = world.ports[SERVER].sent.pop_back().expect("an answer");
    let (isn, acknowledged) = numbers(&answer);
    assert_eq!((answer[47], acknowledged), (Flags::SYN | Flags::ACK, expected.wrapping_add(10)));
    assert!((isn.wrapping_sub(sequence) as i32) > 0, "beyond the numbers of the old connection");
    assert_eq!(drain(&mut world, SERVER, server), (10, Ok(0)), "what had come can still be read");
    let third = segment.sequence(expected.wrapping_add(10)).acknowledgement(isn.wrapping_add(1)).flags(Flags::ACK);
    world.inject(SERVER, &third.frame());
    assert!(world.stacks[SERVER].tcp_accept(listener).is_ok());
}
