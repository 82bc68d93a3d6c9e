//! Two stacks talk: whole conversations on good wires and bad ones.

use crate::world::{
    CLIENT, FAMILIES, Family, MILLISECOND_NS, SECOND_NS, SERVER, Weather, World, at, config, end, keep_alive, pattern,
};
use core::net::Ipv4Addr;
use toro_netstack::{Ending, Error, Event, TcpOption};

#[test]
fn a_request_and_its_answer_take_two_segments() {
    FAMILIES.into_iter().for_each(a_request_and_its_answer_of);
}

fn a_request_and_its_answer_of(family: Family) {
    let mut world = World::of(family, config(CLIENT), config(SERVER));
    world.run_for(3 * SECOND_NS); // what an address of IPv6 brings along
    let listener = world.listen(80, 16);
    let (client, server) = world.connect(listener, 80);
    for _ in 0..3 {
        assert_eq!(world.transfer((CLIENT, client), (SERVER, server), b"GET /"), b"GET /");
        assert_eq!(world.transfer((SERVER, server), (CLIENT, client), b"200 OK"), b"200 OK");
    }
    // Once warm, the answer carries the acknowledgement of the request, and the next request that of the answer.
    let before = [0, 1].map(|host| world.stacks[host].statistics().frames_received);
    for _ in 0..10 {
        world.transfer((CLIENT, client), (SERVER, server), b"GET /");
        world.transfer((SERVER, server), (CLIENT, client), b"200 OK");
    }
    let after = [0, 1].map(|host| world.stacks[host].statistics().frames_received);
    assert_eq!([after[0] - before[0], after[1] - before[1]], [10, 10]);
    world.close(client, server);
}

#[test]
fn much_data_arrives_whole_in_any_weather() {
    let data = pattern(300_000);
    let bad = Weather { lost: 50, repeated: 30, delayed: 100, ..Weather::default() };
    for (seed, weather) in [(1, Weather::default()), (2, bad), (3, bad), (4, bad), (5, bad), (6, bad)] {
        for family in FAMILIES {
            let mut world = World::of(family, config(CLIENT), config(SERVER)).seed(seed, weather);
            let listener = world.listen(80, 16);
            let (client, server) = world.connect(listener, 80);
            assert!(world.transfer((CLIENT, client), (SERVER, server), &data) == data, "seed {seed}, up");
            assert!(world.transfer((SERVER, server), (CLIENT, client), &data) == data, "seed {seed}, down");
            world.close(client, server);
            for stack in &world.stacks {
                assert_eq!(stack.statistics().malformed, 0, "seed {seed}");
            }
        }
    }
}

#[test]
fn damage_and_a_machine_that_stood_still_change_nothing() {
    let data = pattern(200_000);
    for (seed, family) in (1..=20).flat_map(|seed| FAMILIES.map(|family| (seed, family))) {
        let weather = Weather { lost: 10, repeated: 10, delayed: 50, damaged: 30, missed: 20 };
        let mut world = World::of(family, config(CLIENT), config(SERVER)).seed(seed, weather);
        let listener = world.listen(80, 16);
        let (client, server) = world.connect(listener, 80);
        assert!(world.transfer((CLIENT, client), (SERVER, server), &data) == data, "seed {seed}, up");
        assert!(world.transfer((SERVER, server), (CLIENT, client), &data) == data, "seed {seed}, down");
        assert!(world.stacks.iter().any(|stack| stack.statistics().malformed > 0), "seed {seed}");
        world.weather = Weather::default();
        world.close(client, server);
    }
}

#[test]
fn checksums_may_be_left_to_the_device() {
    let mut offloading = config(SERVER);
    offloading.link.checksum_offload = true;
    for family in FAMILIES {
        let mut world = World::of(family, config(CLIENT), offloading.clone());
        let listener = world.listen(80, 16);
        let (client, server) = world.connect(listener, 80);
        let data = pattern(20_001);
        assert!(world.transfer((SERVER, server), (CLIENT, client), &data) == data);
        assert_eq!(world.stacks[CLIENT].statistics().malformed, 0);
    }
}

