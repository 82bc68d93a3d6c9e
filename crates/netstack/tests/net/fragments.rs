//! Packets in pieces: datagrams longer than the link carries, whole over a bad wire, and what hostile pieces come to.

use crate::frames::{checksum, icmp_frame, udp_frame};
use crate::world::{
    CLIENT, FAMILIES, Family, MILLISECOND_NS, SECOND_NS, SERVER, Weather, World, at, config, end, ip, mac, pattern,
};
use core::net::Ipv4Addr;
use toro_netstack::{Error, UdpId};

fn sockets(world: &mut World) -> (UdpId, UdpId) {
    let (client, server) = (world.any(0), world.any(53));
    (world.stacks[CLIENT].udp_bind(client).unwrap(), world.stacks[SERVER].udp_bind(server).unwrap())
}

fn received(world: &mut World, socket: UdpId) -> Result<Vec<u8>, Error> {
    let mut buffer = vec![0; 70_000];
    let (bytes, _) = world.stacks[SERVER].udp_receive(socket, &mut buffer, false)?;
    buffer.truncate(bytes);
    Ok(buffer)
}

/// A world whose stacks have room for long datagrams.
fn roomy() -> World {
    roomy_of(Family::Four)
}

fn roomy_of(family: Family) -> World {
    let [mut client, mut server] = [config(CLIENT), config(SERVER)];
    for config in [&mut client, &mut server] {
        config.limits.fragments_bytes = 256 << 10;
        config.limits.udp_queue_bytes = 256 << 10;
    }
    World::of(family, client, server)
}

/// A frame with a piece of a packet from the client.
fn piece(identification: u16, start: usize, more: bool, data: &[u8]) -> Vec<u8> {
    let total = (20 + data.len() as u16).to_be_bytes();
    let place = (start / 8) as u16 | if more { 0x2000 } else { 0 };
    let mut header = vec![0x45, 0, total[0], total[1]];
    header.extend_from_slice(&identification.to_be_bytes());
    header.extend_from_slice(&place.to_be_bytes());
    header.extend_from_slice(&[64, 17, 0, 0]);
    header.extend_from_slice(&ip(CLIENT).octets());
    header.extend_from_slice(&ip(SERVER).octets());
    let sum = checksum(&header);
    header[10..12].copy_from_slice(&sum);
    [&mac(SERVER)[..], &mac(CLIENT), &[8, 0], &header, data].concat()
}

/// The payload of a packet with a datagram for port 53.
fn datagram(data: &[u8]) -> Vec<u8> {
    udp_frame((ip(CLIENT), 999), SERVER, 53, data)[34..].to_vec()
}

#[test]
fn long_datagrams_arrive_whole_however_their_pieces_come() {
    for (seed, family) in (0..20).flat_map(|seed| FAMILIES.map(|family| (seed, family))) {
        let weather = Weather { repeated: 100, delayed: 300, ..Weather::default() };
        let mut world = roomy_of(family).seed(seed, weather);
        let (client, server) = sockets(&mut world);
        world.run_for(3 * SECOND_NS);
        let to = world.end(SERVER, 53);
        let longest = if family == Family::Six { 65_527 } else { 65_507 };
        for bytes in [1472, 1473, 2960, 9000, longest] {
            let data = pattern(bytes);
            world.stacks[CLIENT].udp_send(client, &data, to).unwrap();
            world.run_for(SECOND_NS);
            assert!(received(&mut world, server) == Ok(data.clone()), "{bytes} bytes, seed {seed}");
            while let Ok(repeated) = received(&mut world, server) {
                assert!(repeated == data, "{bytes} bytes, seed {seed}");
            }
        }
        let longer = vec![0; longest + 1];
        assert_eq!(world.stacks[CLIENT].udp_send(client, &longer, to), Err(Error::MessageTooLong));
        let late = world.stacks[SERVER].statistics();
        assert!(late.reassembled >= 4, "{late:?}");
        // Repeated pieces of what is complete begin anew, and are forgotten.
        world.run_for(60 * SECOND_NS);
        assert_eq!(world.stacks[SERVER].statistics().memory_bytes, 0);
    }
}

