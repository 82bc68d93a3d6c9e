//! A link that goes down and comes up: what is said meanwhile, and what is done then.

use crate::world::{CLIENT, MILLISECOND_NS, SECOND_NS, SERVER, World, at, ip, pattern};
use core::net::{Ipv4Addr, SocketAddr};
use std::cell::Cell;
use std::rc::Rc;
use toro_netstack::{Ending, Error, Event, Stack, UdpOption};

fn any(port: u16) -> SocketAddr {
    SocketAddr::from((Ipv4Addr::UNSPECIFIED, port))
}

/// Frames that the client has sent, and those that say where it is.
#[derive(Clone, Default)]
struct Watched {
    frames: Rc<Cell<usize>>,
    announced: Rc<Cell<usize>>,
    /// The wire carries nothing.
    cut: Rc<Cell<bool>>,
}

impl Watched {
    fn on(world: &mut World) -> Watched {
        let watched = Watched::default();
        let Watched { frames, announced, cut } = watched.clone();
        world.loses = Some(Box::new(move |from, frame| {
            if from == CLIENT {
                frames.set(frames.get() + 1);
                let request = frame[12..14] == [8, 6] && frame[20..22] == [0, 1];
                let of_itself = frame[28..32] == ip(CLIENT).octets() && frame[38..42] == ip(CLIENT).octets();
                announced.set(announced.get() + usize::from(request && of_itself && frame[..6] == [0xff; 6]));
            }
            cut.get()
        }));
        watched
    }
}

fn read_all(stack: &mut Stack, connection: toro_netstack::ConnectionId, bytes: &mut Vec<u8>) {
    let mut buffer = [0; 4096];
    while let Ok(count @ 1..) = stack.tcp_read(connection, &mut buffer) {
        bytes.extend_from_slice(&buffer[..count]);
    }
}

#[test]
fn nothing_goes_into_a_dead_link_and_connections_go_on_when_it_is_up() {
    let mut world = World::new();
    let listener = world.listen(80, 16);
    let (client, server) = world.connect(listener, 80);
    let datagrams = world.stacks[CLIENT].udp_bind(any(0)).unwrap();
    while world.stacks[CLIENT].next_event().is_some() {}
    let watched = Watched::on(&mut world);
    watched.cut.set(true);
    let now_ns = world.now_ns;
    world.stacks[CLIENT].set_link(0, false, now_ns);
    assert_eq!(world.stacks[CLIENT].next_event(), Some(Event::Link(0, false)));
    let sent = pattern(6000);
    assert_eq!(world.stacks[CLIENT].tcp_write(client, &sent), Ok(sent.len()));
    for _ in 0..200 {
        assert_eq!(world.stacks[CLIENT].udp_send(datagrams, b"lost", at(SERVER, 53)), Ok(()), "it never has to wait");
        world.run_for(MILLISECOND_NS);
    }
    world.run_for(100 * SECOND_NS);
    assert_eq!(watched.frames.get(), 0);
    let statistics = world.stacks[CLIENT].statistics();
    assert_eq!((statistics.link_dropped, statistics.packets_dropped), (200, 0));
    assert!(!world.stacks[CLIENT].link_is_up(0));
    assert_eq!(statistics.segments_retransmitted, 0);

    watched.cut.set(false);
    let now_ns = world.now_ns;
    world.stacks[CLIENT].set_link(0, true, now_ns);
    assert_eq!(world.stacks[CLIENT].next_event(), Some(Event::Link(0, true)));
    let mut received = Vec::new();
    world.run_until(50 * MILLISECOND_NS, |world| {
        read_all(&mut world.stacks[SERVER], server, &mut received);
        received.len() == sent.len()
    });
    assert_eq!((received == sent, watched.announced.get()), (true, 1));
    assert_eq!(world.transfer((SERVER, server), (CLIENT, client), b"and back"), b"and back");
    world.close(client, server);
}

