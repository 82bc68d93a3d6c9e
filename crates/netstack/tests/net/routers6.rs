//! How a link gets its addresses of IPv6 by itself, and what it says of them to neighbours and hears from routers.

use crate::frames6::{ALL_NODES, Packet, ROUTER, ROUTER_MAC, UDP, advertisement, neighbor, prefix, solicited};
use crate::host6::{ADVERTISEMENT, AWAY, GLOBAL, Host, OWN, PREFIX, SOLICITATION};
use crate::world::{MILLISECOND_NS, SECOND_NS, SERVER, config, end, mac};
use core::net::Ipv6Addr;
use toro_netstack::{Address6, Config, Error, Event, LinkConfig, Received, Stack, State6};

#[test]
fn a_link_gets_its_own_address_and_asks_for_routers_three_times() {
    let mut host = Host::new();
    assert!(host.stack.start_ipv6(0, host.now_ns));
    assert!(host.run_for(200 * MILLISECOND_NS).is_empty(), "it does not begin at once");
    let said = host.run_for(20 * SECOND_NS);
    let kinds: Vec<_> = said.iter().map(|packet| (packet.payload[0], packet.source, packet.destination)).collect();
    let (nobody, group) = (Ipv6Addr::UNSPECIFIED, solicited(OWN));
    let routers = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 2);
    // It joins the group in which it is asked for, asks whether somebody has the address, and asks for routers; the report is repeated.
    assert_eq!(kinds[..3], [(131, nobody, group), (SOLICITATION, nobody, group), (133, nobody, routers)]);
    assert!(kinds[3..5].iter().all(|kind| kind.0 == 131 || kind.0 == 133), "{kinds:?}");
    let asked: Vec<_> = said.iter().filter(|packet| packet.payload[0] == 133).collect();
    assert_eq!(asked.iter().map(|packet| packet.source).collect::<Vec<_>>(), [nobody, OWN, OWN]);
    assert_eq!(asked[1].payload[8..], [&[1, 1][..], &mac(SERVER)].concat());
    for packet in &said {
        let hops = if packet.payload[0] == 131 { 1 } else { 255 };
        assert_eq!(packet.hops, hops);
        assert_eq!(packet.extensions.is_some(), packet.payload[0] == 131);
    }
    assert_eq!(host.states(), [(OWN, State6::Preferred)]);
    assert_eq!(host.stack.next_event(), Some(Event::Addresses6));
    assert_eq!(host.stack.next_deadline(), None, "nothing wakes it any more");
}

#[test]
fn a_link_that_carries_too_little_has_no_ipv6() {
    let mut stack =
        Stack::new(Config { link: LinkConfig { mtu_bytes: 1279, ..config(SERVER).link }, ..config(SERVER) });
    assert!(!stack.start_ipv6(0, 0) && !stack.add_address6(0, GLOBAL, 64, 0));
    assert_eq!((stack.next_deadline(), stack.addresses6(0).count()), (None, 0));
}

#[test]
fn routers_make_addresses_and_ways() {
    let mut host = Host::new();
    assert!(host.stack.start_ipv6(0, host.now_ns));
    host.run_for(SECOND_NS);
    let mac_option = [&[1, 1][..], &ROUTER_MAC].concat();
    let mtu = [5, 1, 0, 0, 0, 0, 5, 0xdc - 100];
    let server = "2001:db8::53".parse::<Ipv6Addr>().unwrap();
    let servers = [&[25, 3, 0, 0, 0, 0, 2, 0][..], &server.octets()].concat();
    let domains = [&[31, 3, 0, 0, 0, 0, 2, 0, 3][..], b"lab\x07example\0", &[0; 3]].concat();
    let options = [mac_option, mtu.to_vec(), prefix(PREFIX, 86_400, 14_400), servers, domains].concat();
    host.hear(&advertisement(1800, &options));
    assert_eq!(host.states(), [(OWN, State6::Optimistic), (GLOBAL, State6::Optimistic)]);
    let said = host.messages(SOLICITATION, 3 * SECOND_NS);
    assert_eq!(said.len(), 1, "one question whether somebody has it");
    assert_eq!((said[0].source, &said[0].payload[8..24]), (Ipv6Addr::UNSPECIFIED, &GLOBAL.octets()[..]));
    assert_eq!(host.states(), [(OWN, State6::Preferred), (GLOBAL, State6::Preferred)]);
    assert_eq!(host.stack.routers6(0).collect::<Vec<_>>(), [ROUTER]);
    assert_eq!(host.stack.name_servers6().collect::<Vec<_>>(), [server]);
    assert_eq!(host.stack.domains6().collect::<Vec<_>>(), ["lab.example"]);
    // What is sent goes to the router, whose address it has told, from the address that is good beyond the link.
    let socket = host.stack.udp_bind(end(Ipv6Addr::UNSPECIFIED, 7)).unwrap();
    host.stack.udp_send(socket, &[1; 1400], end(AWAY, 7)).unwrap();
    host.stack.flush(&mut host.port, host.now_ns);
    let frames: Vec<_> = host.port.sent.drain(..).collect();
    assert_eq!(frames.iter().map(|frame| frame[..6].to_vec()).collect::<Vec<_>>(), [ROUTER_MAC; 2]);
    assert!(frames.iter().all(|frame| frame.len() <= 14 + 1400 && frame[22..38] == GLOBAL.octets()), "{frames:?}");
    assert_eq!(host.stack.next_deadline(), None, "nothing wakes it, though all of it is on loan");
    // The times are over.
    host.now_ns += 14_401 * SECOND_NS;
    host.say();
    assert_eq!(host.states(), [(OWN, State6::Preferred), (GLOBAL, State6::Deprecated)]);
    assert_eq!(host.stack.routers6(0).count() + host.stack.name_servers6().count() + host.stack.domains6().count(), 0);
    assert_eq!(host.stack.udp_send(socket, b"x", end(AWAY, 7)), Err(Error::NetworkUnreachable));
    host.now_ns += 86_400 * SECOND_NS;
    host.say();
    assert_eq!(host.states(), [(OWN, State6::Preferred)]);
}