#[test]
fn each_half_closes_by_itself() {
    let mut world = World::new();
    let listener = world.listen(80, 16);
    let (client, server) = world.connect(listener, 80);
    world.transfer((CLIENT, client), (SERVER, server), b"all I have to say");
    world.stacks[CLIENT].tcp_shutdown_write(client).unwrap();
    assert_eq!(world.stacks[CLIENT].tcp_write(client, b"more"), Err(Error::BrokenPipe));
    let mut buffer = [0; 16];
    world.run_until(SECOND_NS, |world| world.stacks[SERVER].tcp_read(server, &mut buffer) == Ok(0));
    // The other direction still works, for long.
    world.run_for(30 * SECOND_NS);
    let data = pattern(50_000);
    assert!(world.transfer((SERVER, server), (CLIENT, client), &data) == data);
    world.stacks[SERVER].tcp_close(server, Ending::Orderly, world.now_ns);
    world.run_until(SECOND_NS, |world| world.stacks[CLIENT].tcp_read(client, &mut buffer) == Ok(0));
    world.stacks[CLIENT].tcp_close(client, Ending::Orderly, world.now_ns);
    world.run_until(SECOND_NS, |world| world.stacks.iter().all(|stack| stack.statistics().connections == 0));
}

#[test]
fn both_ends_close_at_once() {
    let mut world = World::new();
    let listener = world.listen(80, 16);
    let (client, server) = world.connect(listener, 80);
    world.run_for(SECOND_NS);
    world.close(client, server);
}

#[test]
fn what_was_written_before_the_close_arrives() {
    let bad = Weather { lost: 100, delayed: 100, ..Weather::default() };
    for (seed, family) in (1..6).flat_map(|seed| FAMILIES.map(|family| (seed, family))) {
        let mut world = World::of(family, config(CLIENT), config(SERVER)).seed(seed, bad);
        let listener = world.listen(80, 16);
        let (client, server) = world.connect(listener, 80);
        let data = pattern(10_000);
        assert_eq!(world.stacks[SERVER].tcp_write(server, &data), Ok(data.len()));
        world.stacks[SERVER].tcp_close(server, Ending::Orderly, world.now_ns);
        let mut read = Vec::new();
        world.run_until(300 * SECOND_NS, |world| {
            let mut buffer = [0; 1000];
            loop {
                match world.stacks[CLIENT].tcp_read(client, &mut buffer) {
                    Ok(0) => return true,
                    Ok(bytes) => read.extend_from_slice(&buffer[..bytes]),
                    Err(Error::WouldBlock) => return false,
                    Err(error) => panic!("seed {seed}: {error}"),
                }
            }
        });
        assert!(read == data, "seed {seed}");
        world.stacks[CLIENT].tcp_close(client, Ending::Orderly, world.now_ns);
        world.run_until(300 * SECOND_NS, |world| world.stacks.iter().all(|stack| stack.statistics().connections == 0));
    }
}

#[test]
fn a_reset_is_an_error_at_the_other_end() {
    let mut world = World::new();
    let listener = world.listen(80, 16);
    let (client, server) = world.connect(listener, 80);
    let mut buffer = [0; 16];
    assert_eq!(world.stacks[CLIENT].tcp_read(client, &mut buffer), Err(Error::WouldBlock));
    world.stacks[SERVER].tcp_close(server, Ending::Reset, world.now_ns);
    world.run_until(SECOND_NS, |world| world.stacks[CLIENT].next_event() == Some(Event::Readable(client)));
    assert_eq!(world.stacks[CLIENT].tcp_read(client, &mut buffer), Err(Error::ConnectionReset));
    assert_eq!(world.stacks[CLIENT].tcp_read(client, &mut [0; 4]), Ok(0), "it is told once");
    assert_eq!(world.stacks[CLIENT].tcp_write(client, b"?"), Err(Error::BrokenPipe));
    assert_eq!(world.stacks[SERVER].statistics().connections, 0);
}

