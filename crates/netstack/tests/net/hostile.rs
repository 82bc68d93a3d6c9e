//! Peers that keep no rules: whatever arrives, the stack goes on, and others are not disturbed.

use crate::frames::{Flags, Segment, arp_frame, icmp_frame, udp_frame};
use crate::world::{CLIENT, SECOND_NS, SERVER, World, at, end, ip, mac};
use core::net::Ipv4Addr;
use toro_netstack::Error;

#[test]
fn every_damaged_byte_of_a_segment_is_noticed_or_harmless() {
    let mut world = World::new();
    let listener = world.listen(80, 16);
    let (client, server) = world.connect(listener, 80);
    let (local, remote) = world.stacks[CLIENT].tcp_ends(client).unwrap();
    let frame =
        Segment::between(CLIENT, local.port(), SERVER, remote.port()).flags(Flags::ACK).payload(b"evil").frame();
    for index in 14..frame.len() {
        for flip in [1, 0x80, 0xff] {
            let mut damaged = frame.clone();
            damaged[index] ^= flip;
            world.inject(SERVER, &damaged);
        }
    }
    for len in 0..frame.len() {
        world.inject(SERVER, &frame[..len]);
    }
    world.turn();
    assert_eq!(world.stacks[SERVER].tcp_read(server, &mut [0; 64]), Err(Error::WouldBlock));
    assert_eq!(world.transfer((CLIENT, client), (SERVER, server), b"good"), b"good");
}

#[test]
fn segments_outside_the_window_change_nothing() {
    let mut world = World::new();
    let listener = world.listen(80, 16);
    let (client, server) = world.connect(listener, 80);
    let (local, remote) = world.stacks[CLIENT].tcp_ends(client).unwrap();
    let segment = Segment::between(CLIENT, local.port(), SERVER, remote.port());
    for guess in 0..2000u32 {
        let sequence = guess.wrapping_mul(0x9e37_79b9);
        for flags in [Flags::RST, Flags::SYN, Flags::FIN | Flags::ACK, Flags::RST | Flags::ACK, Flags::ACK] {
            let wild = segment.sequence(sequence).acknowledgement(sequence ^ 0x5555).flags(flags).payload(b"no");
            world.inject(SERVER, &wild.frame());
        }
        world.turn();
    }
    world.run_for(SECOND_NS);
    assert_eq!(world.transfer((CLIENT, client), (SERVER, server), b"good"), b"good");
    assert_eq!(world.transfer((SERVER, server), (CLIENT, client), b"good"), b"good");
}

#[test]
fn strange_segments_are_answered_with_a_reset_and_resets_are_not_answered() {
    let mut world = World::new();
    world.listen(80, 16);
    let count = |world: &World| world.stacks[SERVER].statistics().resets_sent;
    let stray = Segment::between(CLIENT, 999, SERVER, 80);
    world.inject(SERVER, &stray.flags(Flags::ACK).acknowledgement(5).frame());
    world.inject(SERVER, &stray.flags(Flags::FIN | Flags::ACK).frame());
    world.inject(SERVER, &Segment::between(CLIENT, 999, SERVER, 81).flags(Flags::SYN).frame());
    assert_eq!(count(&world), 3);
    world.inject(SERVER, &stray.flags(Flags::RST).frame());
    world.inject(SERVER, &stray.flags(Flags::RST | Flags::ACK).frame());
    assert_eq!(count(&world), 3);
    let statistics = world.stacks[SERVER].statistics();
    assert_eq!((statistics.connections, statistics.handshakes), (0, 0));
}

#[test]
fn a_third_segment_with_a_guessed_number_opens_nothing() {
    let mut world = World::new();
    world.listen(80, 16);
    let peer = Segment::between(CLIENT, 999, SERVER, 80);
    world.inject(SERVER, &peer.flags(Flags::SYN).frame());
    for guess in 0..1000u32 {
        let wild = peer.sequence(1001).acknowledgement(guess.wrapping_mul(0x9e37_79b9)).flags(Flags::ACK);
        world.inject(SERVER, &wild.frame());
    }
    assert_eq!(world.stacks[SERVER].statistics().connections, 0);
    // The handshake itself can be taken back, by a reset with the right number only.
    world.inject(SERVER, &peer.sequence(7).flags(Flags::RST).frame());
    assert_eq!(world.stacks[SERVER].statistics().handshakes, 1);
    world.inject(SERVER, &peer.sequence(1001).flags(Flags::RST).frame());
    assert_eq!(world.stacks[SERVER].statistics().handshakes, 0);
}

#[test]
fn addresses_that_cannot_be_are_dropped() {
    let mut world = World::new();
    world.listen(80, 16);
    for source in [
        Ipv4Addr::LOCALHOST,
        Ipv4Addr::UNSPECIFIED,
        Ipv4Addr::BROADCAST,
        Ipv4Addr::new(224, 0, 0, 1),
        ip(SERVER),
        Ipv4Addr::new(10, 0, 0, 255),
    ] {
        world.inject(SERVER, &Segment::from_ip(source, 999, SERVER, 80).flags(Flags::SYN).frame());
        world.turn();
    }
    // A frame for another station, and one for a broadcast address that a connection cannot have.
    let mut other = Segment::between(CLIENT, 999, SERVER, 80).flags(Flags::SYN).frame();
    other[..6].copy_from_slice(&mac(CLIENT));
    world.inject(SERVER, &other);
    other[..6].fill(0xff);
    world.inject(SERVER, &other);
    assert_eq!(world.stacks[SERVER].statistics().connections, 0);
    assert!(world.stacks[SERVER].statistics().handshakes <= 1);
}

