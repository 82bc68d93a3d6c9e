//! Frames that no honest neighbour sends, one layer after the other: the guest must stay up, answer on, and lose nothing.

use std::net::Ipv4Addr;

use toro_tests::frames::{
    ARP, BROADCAST_MAC, GUEST, GUEST_MAC, HOST, HOST_MAC, ICMP, IPV4, TCP, UDP, Wire, arp, ethernet, ipv4, tcp, udp,
    with_checksum,
};
use toro_tests::{MachineType, Running, example};

const HTTP: u16 = 80;

/// A web server on a wire, that listens.
fn server(machine: MachineType) -> (Running, Wire) {
    let (spec, wire) = example("http_server").wire_on(machine);
    let running = spec.start();
    running.guest.wait_for_listen(HTTP, toro_tests::LIMIT).expect("the guest listens");
    (running, wire)
}

/// After `frames` the guest still answers, to echo requests and to a SYN.
fn survives(frames: &[Vec<u8>]) {
    for machine in [MachineType::Microvm, MachineType::Q35] {
        let (running, wire) = server(machine);
        wire.expect_alive(0);
        for frame in frames {
            wire.send(frame);
        }
        wire.expect_alive(1);
        expect_listening(&wire, 50_000);
        running.stop().expect_kind("stopped");
    }
}

/// The handshake's first half works.
fn expect_listening(wire: &Wire, port: u16) {
    wire.send(&segment(tcp((port, HTTP), 1000, 0, 0x02, &[2, 4, 5, 0xb4], b"")));
    wire.receive_until("SYN and ACK", |frame| {
        let is_ours = frame.get(36..38) == Some(&port.to_be_bytes()[..]) && frame.get(23) == Some(&TCP);
        (is_ours && frame.get(47) == Some(&0x12)).then_some(())
    });
    wire.send(&segment(tcp((port, HTTP), 1001, 0, 0x04, &[], b"")));
}

fn segment(segment: Vec<u8>) -> Vec<u8> {
    packet(&ipv4(TCP, HOST, GUEST, &segment))
}

fn packet(packet: &[u8]) -> Vec<u8> {
    ethernet(GUEST_MAC, IPV4, packet)
}

/// The packet with one byte changed and its header checksum made good again.
fn patched(mut bytes: Vec<u8>, at: usize, value: u8) -> Vec<u8> {
    bytes[at] = value;
    bytes[10..12].fill(0);
    let header = with_checksum(bytes[..20].to_vec(), 10, &[]);
    bytes[..20].copy_from_slice(&header);
    bytes
}

#[test]
fn ethernet_frames() {
    let mut frames: Vec<Vec<u8>> = (1..64).map(|length| vec![0xff; length]).collect();
    frames.extend((1..64).map(|length| ethernet(GUEST_MAC, IPV4, &[])[..length.min(14)].to_vec()));
    frames.extend([0, 1, 0x05dc, 0x8100, 0x86dd, 0x88a8, 0xffff].map(|kind| ethernet(GUEST_MAC, kind, &[0x55; 60])));
    frames.extend([1515, 2000, 4000, 9000].map(|length| ethernet(BROADCAST_MAC, IPV4, &vec![0x45; length])));
    frames.push(ethernet([0x52, 0x54, 0, 1, 2, 3], IPV4, &ipv4(ICMP, HOST, GUEST, &[8; 64])));
    survives(&frames);
}

