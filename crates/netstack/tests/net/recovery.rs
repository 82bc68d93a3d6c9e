//! What goes out again after a loss, and how soon: selective acknowledgements, partial ones, tails, and time-outs.

use crate::frames::{Flags, Segment, seen};
use crate::world::{CLIENT, MILLISECOND_NS, SECOND_NS, SERVER, World, large_config, pattern};
use std::cell::RefCell;
use std::rc::Rc;
use toro_netstack::{ConnectionId, Error};

const ROUND_TRIP_NS: u64 = 50 * MILLISECOND_NS;

/// Machines far apart, with a connection that is warm: its round trip is known and its window open.
fn far_apart() -> (World, ConnectionId, ConnectionId) {
    let mut world = World::with(large_config(CLIENT), large_config(SERVER));
    world.latency_ns = ROUND_TRIP_NS / 2;
    let listener = world.listen(80, 16);
    let (client, server) = world.connect(listener, 80);
    world.transfer((CLIENT, client), (SERVER, server), &pattern(100_000));
    world.run_for(SECOND_NS);
    (world, client, server)
}

/// The data segments that the client sends, counted from 0: those of `lost` are lost. What it sent, in order, comes back.
fn lose(world: &mut World, lost: &[usize]) -> Rc<RefCell<Vec<u32>>> {
    let sent = Rc::new(RefCell::new(Vec::new()));
    let (seen_by_wire, lost) = (Rc::clone(&sent), lost.to_vec());
    world.loses = Some(Box::new(move |from, frame| {
        let Some(segment) = seen(frame).filter(|segment| from == CLIENT && !segment.payload.is_empty()) else {
            return false;
        };
        let mut sent = seen_by_wire.borrow_mut();
        sent.push(segment.sequence);
        lost.contains(&(sent.len() - 1))
    }));
    sent
}

/// Numbers that went out more than once.
fn again(sent: &[u32]) -> Vec<u32> {
    let mut again: Vec<u32> = (0..sent.len()).filter(|&at| sent[..at].contains(&sent[at])).map(|at| sent[at]).collect();
    again.sort_unstable();
    again
}

fn time_of_transfer(world: &mut World, client: ConnectionId, server: ConnectionId, bytes: usize) -> u64 {
    let begun_ns = world.now_ns;
    let data = pattern(bytes);
    assert!(world.transfer((CLIENT, client), (SERVER, server), &data) == data);
    world.now_ns - begun_ns
}

#[test]
fn exactly_what_the_peer_lacks_goes_out_again_at_once() {
    let (mut world, client, server) = far_apart();
    let sent = lose(&mut world, &[3, 4, 9, 15]);
    let took_ns = time_of_transfer(&mut world, client, server, 40 * 1448);
    let sent = sent.borrow();
    let mut expected = [3, 4, 9, 15].map(|at: usize| sent[at]);
    expected.sort_unstable();
    assert_eq!(again(&sent), expected);
    // There, the news back, and there again; not a round trip for each, nor a time-out.
    assert!(took_ns < 2 * ROUND_TRIP_NS, "{} ms", took_ns / MILLISECOND_NS);
    let info = world.stacks[CLIENT].tcp_info(client).unwrap();
    assert!(info.congestion_window_bytes < 100_000 && info.slow_start_threshold_bytes < 100_000, "{info:?}");
}

#[test]
fn what_goes_out_again_and_is_lost_goes_out_once_more() {
    let (mut world, client, server) = far_apart();
    // The 41st is the first that goes out again.
    let sent = lose(&mut world, &[3, 40]);
    let took_ns = time_of_transfer(&mut world, client, server, 40 * 1448);
    let times = sent.borrow().iter().filter(|&&number| number == sent.borrow()[3]).count();
    assert_eq!(times, 3);
    // Two round trips without news say so, before the clock does.
    assert!((3 * ROUND_TRIP_NS..4 * ROUND_TRIP_NS).contains(&took_ns), "{took_ns}");
    // What the peer has already is not said again.
    assert!(again(&sent.borrow()).len() < 6, "{:?}", again(&sent.borrow()));
}

#[test]
fn a_lost_tail_is_asked_after_before_time_is_over() {
    for lost in [vec![18, 19], vec![10, 11, 12, 13, 14, 15, 16, 17, 18, 19]] {
        let (mut world, client, server) = far_apart();
        let sent = lose(&mut world, &lost);
        let took_ns = time_of_transfer(&mut world, client, server, 20 * 1448);
        // The question goes out after two round trips; its answer names what else is missing.
        assert!(took_ns < 6 * ROUND_TRIP_NS, "{lost:?}: {} ms", took_ns / MILLISECOND_NS);
        assert!(again(&sent.borrow()).len() <= lost.len() + 2, "{lost:?}: {:?}", again(&sent.borrow()));
    }
}