#[test]
fn to_itself_a_machine_needs_no_pieces() {
    let mut world = roomy();
    let (_, server) = sockets(&mut world);
    let sender = world.stacks[SERVER].udp_bind(end(Ipv4Addr::UNSPECIFIED, 0)).unwrap();
    let data = pattern(65_507);
    world.stacks[SERVER].udp_send(sender, &data, at(SERVER, 53)).unwrap();
    world.run_for(MILLISECOND_NS);
    assert_eq!(received(&mut world, server), Ok(data));
    assert_eq!(world.stacks[SERVER].statistics().reassembled, 0);
}

#[test]
fn a_datagram_that_misses_a_piece_is_forgotten() {
    let mut world = roomy();
    let (_, server) = sockets(&mut world);
    let before = world.stacks[SERVER].statistics().memory_bytes;
    world.inject(SERVER, &piece(1, 0, true, &datagram(&[1; 792])));
    assert!(world.stacks[SERVER].statistics().memory_bytes > before);
    assert!(world.stacks[SERVER].next_deadline().is_some());
    world.run_for(31 * SECOND_NS);
    world.inject(SERVER, &piece(1, 800, false, &[1; 8]));
    assert_eq!(received(&mut world, server), Err(Error::WouldBlock));
    world.run_for(31 * SECOND_NS);
    let after = world.stacks[SERVER].statistics();
    assert_eq!((after.fragments, after.memory_bytes), (2, before));
    assert_eq!(world.stacks[SERVER].next_deadline(), None);
}

#[test]
fn pieces_that_contradict_each_other_are_given_up() {
    let whole = datagram(&pattern(1000));
    let parts: [&[(usize, usize, bool)]; 5] = [
        &[(0, 512, true), (504, 1008, false)],                      // overlap
        &[(0, 512, true), (512, 1008, false), (512, 1000, false)],  // fine: complete before the last
        &[(512, 1008, false), (0, 520, true)],                      // overlap from below
        &[(0, 512, true), (1000, 1008, false), (512, 1000, false)], // two ends
        &[(512, 1000, true), (0, 504, false)],                      // an end before what is there
    ];
    for (case, parts) in parts.into_iter().enumerate() {
        let mut world = roomy();
        let (_, server) = sockets(&mut world);
        for &(start, end, more) in parts {
            world.inject(SERVER, &piece(7, start, more, &whole[start..end]));
        }
        let got = received(&mut world, server);
        assert_eq!(got.is_ok(), case == 1, "{case}: {got:?}");
    }
    let mut world = roomy();
    for (start, more, bytes) in [(0, true, 7), (65_528, false, 8), (8, false, 0)] {
        world.inject(SERVER, &piece(8, start, more, &vec![0; bytes]));
    }
    let counts = world.stacks[SERVER].statistics();
    assert_eq!((counts.memory_bytes, counts.fragments), (0, 0), "none of them is a piece at all");
}

#[test]
fn a_flood_of_pieces_stays_within_its_bounds_and_is_survived() {
    let mut world = roomy();
    let (client, server) = sockets(&mut world);
    for number in 0..20_000u16 {
        world.inject(SERVER, &piece(number, 65_000, false, &[0; 400]));
    }
    let bytes = world.stacks[SERVER].statistics().memory_bytes;
    assert!(bytes <= 256 << 10, "{bytes}");
    world.stacks[CLIENT].udp_send(client, &pattern(5000), at(SERVER, 53)).unwrap();
    world.run_for(SECOND_NS);
    assert_eq!(received(&mut world, server), Ok(pattern(5000)));
}

