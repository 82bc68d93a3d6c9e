//! Defects beside TCP that were found once, each as the conversation that showed it.

use crate::world::{SERVER, World, config};
use core::net::{Ipv4Addr, SocketAddrV4};
use toro_netstack::{Error, Flushed, NoDevice, Stack};

const LOCALHOST: Ipv4Addr = Ipv4Addr::LOCALHOST;

/// A datagram to everybody, on a machine without a card, kept the core awake for ever.
#[test]
fn without_a_card_nothing_waits_for_one() {
    let mut stack = Stack::new(config(SERVER));
    let listener = stack.tcp_listen(SocketAddrV4::new(LOCALHOST, 80), 8).unwrap();
    let everybody = SocketAddrV4::new(Ipv4Addr::BROADCAST, 9);
    let local = stack.udp_bind(SocketAddrV4::new(LOCALHOST, 0)).unwrap();
    assert_eq!(stack.udp_send(local, b"x", everybody), Err(Error::InvalidInput));
    let any = stack.udp_bind(SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, 0)).unwrap();
    assert_eq!(stack.udp_send(any, b"x", everybody), Err(Error::NetworkUnreachable));
    // Whatever else may be meant for a link: it goes, and loopback works.
    stack.start_dhcp(0);
    let client = stack.tcp_connect(SocketAddrV4::new(LOCALHOST, 80), 0).unwrap();
    assert_eq!(stack.flush(&mut NoDevice, 0), Flushed::Whole);
    assert!(!stack.has_work());
    assert_eq!(stack.tcp_connected(client), Ok(()));
    assert!(stack.tcp_accept(listener).is_ok());
}

/// A loopback address left the machine as a source.
#[test]
fn a_loopback_source_stays_inside() {
    let mut world = World::new();
    let server = &mut world.stacks[SERVER];
    let socket = server.udp_bind(SocketAddrV4::new(LOCALHOST, 5000)).unwrap();
    for octets in [[255, 255, 255, 255], [10, 0, 0, 255], [10, 0, 0, 1]] {
        let outside = SocketAddrV4::new(Ipv4Addr::from(octets), 9);
        assert_eq!(server.udp_send(socket, b"x", outside), Err(Error::InvalidInput));
    }
    assert!(!server.has_work());
    assert_eq!(server.udp_send(socket, b"x", SocketAddrV4::new(LOCALHOST, 5000)), Ok(()));
    assert_eq!(server.flush(&mut world.ports[SERVER], 0), Flushed::Whole);
    assert!(world.ports[SERVER].sent.is_empty());
    assert_eq!(server.udp_receive(socket, &mut [0; 9], false).unwrap().0, 1);
}