#[test]
fn a_router_cannot_end_an_address_at_once() {
    let mut host = Host::settled();
    let listener = host.stack.tcp_listen(end(GLOBAL, 80), 4).unwrap();
    // Whoever says that it is over gets two hours.
    host.hear(&advertisement(1800, &prefix(PREFIX, 0, 0)));
    host.say();
    assert_eq!(host.states()[1], (GLOBAL, State6::Deprecated));
    host.now_ns += 7199 * SECOND_NS;
    host.say();
    assert_eq!(host.states()[1], (GLOBAL, State6::Deprecated));
    host.now_ns += SECOND_NS;
    host.say();
    assert_eq!(host.states(), [(OWN, State6::Preferred)]);
    host.stack.tcp_close_listener(listener);
}

#[test]
fn what_routers_say_is_bounded_and_checked() {
    let mut host = Host::settled();
    let before = host.stack.addresses6(0).collect::<Vec<Address6>>();
    let good = advertisement(1800, &prefix(Ipv6Addr::new(0x2001, 0xdb8, 0, 9, 0, 0, 0, 0), 100, 100));
    let bad = [
        Packet { hops: 254, ..good.clone() },
        Packet { source: AWAY, ..good.clone() },
        Packet { payload: [&good.payload[..], &[5, 0]].concat(), ..good.clone() },
        Packet { payload: [&good.payload[..], &[5, 2, 0, 0]].concat(), ..good.clone() },
        Packet { payload: good.payload[..15].to_vec(), ..good.clone() },
    ];
    for packet in &bad {
        host.hear(packet);
    }
    let mut damaged = good.frame(SERVER);
    damaged[60] ^= 1;
    host.stack.receive(&damaged, Received::Unverified, host.now_ns);
    assert_eq!(host.stack.statistics().malformed, 6);
    // Preferred for longer than valid; of the link itself; not of 64 bits.
    let mut odd = prefix(Ipv6Addr::new(0x2001, 0xdb8, 0, 8, 0, 0, 0, 0), 100, 100);
    odd[2] = 60;
    for option in [prefix(AWAY, 100, 101), prefix(OWN, 100, 100), odd, prefix(ALL_NODES, 100, 100)] {
        host.hear(&advertisement(1800, &option));
    }
    host.say();
    assert_eq!(host.stack.addresses6(0).collect::<Vec<_>>(), before);
    for number in 0..100 {
        let other = Ipv6Addr::new(0x2001, 0xdb8, 1, number, 0, 0, 0, 0);
        let router = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 1, number);
        let from_there = Packet { source: router, ..advertisement(1800, &prefix(other, 86_400, 86_400)) };
        host.hear(&from_there);
        host.run_for(10 * MILLISECOND_NS);
    }
    assert_eq!((host.stack.addresses6(0).count(), host.stack.routers6(0).count()), (8, 4));
}

