//! RFC 7323: windows larger than 64 KiB, and segments stamped with the time.

use crate::frames::{Flags, Seen, Segment, seen};
use crate::world::{CLIENT, MILLISECOND_NS, SECOND_NS, SERVER, World, at, large_config, pattern};
use toro_netstack::{Error, TcpState};

const ACK: u8 = Flags::ACK;
const SYN: u8 = Flags::SYN;

fn stamp(value: u32, echo: u32) -> Vec<u8> {
    [&[1, 1, 8, 10], &value.to_be_bytes()[..], &echo.to_be_bytes()].concat()
}

/// What `host` says now, to nobody.
fn spoken(world: &mut World, host: usize) -> Vec<Seen> {
    let now_ns = world.now_ns;
    world.stacks[host].flush(&mut world.ports[host], now_ns);
    std::iter::from_fn(|| world.ports[host].sent.pop_front()).filter_map(|frame| seen(&frame)).collect()
}

/// Lets time pass without the client; what the server says meanwhile.
fn pass(world: &mut World, time_ns: u64) -> Vec<Seen> {
    world.now_ns += time_ns;
    spoken(world, SERVER)
}

/// Lets the server know the client's hardware address, so that it answers at once.
fn acquaint(world: &mut World) {
    let listener = world.listen(9, 1);
    let (client, server) = world.connect(listener, 9);
    world.stacks[SERVER].tcp_close_listener(listener);
    world.close(client, server);
}

/// A peer by hand: its SYN with those options; the answer.
fn open_by_hand(world: &mut World, options: &[u8]) -> Seen {
    acquaint(world);
    world.listen(80, 4);
    let syn = Segment::between(CLIENT, 5000, SERVER, 80).flags(SYN).options(options).window(0xffff);
    world.inject(SERVER, &syn.frame());
    let answer = spoken(world, SERVER).remove(0);
    assert_eq!((answer.flags, answer.acknowledgement), (SYN | ACK, 1001));
    answer
}

#[test]
fn a_long_wide_way_is_filled() {
    let mut world = World::with(large_config(CLIENT), large_config(SERVER));
    world.latency_ns = 25 * MILLISECOND_NS;
    let listener = world.listen(80, 16);
    let (client, server) = world.connect(listener, 80);
    let data = pattern(16 << 20);
    for (from, to) in [((CLIENT, client), (SERVER, server)), ((SERVER, server), (CLIENT, client))] {
        let begun_ns = world.now_ns;
        assert!(world.transfer(from, to, &data) == data);
        let took_ms = (world.now_ns - begun_ns) / MILLISECOND_NS;
        // 64 KiB in 50 ms would be 13 s.
        assert!(took_ms < 2000, "{took_ms} ms");
        let info = world.stacks[to.0].tcp_info(to.1).unwrap();
        assert!(info.receive_window_bytes > 1 << 20, "{info:?}");
    }
    let statistics = world.stacks[SERVER].statistics();
    assert!(statistics.memory_bytes < 20 << 20, "{statistics:?}");
}

#[test]
fn a_near_peer_does_not_make_windows_grow() {
    let mut world = World::with(large_config(CLIENT), large_config(SERVER));
    let listener = world.listen(80, 16);
    let (client, server) = world.connect(listener, 80);
    // As much as one answer's time carries, once a second.
    for _ in 0..100 {
        let data = pattern(20_000);
        assert!(world.transfer((CLIENT, client), (SERVER, server), &data) == data);
        world.run_for(SECOND_NS);
    }
    assert!(world.stacks[SERVER].tcp_info(server).unwrap().receive_window_bytes <= 65536);
}

#[test]
fn windows_are_not_shifted_for_who_cannot_do_that() {
    let mut world = World::with(large_config(CLIENT), large_config(SERVER));
    let answer = open_by_hand(&mut world, &[2, 4, 5, 180]);
    assert_eq!(answer.options, [2, 4, 5, 180], "nothing was offered, nothing is accepted");
    let syn = answer.sequence;
    world.inject(
        SERVER,
        &Segment::between(CLIENT, 5000, SERVER, 80)
            .sequence(1001)
            .acknowledgement(syn + 1)
            .flags(ACK)
            .payload(&[1; 3000])
            .frame(),
    );
    let told = spoken(&mut world, SERVER).remove(0);
    assert!(told.window > 60_000 && told.options.is_empty(), "{told:?}");
}

#[test]
fn a_window_that_was_told_is_kept_though_its_shift_tells_less() {
    let mut world = World::with(large_config(CLIENT), large_config(SERVER));
    let answer = open_by_hand(&mut world, &[2, 4, 5, 180, 1, 3, 3, 7]);
    let shift = answer.options[7];
    assert_eq!(answer.options[..7], [2, 4, 5, 180, 1, 3, 3]);
    assert!((1..=14).contains(&shift));
    let segment = Segment::between(CLIENT, 5000, SERVER, 80).acknowledgement(answer.sequence + 1).flags(ACK);
    let edge = 1001 + u32::from(answer.window);
    let mut next = 1001;
    // Odd lengths, so that no window is a multiple of what the shift tells; the edge that was told is reached.
    while next < edge {
        let data = vec![1; (edge - next).min(1459) as usize];
        world.inject(SERVER, &segment.sequence(next).payload(&data).frame());
        next += data.len() as u32;
        for told in spoken(&mut world, SERVER) {
            assert!(told.acknowledgement + (u32::from(told.window) << shift) <= 1001 + 65536, "{told:?}");
        }
    }
    world.run_for(SECOND_NS);
    let listener = world.stacks[SERVER].statistics();
    assert_eq!(listener.connections, 1);
}