#[test]
fn a_single_segment_waits_as_long_as_a_peer_may_hold_its_answer_back() {
    // The only one, or the last one left.
    for (lost, bytes) in [(0, 100), (19, 20 * 1448)] {
        let (mut world, client, server) = far_apart();
        let _sent = lose(&mut world, &[lost]);
        let took_ns = time_of_transfer(&mut world, client, server, bytes);
        assert!((200 * MILLISECOND_NS..300 * MILLISECOND_NS).contains(&took_ns), "{took_ns}");
    }
}

/// A peer by hand that knows no selective acknowledgements: the connection's other end, and our first number.
fn by_hand(world: &mut World) -> (ConnectionId, u32) {
    let listener = world.listen(9, 1);
    let (client, server) = world.connect(listener, 9);
    world.close(client, server);
    let listener = world.listen(80, 4);
    let syn = Segment::between(CLIENT, 5000, SERVER, 80).flags(Flags::SYN).options(&[2, 4, 3, 232]).window(0xffff);
    world.inject(SERVER, &syn.frame());
    let answer = spoken(world).remove(0);
    let ack = Segment::between(CLIENT, 5000, SERVER, 80).sequence(1001).acknowledgement(answer.0 + 1).flags(Flags::ACK);
    world.inject(SERVER, &ack.window(0xffff).frame());
    let (id, _) = world.stacks[SERVER].tcp_accept(listener).unwrap();
    (id, answer.0 + 1)
}

/// What the server says now, to nobody: numbers and lengths.
fn spoken(world: &mut World) -> Vec<(u32, usize)> {
    let now_ns = world.now_ns;
    world.stacks[SERVER].flush(&mut world.ports[SERVER], now_ns);
    let frames = std::iter::from_fn(|| world.ports[SERVER].sent.pop_front());
    frames.filter_map(|frame| seen(&frame)).map(|seen| (seen.sequence, seen.payload.len())).collect()
}

fn acknowledge(world: &mut World, number: u32) {
    let ack = Segment::between(CLIENT, 5000, SERVER, 80).sequence(1001).acknowledgement(number).flags(Flags::ACK);
    world.inject(SERVER, &ack.window(0xffff).frame());
}

#[test]
fn whoever_tells_nothing_is_sent_a_hole_for_each_partial_acknowledgement() {
    let mut world = World::with(large_config(CLIENT), large_config(SERVER));
    let (server, first) = by_hand(&mut world);
    let at = |segment: u32| first + 1000 * segment;
    world.stacks[SERVER].tcp_write(server, &pattern(60_000)).unwrap();
    assert_eq!(spoken(&mut world).len(), 10);
    acknowledge(&mut world, at(5));
    let more = spoken(&mut world);
    assert_eq!((more.len(), more[0].0), (10, at(10)), "slow start");
    // Segments 5 and 8 are lost. Each of the first two duplicates lets a new segment out, the third the lost one.
    for expected in [at(20), at(21), at(5)] {
        acknowledge(&mut world, at(5));
        assert_eq!(spoken(&mut world), [(expected, 1000)]);
    }
    // Some more duplicates, until what is under way is below the window again.
    for _ in 0..8 {
        acknowledge(&mut world, at(5));
        assert!(spoken(&mut world).iter().all(|(number, _)| *number > at(21)));
    }
    acknowledge(&mut world, at(8));
    assert_eq!(spoken(&mut world)[0], (at(8), 1000), "the next hole");
    let before = world.stacks[SERVER].tcp_info(server).unwrap();
    acknowledge(&mut world, at(22));
    let after = world.stacks[SERVER].tcp_info(server).unwrap();
    assert_eq!(after.congestion_window_bytes, before.slow_start_threshold_bytes, "{after:?}");
    assert_eq!(after.retransmitted_segments, 2);
}

#[test]
fn duplicates_without_end_open_the_window_no_further_than_it_goes() {
    let mut world = World::with(large_config(CLIENT), large_config(SERVER));
    let (server, first) = by_hand(&mut world);
    world.stacks[SERVER].tcp_write(server, &pattern(60_000)).unwrap();
    assert_eq!(spoken(&mut world).len(), 10);
    for _ in 0..10_000 {
        acknowledge(&mut world, first);
    }
    let info = world.stacks[SERVER].tcp_info(server).unwrap();
    assert!(info.congestion_window_bytes <= 8 << 20, "{info:?}");
}