/// Before anybody knows that the link is down, everything is lost, and time-outs grow; none of it outlives the dead link.
#[test]
fn what_was_lost_before_it_was_known_goes_out_at_once() {
    let mut world = World::new();
    let listener = world.listen(80, 16);
    let (client, server) = world.connect(listener, 80);
    let watched = Watched::on(&mut world);
    watched.cut.set(true);
    let sent = pattern(8000);
    assert_eq!(world.stacks[CLIENT].tcp_write(client, &sent), Ok(sent.len()));
    world.run_for(40 * SECOND_NS);
    let tries = watched.frames.get();
    assert!((3..40).contains(&tries), "{tries} frames");
    let now_ns = world.now_ns;
    world.stacks[CLIENT].set_link(0, false, now_ns);
    world.run_for(20 * SECOND_NS);
    assert_eq!(watched.frames.get(), tries);
    watched.cut.set(false);
    let now_ns = world.now_ns;
    world.stacks[CLIENT].set_link(0, true, now_ns);
    let mut received = Vec::new();
    world.run_until(300 * MILLISECOND_NS, |world| {
        read_all(&mut world.stacks[SERVER], server, &mut received);
        received.len() == sent.len()
    });
    assert!(received == sent);
    // The next time-out is a young one again.
    let info = world.stacks[CLIENT].tcp_info(client).unwrap();
    assert!(info.retransmit_timeout_ns <= SECOND_NS, "{info:?}");
}

#[test]
fn patience_ends_all_the_same() {
    let mut world = World::new();
    let listener = world.listen(80, 16);
    let (client, _server) = world.connect(listener, 80);
    let now_ns = world.now_ns;
    world.stacks[CLIENT].set_link(0, false, now_ns);
    world.stacks[CLIENT].tcp_write(client, b"never").unwrap();
    let opening = world.stacks[CLIENT].tcp_connect(at(SERVER, 80), now_ns).unwrap();
    world.run_for(100 * SECOND_NS);
    assert_eq!(world.stacks[CLIENT].tcp_connected(opening), Err(Error::TimedOut));
    world.run_for(300 * SECOND_NS);
    assert_eq!(world.stacks[CLIENT].tcp_read(client, &mut [0; 8]), Err(Error::TimedOut));
    world.stacks[CLIENT].tcp_close(client, Ending::Orderly, now_ns);
    world.stacks[CLIENT].tcp_close(opening, Ending::Orderly, now_ns);
    world.run_for(SECOND_NS);
    assert_eq!(world.stacks[CLIENT].statistics().connections, 0);
}

#[test]
fn this_machine_talks_to_itself_meanwhile() {
    let mut world = World::new();
    let now_ns = world.now_ns;
    world.stacks[SERVER].set_link(0, false, now_ns);
    let listener = world.listen(80, 16);
    let own = world.stacks[SERVER].tcp_connect(at(SERVER, 80), now_ns).unwrap();
    world.run_for(SECOND_NS);
    let (other, _) = world.stacks[SERVER].tcp_accept(listener).unwrap();
    world.stacks[SERVER].tcp_write(own, b"inside").unwrap();
    world.stacks[SERVER].set_link(0, true, now_ns);
    world.run_for(SECOND_NS);
    assert_eq!(world.stacks[SERVER].tcp_read(other, &mut [0; 8]), Ok(6));
    assert_eq!(world.stacks[SERVER].statistics().segments_retransmitted, 0);
}

/// Moved to other hardware, a machine is told to say so; what is open is left alone.
#[test]
fn an_announcement_is_one_frame() {
    let mut world = World::new();
    let listener = world.listen(80, 16);
    let (client, server) = world.connect(listener, 80);
    let watched = Watched::on(&mut world);
    world.stacks[CLIENT].announce(0);
    world.run_for(10 * SECOND_NS);
    assert_eq!((watched.frames.get(), watched.announced.get()), (1, 1));
    assert_eq!(world.transfer((CLIENT, client), (SERVER, server), b"on"), b"on");
}

#[test]
fn groups_are_reported_anew() {
    let mut world = World::new();
    let group = Ipv4Addr::new(239, 1, 2, 3);
    let socket = world.stacks[CLIENT].udp_bind(any(7000)).unwrap();
    world.stacks[CLIENT].udp_set(socket, UdpOption::Join(group.into())).unwrap();
    world.run_for(10 * SECOND_NS);
    let watched = Watched::on(&mut world);
    let now_ns = world.now_ns;
    world.stacks[CLIENT].set_link(0, false, now_ns);
    world.stacks[CLIENT].set_link(0, true, now_ns);
    world.run_for(10 * SECOND_NS);
    // Itself, and the report twice.
    assert_eq!((watched.frames.get(), watched.announced.get()), (3, 1));
}