#[test]
fn of_too_many_parts_no_packet_is_made() {
    let mut world = roomy();
    let (_, server) = sockets(&mut world);
    let whole = datagram(&pattern(4000));
    let parts: Vec<_> = whole.chunks(8).enumerate().collect();
    let (even, odd): (Vec<_>, Vec<_>) = parts.iter().partition(|(place, _)| place % 2 == 0);
    let inject = |world: &mut World, (place, part): &(usize, &[u8])| {
        world.inject(SERVER, &piece(7, place * 8, place * 8 + part.len() < whole.len(), part));
    };
    // Each is apart from all others, until there are too many.
    even[..64].iter().for_each(|part| inject(&mut world, part));
    assert_eq!(world.stacks[SERVER].statistics().fragments, 0);
    inject(&mut world, &even[64]);
    let counts = world.stacks[SERVER].statistics();
    assert_eq!((counts.fragments, counts.memory_bytes), (1, 0));
    // As many pieces in order are one part.
    parts.iter().for_each(|part| inject(&mut world, part));
    assert_eq!(received(&mut world, server), Ok(pattern(4000)));
    assert!(odd.len() > 64);
}

#[test]
fn a_long_echo_is_answered() {
    let mut world = roomy();
    let mut echo = vec![8, 0, 0, 0, 0, 1, 0, 1];
    echo.extend(pattern(3000));
    let frame = icmp_frame(ip(CLIENT), SERVER, echo);
    let message = &frame[34..];
    let sent = std::rc::Rc::new(std::cell::RefCell::new(Vec::new()));
    let seen = std::rc::Rc::clone(&sent);
    world.loses = Some(Box::new(move |from, frame| {
        if from == SERVER && frame[12..14] == [8, 0] {
            seen.borrow_mut().push(frame.len());
        }
        false
    }));
    for (start, end) in [(0, 1480), (1480, 2960), (2960, message.len())] {
        let mut frame = piece(3, start, end < message.len(), &message[start..end]);
        frame[23] = 1;
        frame[24..26].fill(0);
        let sum = checksum(&frame[14..34]);
        frame[24..26].copy_from_slice(&sum);
        world.inject(SERVER, &frame);
    }
    world.run_for(SECOND_NS);
    let answers = sent.borrow();
    assert_eq!(*answers, [1514, 1514, 14 + 20 + 48]);
}

#[test]
fn a_way_that_carries_less_gets_pieces() {
    let mut world = roomy();
    let (client, server) = sockets(&mut world);
    world.stacks[CLIENT].udp_connect(client, Some(at(SERVER, 53))).unwrap();
    let port = world.stacks[CLIENT].udp_address(client).unwrap().port();
    // A router quotes a packet of 1,428 bytes, which may not be cut.
    let mut quoted = vec![0x45, 0, 0x05, 0x94, 0, 0, 0x40, 0, 64, 17, 0, 0];
    quoted.extend_from_slice(&ip(CLIENT).octets());
    quoted.extend_from_slice(&ip(SERVER).octets());
    quoted.extend_from_slice(&port.to_be_bytes());
    quoted.extend_from_slice(&[0, 53, 0, 0, 0, 0]);
    let mut message = vec![3, 4, 0, 0, 0, 0, 0x03, 0xe8];
    message.extend_from_slice(&quoted);
    world.inject(CLIENT, &icmp_frame(ip(SERVER), CLIENT, message));
    let sent = world.stacks[CLIENT].udp_send(client, &pattern(1400), at(SERVER, 53));
    assert_eq!(sent, Err(Error::MessageTooLong), "it is told once");
    let largest = std::rc::Rc::new(std::cell::Cell::new(0));
    let seen = std::rc::Rc::clone(&largest);
    world.loses = Some(Box::new(move |from, frame| {
        if from == CLIENT {
            seen.set(seen.get().max(frame.len() - 14));
        }
        false
    }));
    world.stacks[CLIENT].udp_send(client, &pattern(1400), at(SERVER, 53)).unwrap();
    world.run_for(SECOND_NS);
    assert_eq!(received(&mut world, server), Ok(pattern(1400)));
    assert!((900..=1000).contains(&largest.get()), "{}", largest.get());
}