#[test]
fn what_a_peer_claims_to_have_is_believed_only_if_it_was_sent() {
    let mut world = World::with(large_config(CLIENT), large_config(SERVER));
    let listener = world.listen(80, 4);
    let (client, server) = world.connect(listener, 80);
    world.transfer((CLIENT, client), (SERVER, server), b"warm");
    world.run_for(SECOND_NS);
    let local = world.stacks[CLIENT].tcp_ends(client).unwrap().0;
    // What the client would say next.
    world.stacks[SERVER].tcp_write(server, &pattern(5000)).unwrap();
    let now_ns = world.now_ns;
    world.stacks[SERVER].flush(&mut world.ports[SERVER], now_ns);
    let first = seen(&world.ports[SERVER].sent[0]).unwrap();
    let sent = world.ports[SERVER].sent.len();
    world.ports[SERVER].sent.clear();
    let (begin, end) = (first.sequence, first.sequence + 5000);
    for (from, to) in [(begin + 2000, end + 1), (begin + 3000, begin + 2000), (begin - 5, begin + 10), (end, end + 9)] {
        let ranges = [&[1, 1, 5, 10], &from.to_be_bytes()[..], &to.to_be_bytes()].concat();
        let lie = Segment::between(CLIENT, local.port(), SERVER, 80)
            .sequence(first.acknowledgement)
            .acknowledgement(begin)
            .flags(Flags::ACK)
            .options(&ranges);
        world.inject(SERVER, &lie.frame());
        world.inject(SERVER, &lie.options(&[5, 3, 1, 1, 5, 0, 5, 200]).frame());
    }
    assert_eq!(sent, 3, "a piece waits");
    assert_eq!(world.stacks[SERVER].tcp_info(server).unwrap().flight_bytes, 3 * 1448);
}

#[test]
fn a_lossy_wide_way_is_made_good_use_of() {
    let mut world = World::with(large_config(CLIENT), large_config(SERVER));
    world.latency_ns = ROUND_TRIP_NS / 2;
    world = world.seed(7, crate::world::Weather { lost: 10, ..Default::default() });
    let listener = world.listen(80, 16);
    let (client, server) = world.connect(listener, 80);
    let took_ns = time_of_transfer(&mut world, client, server, 20 << 20);
    let info = world.stacks[CLIENT].tcp_info(client).unwrap();
    let rate_kib = (20 << 10) * SECOND_NS / took_ns;
    // Of 15,000 segments 1 % are lost; hardly more go out again.
    assert!((100..300).contains(&info.retransmitted_segments), "{info:?}");
    // Mathis' bound for Reno is 1.22 * 1448 / 0.05 / 0.1 = 345 KiB a second; CUBIC keeps 0.7 of a window, which is a third more.
    assert!(rate_kib > 345, "{rate_kib} KiB a second");
}

#[test]
fn a_way_that_swallows_long_packets_without_a_word_is_found_out() {
    let (mut world, client, server) = far_apart();
    world.loses = Some(Box::new(|_, frame| frame.len() > 1200));
    let took_ns = time_of_transfer(&mut world, client, server, 300_000);
    assert!(took_ns < 10 * SECOND_NS, "{took_ns}");
    assert_eq!(world.stacks[CLIENT].tcp_info(client).unwrap().segment_bytes, 1024);
    // Where everything is lost, short ones are as well, and nothing changes for who has only short ones.
    world.loses = Some(Box::new(|_, frame| frame.len() > 60));
    world.stacks[SERVER].tcp_write(server, &pattern(100)).unwrap();
    world.run_for(20 * SECOND_NS);
    assert_eq!(world.stacks[SERVER].tcp_info(server).unwrap().segment_bytes, 1448);
}

#[test]
fn a_window_that_is_not_used_does_not_grow() {
    let (mut world, client, server) = far_apart();
    let before = world.stacks[CLIENT].tcp_info(client).unwrap().congestion_window_bytes;
    for _ in 0..200 {
        assert_eq!(world.transfer((CLIENT, client), (SERVER, server), b"request"), b"request");
        assert_eq!(world.transfer((SERVER, server), (CLIENT, client), b"answer"), b"answer");
    }
    assert_eq!(world.stacks[CLIENT].tcp_info(client).unwrap().congestion_window_bytes, before);
    assert_eq!(world.stacks[CLIENT].tcp_read(client, &mut [0; 1]), Err(Error::WouldBlock));
}

/// They arrive together, so there is one turn to tell of all of them, by acknowledgements that name three each.
#[test]
fn of_many_that_are_lost_in_a_window_each_goes_out_again_once() {
    let (mut world, client, server) = far_apart();
    let lost: Vec<usize> = (2..60).step_by(5).collect();
    let sent = lose(&mut world, &lost);
    let took_ns = time_of_transfer(&mut world, client, server, 100 * 1448);
    let sent = sent.borrow();
    let mut expected: Vec<u32> = lost.iter().map(|&at| sent[at]).collect();
    expected.sort_unstable();
    assert_eq!(again(&sent), expected);
    // There, the news back, and there again.
    assert!(took_ns < 4 * ROUND_TRIP_NS, "{took_ns}");
}