#[test]
fn closing_with_unread_data_resets() {
    let mut world = World::new();
    let listener = world.listen(80, 16);
    let (client, server) = world.connect(listener, 80);
    world.stacks[CLIENT].tcp_write(client, b"nobody reads this").unwrap();
    world.run_for(SECOND_NS);
    world.stacks[SERVER].tcp_close(server, Ending::Orderly, world.now_ns);
    world.run_for(SECOND_NS);
    assert_eq!(world.stacks[CLIENT].tcp_read(client, &mut [0; 4]), Err(Error::ConnectionReset));
}

#[test]
fn data_for_a_closed_connection_resets_it() {
    let mut world = World::new();
    let listener = world.listen(80, 16);
    let (client, server) = world.connect(listener, 80);
    world.stacks[SERVER].tcp_close(server, Ending::Orderly, world.now_ns);
    world.run_for(SECOND_NS);
    assert_eq!(world.stacks[CLIENT].tcp_write(client, b"anybody there?"), Ok(14));
    world.run_for(SECOND_NS);
    assert_eq!(world.stacks[SERVER].statistics().connections, 0);
    assert_eq!(
        world.stacks[CLIENT].tcp_write(client, b"x"),
        Err(Error::BrokenPipe),
        "as Linux says it: it had ended its side"
    );
}

#[test]
fn nobody_listens() {
    let mut world = World::new();
    let client = world.stacks[CLIENT].tcp_connect(at(SERVER, 81), world.now_ns).unwrap();
    world.run_until(SECOND_NS, |world| world.stacks[CLIENT].tcp_connected(client) == Err(Error::ConnectionRefused));
    world.stacks[CLIENT].tcp_close(client, Ending::Orderly, world.now_ns);
    assert_eq!(world.stacks[CLIENT].statistics().connections, 0);
    assert_eq!(world.stacks[SERVER].statistics().resets_sent, 1);
}

#[test]
fn nobody_is_there() {
    let mut world = World::new();
    let ghost = end(Ipv4Addr::new(10, 0, 0, 99), 80);
    let client = world.stacks[CLIENT].tcp_connect(ghost, world.now_ns).unwrap();
    world.run_until(10 * SECOND_NS, |world| world.stacks[CLIENT].tcp_connected(client) == Err(Error::HostUnreachable));
    let away = end(Ipv4Addr::new(8, 8, 8, 8), 80);
    assert_eq!(world.stacks[CLIENT].tcp_connect(away, world.now_ns), Err(Error::NetworkUnreachable));
}

#[test]
fn a_peer_that_never_answers_is_given_up() {
    let mut world = World::new();
    let listener = world.listen(80, 16);
    let (client, server) = world.connect(listener, 80);
    world.close(client, server);
    world.weather.lost = 1000;
    let client = world.stacks[CLIENT].tcp_connect(at(SERVER, 80), world.now_ns).unwrap();
    world.run_until(120 * SECOND_NS, |world| match world.stacks[CLIENT].tcp_connected(client) {
        Err(Error::WouldBlock) => false,
        result => {
            assert!(matches!(result, Err(Error::TimedOut | Error::HostUnreachable)), "{result:?}");
            true
        }
    });
}

#[test]
fn a_shut_window_holds_the_writer_and_opens_again() {
    let mut world = World::new();
    let listener = world.listen(80, 16);
    let (client, server) = world.connect(listener, 80);
    let data = pattern(100_000);
    let mut written = 0;
    for _ in 0..50 {
        match world.stacks[CLIENT].tcp_write(client, &data[written..]) {
            Ok(bytes) => written += bytes,
            Err(Error::WouldBlock) => {}
            Err(error) => panic!("{error}"),
        }
        world.run_for(SECOND_NS);
    }
    // Receive buffer, send buffer, and not a byte more.
    assert_eq!(written, 8192 + 16384);
    world.run_for(200 * SECOND_NS);
    while world.stacks[CLIENT].next_event().is_some() {}
    let mut read = Vec::new();
    let mut buffer = [0; 3000];
    let before = world.now_ns;
    world.run_until(600 * SECOND_NS, |world| {
        while let Ok(bytes) = world.stacks[SERVER].tcp_read(server, &mut buffer) {
            read.extend_from_slice(&buffer[..bytes]);
        }
        while let Ok(bytes) = world.stacks[CLIENT].tcp_write(client, &data[written..]) {
            if bytes == 0 {
                break;
            }
            written += bytes;
        }
        read.len() == data.len()
    });
    assert!(read == data);
    assert!(world.now_ns - before < 5 * SECOND_NS, "the window update was late: {} ns", world.now_ns - before);
}