#[test]
fn announcements_do_not_redirect_a_neighbour() {
    let mut world = World::new();
    let listener = world.listen(80, 16);
    let (client, server) = world.connect(listener, 80);
    let evil = [0x52, 0x54, 0, 0, 0, 0x66];
    // An answer nobody asked for, an announcement, and a request that claims our own address.
    world.inject(SERVER, &arp_frame(2, (evil, ip(CLIENT)), SERVER, ip(SERVER)));
    world.inject(SERVER, &arp_frame(2, (evil, ip(CLIENT)), SERVER, ip(CLIENT)));
    world.inject(SERVER, &arp_frame(1, (evil, ip(CLIENT)), SERVER, ip(CLIENT)));
    world.inject(SERVER, &arp_frame(1, (evil, ip(SERVER)), SERVER, ip(SERVER)));
    world.inject(SERVER, &arp_frame(1, ([1; 6], ip(CLIENT)), SERVER, ip(SERVER)));
    world.stacks[SERVER].tcp_write(server, b"to the client").unwrap();
    let now_ns = world.now_ns;
    world.stacks[SERVER].flush(&mut world.ports[SERVER], now_ns);
    for frame in &world.ports[SERVER].sent {
        assert_ne!(frame[..6], evil);
    }
    assert_eq!(world.transfer((SERVER, server), (CLIENT, client), b""), b"");
}

#[test]
fn a_storm_of_neighbours_is_bounded() {
    let mut world = World::new();
    let listener = world.listen(80, 16);
    let (client, server) = world.connect(listener, 80);
    for host in 0..2000u32 {
        let source = Ipv4Addr::from_bits(0x0a00_0000 + 10 + host % 240);
        world.inject(SERVER, &arp_frame(1, ([2, 0, 0, 0, (host >> 8) as u8, host as u8], source), SERVER, ip(SERVER)));
        world.turn();
    }
    assert_eq!(world.transfer((CLIENT, client), (SERVER, server), b"good"), b"good");
}

#[test]
fn icmp_errors_need_a_connection_attempt_and_its_number() {
    let mut world = World::new();
    world.latency_ns = SECOND_NS / 10;
    let listener = world.listen(80, 16);
    let (open, server) = world.connect(listener, 80);
    let opening = world.stacks[CLIENT].tcp_connect(at(SERVER, 80), world.now_ns).unwrap();
    world.turn();
    for id in [open, opening] {
        let (local, remote) = world.stacks[CLIENT].tcp_ends(id).unwrap();
        let mut quoted = Segment::between(CLIENT, local.port(), SERVER, remote.port()).frame()[14..].to_vec();
        quoted[16..20].copy_from_slice(&ip(SERVER).octets());
        for code in 0..16 {
            let mut message = vec![3, code, 0, 0, 0, 0, 0, 0];
            message.extend_from_slice(&quoted);
            for len in 8..message.len() {
                world.inject(CLIENT, &icmp_frame(ip(SERVER), CLIENT, message[..len].to_vec()));
            }
            world.inject(CLIENT, &icmp_frame(ip(SERVER), CLIENT, message));
        }
    }
    world.run_for(SECOND_NS);
    assert_eq!(world.stacks[CLIENT].tcp_connected(opening), Ok(()));
    assert_eq!(world.transfer((CLIENT, open), (SERVER, server), b"good"), b"good");
}

#[test]
fn datagrams_with_lying_lengths_are_dropped() {
    let mut world = World::new();
    let socket = world.stacks[SERVER].udp_bind(end(Ipv4Addr::UNSPECIFIED, 53)).unwrap();
    let frame = udp_frame((ip(CLIENT), 999), SERVER, 53, b"question");
    for len in 0..200u16 {
        let mut lying = frame.clone();
        lying[38..40].copy_from_slice(&len.to_be_bytes());
        if len != 16 {
            world.inject(SERVER, &lying);
        }
    }
    assert_eq!(world.stacks[SERVER].udp_receive(socket, &mut [0; 64], false), Err(Error::WouldBlock));
    world.inject(SERVER, &frame);
    let source = end(ip(CLIENT), 999);
    assert_eq!(world.stacks[SERVER].udp_receive(socket, &mut [0; 64], false), Ok((8, source)));
}

#[test]
fn noise_of_every_length_is_survived() {
    let mut world = World::new();
    let listener = world.listen(80, 16);
    let (client, server) = world.connect(listener, 80);
    let (local, remote) = world.stacks[CLIENT].tcp_ends(client).unwrap();
    let real =
        Segment::between(CLIENT, local.port(), SERVER, remote.port()).flags(Flags::ACK).payload(&[7; 40]).frame();
    for round in 0..20_000usize {
        let keep = [0, 12, 14, 34, 54][round % 5];
        let mut noise: Vec<u8> = (0..round % 120).map(|_| world.random() as u8).collect();
        let shared = keep.min(noise.len());
        noise[..shared].copy_from_slice(&real[..shared]);
        world.inject(SERVER, &noise);
    }
    world.run_for(SECOND_NS);
    assert_eq!(world.transfer((CLIENT, client), (SERVER, server), b"good"), b"good");
}