#[test]
fn whoever_asks_for_us_is_answered() {
    let mut host = Host::settled();
    let peer = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 0x99);
    let told = [&[1, 1][..], &ROUTER_MAC].concat();
    host.hear(&Packet::message(peer, solicited(OWN), &neighbor(SOLICITATION, 0, OWN, &told)));
    let said = host.messages(ADVERTISEMENT, MILLISECOND_NS);
    assert_eq!(said.len(), 1);
    assert_eq!((said[0].source, said[0].destination, said[0].hops), (OWN, peer, 255));
    assert_eq!(said[0].payload[4], 0x60, "asked for, and certain");
    assert_eq!(said[0].payload[24..], [&[2, 1][..], &mac(SERVER)].concat());
    // It has learned where the peer is.
    let socket = host.stack.udp_bind(end(Ipv6Addr::UNSPECIFIED, 7)).unwrap();
    host.stack.udp_send(socket, b"x", end(peer, 7)).unwrap();
    assert_eq!(host.say().iter().map(|packet| packet.protocol).collect::<Vec<_>>(), [UDP]);
    // Somebody without an address of its own asks whether it may have ours: all hear the answer.
    let anonymous = Packet::message(Ipv6Addr::UNSPECIFIED, solicited(OWN), &neighbor(SOLICITATION, 0, OWN, &[]));
    host.hear(&anonymous);
    let said = host.messages(ADVERTISEMENT, MILLISECOND_NS);
    assert_eq!(said.iter().map(|packet| packet.destination).collect::<Vec<_>>(), [ALL_NODES]);
    assert_eq!(said[0].payload[4], 0x20);
    // Nobody else is spoken for, and nothing that came from beyond the link is believed.
    let routed = Packet { hops: 64, ..anonymous.clone() };
    let of_another = Packet::message(peer, solicited(OWN), &neighbor(SOLICITATION, 0, peer, &told));
    let with_mac = Packet { payload: neighbor(SOLICITATION, 0, OWN, &told), ..anonymous.clone() };
    let to_one = Packet { destination: OWN, ..anonymous };
    for packet in [routed, of_another, with_mac, to_one] {
        host.hear(&packet);
    }
    assert!(host.messages(ADVERTISEMENT, MILLISECOND_NS).is_empty());
    assert_eq!(host.states().len(), 2);
}

#[test]
fn a_neighbour_is_asked_confirmed_and_given_up() {
    let mut host = Host::settled();
    let peer = Ipv6Addr::new(0x2001, 0xdb8, 0, 1, 0, 0, 0, 0x99);
    let to = end(peer, 7);
    let socket = host.stack.udp_bind(end(Ipv6Addr::UNSPECIFIED, 7)).unwrap();
    // An answer to nothing is no news.
    host.neighbor_says(peer, 0x60);
    host.stack.udp_send(socket, b"1", to).unwrap();
    let asked = host.messages(SOLICITATION, 10 * MILLISECOND_NS);
    assert_eq!(asked.len(), 1);
    assert_eq!((asked[0].source, asked[0].destination), (GLOBAL, solicited(peer)));
    assert_eq!(asked[0].payload[24..], [&[1, 1][..], &mac(SERVER)].concat());
    host.neighbor_says(peer, 0x60);
    assert_eq!(host.say().iter().map(|packet| packet.protocol).collect::<Vec<_>>(), [UDP], "what has waited goes");
    // A minute later it is asked once more, by itself, and meanwhile spoken to.
    host.run_for(61 * SECOND_NS);
    host.stack.udp_send(socket, b"2", to).unwrap();
    let said = host.say();
    assert_eq!(
        said.iter().map(|packet| (packet.protocol, packet.destination)).collect::<Vec<_>>(),
        [(UDP, peer), (58, peer)]
    );
    // It is not an answer unless it says so.
    host.neighbor_says(peer, 0x20);
    host.run_for(11 * SECOND_NS);
    host.stack.udp_send(socket, b"3", to).unwrap();
    assert_eq!(host.messages(SOLICITATION, 10 * SECOND_NS).len(), 3, "asked as one that is not known");
    assert_eq!(host.stack.statistics().packets_dropped, 1);
    assert_eq!(host.stack.next_deadline(), None);
}