#[test]
fn small_writes_gather_unless_told_not_to() {
    for (no_delay, frames_max) in [(false, 12), (true, 40)] {
        let mut world = World::new();
        world.latency_ns = 20 * MILLISECOND_NS;
        let listener = world.listen(80, 16);
        let (client, server) = world.connect(listener, 80);
        world.stacks[CLIENT].tcp_set(client, TcpOption::NoDelay(no_delay), world.now_ns).unwrap();
        world.run_for(SECOND_NS);
        let before = world.stacks[SERVER].statistics().frames_received;
        for _ in 0..30 {
            world.stacks[CLIENT].tcp_write(client, b"x").unwrap();
            world.run_for(MILLISECOND_NS);
        }
        world.run_for(SECOND_NS);
        let frames = world.stacks[SERVER].statistics().frames_received - before;
        assert!(frames <= frames_max && (no_delay == (frames >= 30)), "{frames} frames, no_delay {no_delay}");
        let mut buffer = [0; 64];
        assert_eq!(world.stacks[SERVER].tcp_read(server, &mut buffer), Ok(30));
    }
}

#[test]
fn keep_alive_finds_a_dead_peer() {
    let mut world = World::new();
    let listener = world.listen(80, 16);
    let (client, server) = world.connect(listener, 80);
    world.stacks[SERVER].tcp_set(server, keep_alive(10 * SECOND_NS), world.now_ns).unwrap();
    world.run_for(200 * SECOND_NS);
    assert_eq!(world.stacks[SERVER].tcp_read(server, &mut [0; 4]), Err(Error::WouldBlock));
    assert_eq!(world.stacks[CLIENT].tcp_connected(client), Ok(()));
    world.weather.lost = 1000;
    world.run_for(100 * SECOND_NS);
    assert!(matches!(
        world.stacks[SERVER].tcp_read(server, &mut [0; 4]),
        Err(Error::ConnectionReset | Error::TimedOut)
    ));
}

#[test]
fn an_idle_connection_wakes_nobody() {
    let mut world = World::new();
    let listener = world.listen(80, 16);
    let (client, server) = world.connect(listener, 80);
    world.transfer((CLIENT, client), (SERVER, server), b"hello");
    world.run_for(5 * SECOND_NS);
    assert_eq!(world.stacks[CLIENT].next_deadline(), None);
    assert_eq!(world.stacks[SERVER].next_deadline(), None);
}

#[test]
fn a_machine_talks_to_itself() {
    let mut world = World::new();
    let listener = world.listen(80, 16);
    for target in [at(SERVER, 80), end(Ipv4Addr::LOCALHOST, 80)] {
        let stack = &mut world.stacks[SERVER];
        let client = stack.tcp_connect(target, 0).unwrap();
        stack.flush(&mut toro_netstack::NoDevice, 0);
        let (server, _) = stack.tcp_accept(listener).unwrap();
        let data = pattern(100_000);
        let got = world.transfer((SERVER, client), (SERVER, server), &data);
        assert!(got == data);
        world.stacks[SERVER].tcp_close(client, Ending::Orderly, world.now_ns);
        world.stacks[SERVER].tcp_close(server, Ending::Orderly, world.now_ns);
        world.run_for(SECOND_NS);
        assert_eq!(world.stacks[SERVER].statistics().connections, 0);
    }
}

#[test]
fn a_full_device_delays_and_loses_nothing() {
    let mut world = World::new();
    let listener = world.listen(80, 16);
    let (client, server) = world.connect(listener, 80);
    world.ports[SERVER].room = 1;
    let data = pattern(50_000);
    assert!(world.transfer((SERVER, server), (CLIENT, client), &data) == data);
}