#[test]
fn arp_packets() {
    let good = arp(1, HOST_MAC, HOST, [0; 6], GUEST);
    let mut frames: Vec<Vec<u8>> = (14..good.len()).map(|length| good[..length].to_vec()).collect();
    for at in 14..22 {
        frames.extend([0, 1, 0x7f, 0xff].map(|value| {
            let mut frame = good.clone();
            frame[at] = value;
            frame
        }));
    }
    // Somebody says that he is the guest; that he is everybody; that he has a group's address.
    frames.push(arp(2, HOST_MAC, GUEST, GUEST_MAC, GUEST));
    frames.push(arp(2, BROADCAST_MAC, HOST, GUEST_MAC, GUEST));
    frames.push(arp(1, HOST_MAC, Ipv4Addr::BROADCAST, [0; 6], GUEST));
    frames.push(arp(1, HOST_MAC, Ipv4Addr::UNSPECIFIED, [0; 6], GUEST));
    // More neighbours than any table holds.
    frames.extend((0..2000_u16).map(|number| {
        let [a, b] = number.to_be_bytes();
        arp(1, [2, 0, 0, 1, a, b], Ipv4Addr::new(10, 77, a, b), [0; 6], GUEST)
    }));
    frames.push(ethernet(GUEST_MAC, ARP, &[0; 1400]));
    // What they made the guest believe of us ends with the truth.
    frames.push(arp(1, HOST_MAC, HOST, [0; 6], GUEST));
    survives(&frames);
}

#[test]
fn ipv4_packets() {
    let good = ipv4(ICMP, HOST, GUEST, &with_checksum(vec![8, 0, 0, 0, 1, 2, 3, 4], 2, &[]));
    let mut frames: Vec<Vec<u8>> = (0..good.len()).map(|length| packet(&good[..length])).collect();
    frames.extend((0..=255).map(|value| packet(&patched(good.clone(), 0, value)))); // version, header length
    frames.extend([0, 19, 20, 27, 29, 255].map(|value| packet(&patched(good.clone(), 3, value)))); // total length
    frames.extend([1, 0x05, 0xff].map(|value| packet(&patched(good.clone(), 2, value))));
    frames.extend([0x20, 0x1f, 0x3f, 0x80, 0xff].map(|value| packet(&patched(good.clone(), 6, value)))); // fragments
    frames.push(packet(&patched(good.clone(), 8, 0))); // time to live
    frames.extend((0..=255).map(|value| packet(&patched(good.clone(), 9, value)))); // protocol
    for source in [[0, 0, 0, 0], [127, 0, 0, 1], [224, 0, 0, 1], [255; 4], GUEST.octets()] {
        frames.push(packet(&ipv4(ICMP, source.into(), GUEST, &good[20..])));
    }
    let mut wrong = good.clone();
    wrong[11] ^= 1;
    frames.push(packet(&wrong));
    // Fragments that overlap, that end beyond 64 KiB, and the first of many that never go on.
    for (offset, more) in [(0_u16, true), (1, true), (0, false), (8191, true), (8191, false)] {
        let word = (offset | u16::from(more) << 13).to_be_bytes();
        let fragment = patched(ipv4(UDP, HOST, GUEST, &[7; 64]), 6, word[0]);
        frames.push(packet(&patched(fragment, 7, word[1])));
    }
    frames.extend((0..1000_u16).map(|number| {
        let [a, b] = number.to_be_bytes();
        packet(&patched(patched(patched(ipv4(UDP, HOST, GUEST, &[7; 1400]), 4, a), 5, b), 6, 0x20))
    }));
    survives(&frames);
}

#[test]
fn icmp_messages() {
    let mut frames = Vec::new();
    for kind in 0..=255 {
        for length in [1, 4, 8, 12, 28, 36, 60] {
            let mut message = vec![0x45; length];
            message[0] = kind;
            let message = if length < 4 { message } else { with_checksum(zeroed(message, 2), 2, &[]) };
            frames.push(packet(&ipv4(ICMP, HOST, GUEST, &message)));
        }
    }
    frames.push(packet(&ipv4(ICMP, HOST, GUEST, &[8, 0, 0xde, 0xad, 1, 2, 3, 4])));
    survives(&frames);
}

fn zeroed(mut bytes: Vec<u8>, at: usize) -> Vec<u8> {
    bytes[at..at + 2].fill(0);
    bytes
}