#[test]
fn an_address_that_somebody_has_is_given_up() {
    for as_answer in [true, false] {
        let mut host = Host::new();
        assert!(host.stack.add_address6(0, GLOBAL, 64, host.now_ns));
        let own: Vec<_> = host.say().into_iter().filter(|packet| packet.payload[0] == SOLICITATION).collect();
        // Its own question comes back from the link: that is nobody else.
        host.hear(&own[0]);
        assert_eq!(host.states(), [(GLOBAL, State6::Optimistic)]);
        let socket = host.stack.udp_bind(end(GLOBAL, 7)).unwrap();
        let client =
            host.stack.tcp_connect(end(Ipv6Addr::new(0x2001, 0xdb8, 0, 1, 0, 0, 0, 9), 80), host.now_ns).unwrap();
        // It asks for neighbours without saying where it is itself, and does not take anybody's place.
        let asked = host.messages(SOLICITATION, MILLISECOND_NS);
        assert_eq!((asked.len(), asked[0].source, asked[0].payload.len()), (1, GLOBAL, 24));
        host.hear(&Packet::message(
            ROUTER,
            solicited(GLOBAL),
            &neighbor(SOLICITATION, 0, GLOBAL, &[&[1, 1][..], &ROUTER_MAC].concat()),
        ));
        assert_eq!(host.messages(ADVERTISEMENT, MILLISECOND_NS)[0].payload[4], 0x40);
        let other = if as_answer {
            Packet::message(
                GLOBAL,
                ALL_NODES,
                &neighbor(ADVERTISEMENT, 0x20, GLOBAL, &[&[2, 1][..], &ROUTER_MAC].concat()),
            )
        } else {
            Packet::message(
                Ipv6Addr::UNSPECIFIED,
                solicited(GLOBAL),
                &neighbor(SOLICITATION, 0, GLOBAL, &[14, 1, 1, 2, 3, 4, 5, 6]),
            )
        };
        if as_answer {
            // Whoever speaks from our own address is not heard otherwise.
            host.hear(&Packet { source: ROUTER, ..other });
        } else {
            host.hear(&other);
        }
        assert_eq!(host.states(), []);
        assert_eq!(host.stack.tcp_connected(client), Err(Error::ConnectionAborted));
        assert_eq!(host.stack.udp_send(socket, b"x", end(ROUTER, 7)), Err(Error::AddressNotAvailable));
    }
}

#[test]
fn where_somebody_has_the_links_own_address_there_is_none() {
    let mut host = Host::new();
    assert!(host.stack.start_ipv6(0, host.now_ns));
    host.run_for(500 * MILLISECOND_NS);
    let option = [&[2, 1][..], &ROUTER_MAC].concat();
    host.hear(&Packet::message(ROUTER, ALL_NODES, &neighbor(ADVERTISEMENT, 0x20, OWN, &option)));
    host.hear(&advertisement(1800, &prefix(PREFIX, 86_400, 14_400)));
    host.run_for(20 * SECOND_NS);
    assert_eq!(host.states(), []);
    // Unless the link is another one.
    host.stack.set_link(0, false, host.now_ns);
    host.stack.set_link(0, true, host.now_ns);
    host.run_for(2 * SECOND_NS);
    assert_eq!(host.states(), [(OWN, State6::Preferred)]);
    host.hear(&advertisement(1800, &prefix(PREFIX, 86_400, 14_400)));
    assert_eq!(host.states().len(), 2);
}

#[test]
fn once_it_is_certain_an_address_stays() {
    let mut host = Host::settled();
    let other = neighbor(ADVERTISEMENT, 0x20, GLOBAL, &[&[2, 1][..], &ROUTER_MAC].concat());
    host.hear(&Packet::message(ROUTER, ALL_NODES, &other));
    assert_eq!(host.states().len(), 2);
}

#[test]
fn who_chose_its_address_asks_no_router_when_the_link_is_up_again() {
    let mut host = Host::new();
    assert!(host.stack.add_address6(0, GLOBAL, 64, host.now_ns));
    host.run_for(3 * SECOND_NS);
    host.stack.set_link(0, false, host.now_ns);
    host.stack.set_link(0, true, host.now_ns);
    assert_eq!(host.messages(133, 60 * SECOND_NS).len(), 0);
    assert_eq!(host.states(), [(GLOBAL, State6::Preferred)]);
}

#[test]
fn a_link_that_comes_up_may_be_another_one() {
    let mut host = Host::settled();
    // Moved while it was up: everybody is told where we are.
    host.stack.announce(0);
    let said = host.messages(ADVERTISEMENT, SECOND_NS);
    assert_eq!(said.iter().map(|packet| packet.source).collect::<Vec<_>>(), [OWN, GLOBAL]);
    assert!(said.iter().all(|packet| packet.destination == ALL_NODES && packet.payload[4] == 0x20));
    host.stack.set_link(0, false, host.now_ns);
    assert!(host.run_for(10 * SECOND_NS).is_empty());
    host.stack.set_link(0, true, host.now_ns);
    assert_eq!(host.states(), [(OWN, State6::Optimistic), (GLOBAL, State6::Optimistic)]);
    let said = host.run_for(MILLISECOND_NS);
    let count = |kind: u8| said.iter().filter(|packet| packet.payload[0] == kind).count();
    assert_eq!((count(SOLICITATION), count(133), count(ADVERTISEMENT), count(131)), (2, 1, 0, 1));
    host.hear(&advertisement(1800, &[]));
    host.run_for(10 * SECOND_NS);
    assert_eq!(host.states(), [(OWN, State6::Preferred), (GLOBAL, State6::Preferred)]);
    assert_eq!(host.stack.next_deadline(), None);
}