#[test]
fn segments_are_stamped_and_old_ones_told_by_it() {
    let mut world = World::new();
    let answer = open_by_hand(&mut world, &[&[2, 4, 5, 180], &stamp(70_000, 0)[..]].concat());
    assert_eq!(
        (&answer.options[..8], &answer.options[12..]),
        (&[2, 4, 5, 180, 1, 1, 8, 10][..], &70_000u32.to_be_bytes()[..])
    );
    let echo = u32::from_be_bytes(answer.options[8..12].try_into().unwrap());
    let segment = Segment::between(CLIENT, 5000, SERVER, 80).acknowledgement(answer.sequence + 1).flags(ACK);
    world.inject(SERVER, &segment.sequence(1001).options(&stamp(70_001, echo)).frame());
    assert_eq!(pass(&mut world, 5 * MILLISECOND_NS), []);
    world.inject(SERVER, &segment.sequence(1001).options(&stamp(70_006, echo)).payload(b"new").frame());
    let told = pass(&mut world, 20 * MILLISECOND_NS).remove(0);
    assert_eq!((told.acknowledgement, &told.options[8..]), (1004, &70_006u32.to_be_bytes()[..]));
    // A number that is expected, of long ago: not taken, and answered, though not each time.
    let old = segment.sequence(1004).options(&[1, 1, 8, 10, 0, 0, 0, 9, 0, 0, 0, 0]).payload(b"old");
    world.inject(SERVER, &old.frame());
    assert_eq!(spoken(&mut world, SERVER).remove(0).acknowledgement, 1004);
    world.inject(SERVER, &old.frame());
    assert_eq!(spoken(&mut world, SERVER), []);
    // After 24 days without a word the clock may have come round.
    pass(&mut world, 25 * 86_400 * SECOND_NS);
    world.inject(SERVER, &old.frame());
    let told: Vec<_> = (0..10).flat_map(|_| pass(&mut world, 20 * MILLISECOND_NS)).collect();
    assert!(told.iter().any(|told| told.acknowledgement == 1007), "{told:?}");
}

#[test]
fn a_reset_needs_no_stamp() {
    let mut world = World::new();
    let answer = open_by_hand(&mut world, &[&[2, 4, 5, 180], &stamp(70_000, 0)[..]].concat());
    let segment = Segment::between(CLIENT, 5000, SERVER, 80).acknowledgement(answer.sequence + 1);
    world.inject(SERVER, &segment.flags(ACK).sequence(1001).options(&stamp(70_001, 0)).frame());
    assert_eq!(world.stacks[SERVER].statistics().connections, 1);
    world.inject(SERVER, &segment.flags(Flags::RST).sequence(1001).frame());
    let listener = world.stacks[SERVER].statistics();
    assert_eq!(listener.connections, 1, "it waits to be accepted, and is over");
    world.inject(SERVER, &segment.flags(ACK).sequence(1001).options(&stamp(70_002, 0)).frame());
    assert_eq!(spoken(&mut world, SERVER).remove(0).flags, Flags::RST);
}

#[test]
fn what_went_out_twice_is_measured_all_the_same() {
    let mut world = World::new();
    world.latency_ns = 400 * MILLISECOND_NS;
    let listener = world.listen(80, 16);
    let (client, server) = world.connect(listener, 80);
    // Everything that is sent first is lost: without stamps nothing would ever be measured.
    for _ in 0..4 {
        world.stacks[CLIENT].tcp_write(client, b"?").unwrap();
        let now_ns = world.now_ns;
        world.stacks[CLIENT].flush(&mut world.ports[CLIENT], now_ns);
        world.ports[CLIENT].sent.clear();
        world.run_until(60 * SECOND_NS, |world| world.stacks[SERVER].tcp_read(server, &mut [0; 9]) == Ok(1));
        world.run_for(2 * SECOND_NS);
    }
    let info = world.stacks[CLIENT].tcp_info(client).unwrap();
    let measured_ms = info.round_trip_ns / MILLISECOND_NS;
    assert!((790..900).contains(&measured_ms), "{measured_ms} ms");
    assert!(info.retransmit_timeout_ns < 3 * SECOND_NS && info.retransmitted_segments == 4, "{info:?}");
}

#[test]
fn both_stamp_when_both_ask_at_once() {
    let mut world = World::new();
    let client = world.stacks[CLIENT].tcp_connect(at(SERVER, 7), world.now_ns).unwrap();
    assert_eq!(world.stacks[CLIENT].tcp_info(client).unwrap().state, TcpState::SynSent);
    let local = world.stacks[CLIENT].tcp_ends(client).unwrap().0.port();
    world.run_for(0);
    let now_ns = world.now_ns;
    // The server's own SYN, as if it had asked at the same time.
    let options = [&[2, 4, 5, 180], &stamp(5, 0)[..]].concat();
    let syn = Segment::between(SERVER, 7, CLIENT, local).flags(SYN).options(&options);
    world.inject(CLIENT, &syn.frame());
    world.stacks[CLIENT].flush(&mut world.ports[CLIENT], now_ns);
    assert_eq!(world.stacks[CLIENT].tcp_info(client).unwrap().state, TcpState::SynReceived);
    assert_eq!(world.stacks[CLIENT].tcp_connected(client), Err(Error::WouldBlock));
}