#[test]
fn udp_datagrams() {
    let good = udp((1234, 53), b"question");
    let mut frames: Vec<Vec<u8>> =
        (0..good.len()).map(|length| packet(&ipv4(UDP, HOST, GUEST, &good[..length]))).collect();
    for length in [0, 1, 7, 8, 15, 17, 0xffff_u16] {
        let mut lying = good.clone();
        lying[4..6].copy_from_slice(&length.to_be_bytes());
        frames.push(packet(&ipv4(UDP, HOST, GUEST, &lying)));
    }
    for ports in [(0, 0), (0, 68), (67, 68), (53, 0), (1, 65535)] {
        frames.push(packet(&ipv4(UDP, HOST, GUEST, &udp(ports, &[0xff; 300]))));
        frames.push(packet(&ipv4(UDP, HOST, GUEST, &udp(ports, b""))));
    }
    survives(&frames);
}

#[test]
fn tcp_segments() {
    let good = tcp((4000, HTTP), 1, 0, 0x02, &[2, 4, 5, 0xb4], b"");
    let mut frames: Vec<Vec<u8>> =
        (0..good.len()).map(|length| packet(&ipv4(TCP, HOST, GUEST, &good[..length]))).collect();
    for flags in 0..=255 {
        for port in [HTTP, 81, 0] {
            frames.push(segment(tcp((4001, port), 77, 99, flags, &[], b"data")));
        }
    }
    for offset in 0..16 {
        let mut lying = zeroed(good.clone(), 16);
        lying[12] = offset << 4;
        frames.push(segment(toro_tests::frames::with_pseudo_header(lying, 16, TCP)));
    }
    let options: [&[u8]; 12] = [
        &[2],
        &[2, 0],
        &[2, 1],
        &[2, 4, 0, 0],
        &[2, 40, 1],
        &[3, 3, 255],
        &[3, 255, 1],
        &[4, 2, 4, 2],
        &[5, 10, 0, 0, 0, 1, 0, 0, 0, 0],
        &[8, 10, 0, 0, 0, 0, 0, 0, 0, 0],
        &[255, 255],
        &[1; 40],
    ];
    for (number, options) in options.into_iter().enumerate() {
        frames.push(segment(tcp((4100 + number as u16, HTTP), 5, 0, 0x02, options, b"")));
    }
    let mut wrong = good.clone();
    wrong[17] ^= 1;
    frames.push(segment(wrong));
    frames.push(segment(tcp((4200, HTTP), u32::MAX, 0, 0x02, &[], &[b'G'; 1400]))); // a SYN with data
    survives(&frames);
}

#[test]
fn a_flood_of_connections_that_are_never_completed() {
    let flood = |number: u32| segment(tcp((1024 + (number % 60_000) as u16, HTTP), number * 7919, 0, 0x02, &[], b""));
    survives(&(0..20_000).map(flood).collect::<Vec<_>>());
}

#[test]
fn any_byte_of_any_packet_changed() {
    // A linear congruential generator: the same frames in every run.
    let mut state = 0x2545_f491_4f6c_dd1d_u64;
    let mut random = move |limit: usize| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as usize % limit
    };
    let originals = [
        arp(1, HOST_MAC, HOST, [0; 6], GUEST),
        packet(&ipv4(ICMP, HOST, GUEST, &with_checksum(vec![8, 0, 0, 0, 1, 2, 3, 4, 5, 6], 2, &[]))),
        packet(&ipv4(UDP, HOST, GUEST, &udp((1234, 68), &[1; 240]))),
        segment(tcp((5000, HTTP), 9, 0, 0x02, &[2, 4, 5, 0xb4, 3, 3, 7, 4, 2], b"")),
        segment(tcp((5000, HTTP), 10, 1, 0x18, &[], b"GET / HTTP/1.1\r\n\r\n")),
    ];
    let mut frames = Vec::new();
    for _ in 0..10_000 {
        let mut frame = originals[random(originals.len())].clone();
        for _ in 0..=random(4) {
            let at = random(frame.len());
            frame[at] = random(256) as u8;
        }
        frame.truncate(1 + random(frame.len() + 40));
        frames.push(frame);
    }
    frames.push(arp(1, HOST_MAC, HOST, [0; 6], GUEST));
    survives(&frames);
}
