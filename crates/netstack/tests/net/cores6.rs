//! IPv6 on a machine with several cores: one speaks with neighbours and routers, all have the addresses.

use crate::frames6::{Packet, ROUTER, ROUTER_MAC, advertisement, neighbor, prefix, solicited, taken_apart};
use crate::host6::{ADVERTISEMENT, AWAY, GLOBAL, OWN, PREFIX, SOLICITATION};
use crate::world::{MILLISECOND_NS, Port, SECOND_NS, SERVER, config, end, mac};
use core::net::Ipv6Addr;
use std::collections::VecDeque;
use toro_netstack::{Error, Event, Received, Seat, Stack, State6, Steering};

const CORES: u8 = 3;

struct Machine {
    cores: Vec<Stack>,
    now_ns: u64,
}

impl Machine {
    fn new() -> Machine {
        let steering: &'static Steering = Box::leak(Box::default());
        let core = |core| {
            let mut config = config(SERVER);
            config.seat = Some(Seat { core, cores: CORES, steering });
            Stack::new(config)
        };
        Machine { cores: (0..CORES).map(core).collect(), now_ns: SECOND_NS }
    }

    /// Lets all speak until nobody has anything to say; what went out, and from which core.
    fn settle(&mut self) -> Vec<(usize, Packet)> {
        let mut said = Vec::new();
        loop {
            let mut messages = Vec::new();
            for (core, stack) in self.cores.iter_mut().enumerate() {
                let mut port = Port { sent: VecDeque::new(), room: 100, cut: 0 };
                stack.flush(&mut port, self.now_ns);
                said.extend(port.sent.iter().filter_map(|frame| taken_apart(frame)).map(|packet| (core, packet)));
                messages.extend(core::iter::from_fn(|| stack.next_message()));
            }
            if messages.is_empty() {
                return said;
            }
            for (core, message) in messages {
                self.cores[core].deliver(message, self.now_ns);
            }
        }
    }

    fn run_for(&mut self, time_ns: u64) -> Vec<(usize, Packet)> {
        let end_ns = self.now_ns + time_ns;
        let mut said = self.settle();
        while let Some(next_ns) =
            self.cores.iter_mut().filter_map(Stack::next_deadline).min().filter(|at| *at <= end_ns)
        {
            self.now_ns = next_ns;
            said.extend(self.settle());
        }
        self.now_ns = end_ns;
        said
    }

    fn hear(&mut self, core: usize, packet: &Packet) {
        self.cores[core].receive(&packet.frame(SERVER), Received::Unverified, self.now_ns);
    }
}

#[test]
fn one_core_speaks_with_routers_and_neighbours_for_all() {
    let mut machine = Machine::new();
    machine.settle();
    machine.cores[0].start_ipv6(0, machine.now_ns);
    let said = machine.run_for(SECOND_NS);
    assert!(said.len() >= 3 && said.iter().all(|(core, _)| *core == 0));
    // Whatever core the card gives it to.
    machine.hear(2, &advertisement(1800, &prefix(PREFIX, 86_400, 14_400)));
    machine.run_for(2 * SECOND_NS);
    for core in &mut machine.cores {
        let known: Vec<_> = core.addresses6(0).map(|address| (address.ip, address.state)).collect();
        assert_eq!(known, [(OWN, State6::Preferred), (GLOBAL, State6::Preferred)]);
        assert_eq!(core.routers6(0).collect::<Vec<_>>(), [ROUTER]);
        assert_eq!(core.next_event(), Some(Event::Addresses6));
    }
    let told = [&[1, 1][..], &ROUTER_MAC].concat();
    let question = |target| Packet::message(ROUTER, solicited(target), &neighbor(SOLICITATION, 0, target, &told));
    machine.hear(1, &question(OWN));
    let said = machine.settle();
    assert_eq!(said.iter().map(|(core, packet)| (*core, packet.payload[0])).collect::<Vec<_>>(), [(0, ADVERTISEMENT)]);
    // Another core asks the first where a neighbour is, and hears what that has heard just now.
    let socket = machine.cores[1].udp_bind(end(Ipv6Addr::UNSPECIFIED, 0)).unwrap();
    machine.cores[1].udp_send(socket, b"hello", end(AWAY, 9)).unwrap();
    let said = machine.settle();
    assert_eq!(said.iter().map(|(core, packet)| (*core, packet.protocol)).collect::<Vec<_>>(), [(1, 17)]);
    let near = Ipv6Addr::new(0x2001, 0xdb8, 0, 1, 0, 0, 0, 7);
    let client = machine.cores[2].tcp_connect(end(near, 80), machine.now_ns).unwrap();
    let said = machine.settle();
    assert_eq!(said.iter().map(|(core, packet)| (*core, packet.payload[0])).collect::<Vec<_>>(), [(0, SOLICITATION)]);
    let option = [&[2, 1][..], &ROUTER_MAC].concat();
    machine.hear(2, &Packet::message(near, GLOBAL, &neighbor(ADVERTISEMENT, 0x60, near, &option)));
    let said = machine.settle();
    assert_eq!(said.iter().map(|(core, packet)| (*core, packet.protocol)).collect::<Vec<_>>(), [(2, 6)]);
    // What it means for a connection that its address goes away, all hear.
    machine.hear(0, &advertisement(1800, &prefix(PREFIX, 7200, 0)));
    machine.now_ns += 86_400 * SECOND_NS;
    machine.settle();
    assert_eq!(machine.cores[2].tcp_connected(client), Err(Error::ConnectionAborted));
    assert!(machine.cores.iter().all(|core| core.addresses6(0).count() == 1));
}

#[test]
fn questions_for_others_disturb_nobody_and_later_cores_know_all() {
    let steering: &'static Steering = Box::leak(Box::default());
    let seat = |core| Some(Seat { core, cores: 2, steering });
    let with = |core| Stack::new(toro_netstack::Config { seat: seat(core), ..config(SERVER) });
    let mut machine = Machine { cores: vec![with(0)], now_ns: SECOND_NS };
    assert!(machine.cores[0].add_address6(0, GLOBAL, 64, machine.now_ns));
    machine.run_for(2 * SECOND_NS);
    machine.cores.push(with(1));
    machine.run_for(MILLISECOND_NS);
    assert_eq!(machine.cores[1].addresses6(0).map(|address| address.ip).collect::<Vec<_>>(), [GLOBAL]);
    let other = Ipv6Addr::new(0x2001, 0xdb8, 0, 1, 0, 0, 0, 0xff00);
    let told = [&[1, 1][..], &mac(0)].concat();
    machine.hear(1, &Packet::message(ROUTER, solicited(GLOBAL), &neighbor(SOLICITATION, 0, other, &told)));
    assert!(!machine.cores[1].has_messages());
    machine.hear(1, &Packet::message(ROUTER, solicited(GLOBAL), &neighbor(SOLICITATION, 0, GLOBAL, &told)));
    assert!(machine.cores[1].has_messages());
}
