//! One machine with a stack on each of several cores, and a client with one: packets find the core they belong to.

use crate::frames::{Flags, Segment, arp_frame, udp_frame};
use crate::world::{
    CLIENT, FAMILIES, Family, MILLISECOND_NS, Port, SECOND_NS, SERVER, address, at, config, end, ip, ip6, mac, pattern,
};
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::collections::VecDeque;
use toro_netstack::{ConnectionId, Ending, Error, ListenerId, Message, Received, Seat, Stack, Statistics, Steering};

/// How frames come to a core.
#[derive(Clone, Copy, PartialEq)]
enum Card {
    /// All on core 0.
    OneQueue,
    /// A queue for each core, chosen as the device likes: here, by chance.
    Queues,
}

/// A client, and a machine with several cores; messages between cores overtake each other and may be lost.
struct Machine {
    client: Stack,
    cores: Vec<Stack>,
    ports: Vec<Port>,
    card: Card,
    messages: VecDeque<(usize, Message)>,
    /// Messages that were carried to each core.
    carried: Vec<u64>,
    lost_per_mille: u64,
    now_ns: u64,
    random: u64,
    family: Family,
}

impl Machine {
    fn new(count: u8, card: Card) -> Machine {
        Machine::of(Family::Four, count, card)
    }

    fn of(family: Family, count: u8, card: Card) -> Machine {
        let steering: &'static Steering = Box::leak(Box::default());
        let core = |core| {
            let mut config = config(SERVER);
            config.seat = Some(Seat { core, cores: count, steering });
            let mut stack = Stack::new(config);
            stack.set_own_queue(card == Card::Queues);
            stack
        };
        let mut machine = Machine {
            client: Stack::new(config(CLIENT)),
            cores: (0..count).map(core).collect(),
            ports: (0..=count).map(|_| Port { sent: VecDeque::new(), room: 256, cut: 0 }).collect(),
            card,
            messages: VecDeque::new(),
            carried: vec![0; count.into()],
            lost_per_mille: 0,
            now_ns: SECOND_NS,
            random: 0x1234_5678_9abc_def1,
            family,
        };
        if family == Family::Six {
            assert!(machine.client.add_address6(0, ip6(CLIENT), 64, SECOND_NS));
            assert!(machine.cores[0].add_address6(0, ip6(SERVER), 64, SECOND_NS));
        }
        assert!(machine.client.set_address(0, address(CLIENT)) && machine.cores[0].set_address(0, address(SERVER)));
        machine.settle();
        machine.carried.fill(0);
        machine
    }

    fn seed(mut self, seed: u64, lost_per_mille: u64) -> Machine {
        self.random ^= seed << 7;
        self.lost_per_mille = lost_per_mille;
        self
    }

    fn draw(&mut self) -> u64 {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        self.random
    }

    fn lost(&mut self) -> bool {
        self.draw() % 1000 < self.lost_per_mille
    }

    /// A frame for the machine arrives.
    fn arrives(&mut self, frame: &[u8]) {
        let core = if self.card == Card::OneQueue { 0 } else { self.draw() as usize % self.cores.len() };
        self.cores[core].receive(frame, Received::Unverified, self.now_ns);
    }

    /// One round of everybody; `false` when nothing moved.
    fn turn(&mut self) -> bool {
        let mut moved = false;
        for core in 0..self.cores.len() {
            self.cores[core].flush(&mut self.ports[core], self.now_ns);
            while let Some(message) = self.cores[core].next_message() {
                self.messages.push_back(message);
            }
            while let Some(frame) = self.ports[core].sent.pop_front() {
                moved = true;
                if !self.lost() {
                    self.client.receive(&frame, Received::Unverified, self.now_ns);
                }
            }
        }
        if !self.messages.is_empty() {
            moved = true;
            let first = self.draw() as usize % self.messages.len().min(3);
            if let Some((core, message)) = self.messages.remove(first)
                && !self.lost()
            {
                self.carried[core] += 1;
                self.cores[core].deliver(message, self.now_ns);
            }
        }
        let last = self.cores.len();
        self.client.flush(&mut self.ports[last], self.now_ns);
        while let Some(frame) = self.ports[last].sent.pop_front() {
            moved = true;
            if !self.lost() {
                self.arrives(&frame);
            }
        }
        moved
    }

    fn settle(&mut self) {
        while self.turn() {}
    }

    fn run_until(&mut self, limit_ns: u64, mut done: impl FnMut(&mut Machine) -> bool) {
        let end = self.now_ns + limit_ns;
        loop {
            self.settle();
            if done(self) {
                return;
            }
            if self.turn() {
                continue; // what it just asked for has moved something
            }
            let deadlines = self.cores.iter_mut().chain([&mut self.client]).filter_map(Stack::next_deadline);
            let next = deadlines.min().unwrap_or(u64::MAX).max(self.now_ns + MILLISECOND_NS / 10);
            assert!(next <= end, "still waiting at {} ns", self.now_ns);
            self.now_ns = next;
        }
    }

    fn run_for(&mut self, time_ns: u64) {
        let end = self.now_ns + time_ns;
        while self.now_ns < end {
            self.settle();
            self.now_ns += 10 * MILLISECOND_NS;
        }
    }

    fn listen(&mut self, core: usize, port: u16) -> ListenerId {
        let all: IpAddr = match self.family {
            Family::Four => Ipv4Addr::UNSPECIFIED.into(),
            Family::Six => Ipv6Addr::UNSPECIFIED.into(),
        };
        self.cores[core].tcp_listen(end(all, port), 64).unwrap()
    }

    fn accept(&mut self, listeners: &[(usize, ListenerId)]) -> Option<(usize, ConnectionId)> {
        listeners.iter().find_map(|&(core, id)| Some((core, self.cores[core].tcp_accept(id).ok()?.0)))
    }

    /// A connection of the client, and where it was accepted.
    fn connect(&mut self, port: u16, listeners: &[(usize, ListenerId)]) -> (ConnectionId, (usize, ConnectionId)) {
        let to = if self.family == Family::Six { end(ip6(SERVER), port) } else { at(SERVER, port) };
        let client = self.client.tcp_connect(to, self.now_ns).unwrap();
        let mut server = None;
        self.run_until(60 * SECOND_NS, |machine| {
            server = server.or_else(|| machine.accept(listeners));
            match machine.client.tcp_connected(client) {
                Ok(()) => server.is_some(),
                Err(error) => error != Error::WouldBlock && panic!("{error}"),
            }
        });
        (client, server.unwrap())
    }

    /// Bytes there and back.
    fn echo(&mut self, client: ConnectionId, (core, server): (usize, ConnectionId), data: &[u8]) {
        let (mut written, mut echoed, mut back) = (0, vec![], vec![]);
        self.run_until(600 * SECOND_NS, |machine| {
            let mut buffer = [0; 2048];
            written += machine.client.tcp_write(client, &data[written..]).unwrap_or(0);
            while let Ok(bytes @ 1..) = machine.cores[core].tcp_read(server, &mut buffer) {
                echoed.extend_from_slice(&buffer[..bytes]);
            }
            if !echoed.is_empty() {
                let taken = machine.cores[core].tcp_write(server, &echoed).unwrap_or(0);
                echoed.drain(..taken);
            }
            while let Ok(bytes @ 1..) = machine.client.tcp_read(client, &mut buffer) {
                back.extend_from_slice(&buffer[..bytes]);
            }
            let broken = [machine.client.tcp_read(client, &mut []), machine.cores[core].tcp_read(server, &mut [])];
            assert_eq!(broken, [Ok(0); 2]);
            let open = [machine.client.tcp_write(client, &[]), machine.cores[core].tcp_write(server, &[])];
            assert_eq!(open, [Ok(0); 2], "both ends are open");
            back.len() == data.len()
        });
        assert!(back == data, "other bytes came back");
    }

    fn close(&mut self, client: ConnectionId, (core, server): (usize, ConnectionId)) {
        self.client.tcp_close(client, Ending::Orderly, self.now_ns);
        self.cores[core].tcp_close(server, Ending::Orderly, self.now_ns);
    }

    fn sum(&self, of: impl Fn(Statistics) -> u64) -> u64 {
        self.cores.iter().map(|core| of(core.statistics())).sum()
    }

    /// Injects a frame and returns the flags of the TCP segments that answer it.
    fn provoke(&mut self, frame: &[u8]) -> Vec<u8> {
        self.arrives(frame);
        let mut flags = vec![];
        loop {
            let mut moved = false;
            for core in 0..self.cores.len() {
                self.cores[core].flush(&mut self.ports[core], self.now_ns);
                while let Some((to, message)) = self.cores[core].next_message() {
                    moved = true;
                    self.carried[to] += 1;
                    self.cores[to].deliver(message, self.now_ns);
                }
                flags.extend(self.ports[core].sent.drain(..).filter(|frame| frame[23] == 6).map(|frame| frame[47]));
            }
            if !moved {
                return flags;
            }
        }
    }
}

/// Many connections, to every core that listens, in any weather.
fn serve(family: Family, card: Card, listening: &[usize], seed: u64, lost_per_mille: u64) {
    let mut machine = Machine::of(family, 4, card).seed(seed, lost_per_mille);
    let listeners: Vec<_> = listening.iter().map(|&core| (core, machine.listen(core, 80))).collect();
    let mut by_core = [0; 4];
    for round in 0..60 {
        let (client, server) = machine.connect(80, &listeners);
        by_core[server.0] += 1;
        machine.echo(client, server, &pattern(100 + 97 * round));
        machine.close(client, server);
    }
    machine.run_until(600 * SECOND_NS, |machine| machine.sum(|counts| counts.connections) == 0);
    for core in 0..4 {
        assert_eq!(by_core[core] > 0, listening.contains(&core), "{card_name} {by_core:?}", card_name = card as u8);
    }
    if lost_per_mille == 0 {
        assert_eq!((machine.sum(|counts| counts.resets_sent), machine.sum(|counts| counts.posts_dropped)), (0, 0));
    }
}

#[test]
fn connections_are_served_where_they_are_wanted() {
    for card in [Card::OneQueue, Card::Queues] {
        for listening in [&[0, 1, 2, 3][..], &[0], &[3], &[1, 2]] {
            FAMILIES.into_iter().for_each(|family| serve(family, card, listening, 1, 0));
        }
    }
}

#[test]
fn a_bad_wire_and_lost_messages_lose_nothing() {
    for seed in 0..8 {
        for family in FAMILIES {
            serve(family, Card::OneQueue, &[0, 1, 2, 3], seed, 30);
            serve(family, Card::Queues, &[0, 2], seed, 30);
        }
    }
}

#[test]
fn connections_survive_their_listener_and_others_that_come_and_go() {
    for card in [Card::OneQueue, Card::Queues] {
        let mut machine = Machine::new(4, card);
        let mut listeners: Vec<_> = (0..4).map(|core| (core, machine.listen(core, 80))).collect();
        let open: Vec<_> = (0..40).map(|_| machine.connect(80, &listeners)).collect();
        for step in 0..4 {
            let (core, listener) = listeners.remove(0);
            machine.cores[core].tcp_close_listener(listener);
            for &(client, server) in &open {
                machine.echo(client, server, &pattern(300));
            }
            if step < 3 {
                let (_, (core, _)) = machine.connect(80, &listeners);
                assert!(core > step, "core {core} listens no more");
            }
        }
        machine.listen(1, 80);
        for &(client, server) in &open {
            machine.echo(client, server, &pattern(3000));
            machine.close(client, server);
        }
        assert_eq!(machine.sum(|counts| counts.resets_sent), 0);
    }
}

#[test]
fn each_core_connects_for_itself() {
    for card in [Card::OneQueue, Card::Queues] {
        let mut machine = Machine::new(4, card);
        let listener = machine.client.tcp_listen(end(Ipv4Addr::UNSPECIFIED, 7), 64).unwrap();
        for core in [0, 1, 2, 3, 2, 1] {
            let ours = machine.cores[core].tcp_connect(at(CLIENT, 7), machine.now_ns).unwrap();
            let mut theirs = None;
            machine.run_until(5 * SECOND_NS, |machine| {
                theirs = theirs.or_else(|| machine.client.tcp_accept(listener).ok());
                machine.cores[core].tcp_connected(ours) == Ok(()) && theirs.is_some()
            });
            let (theirs, peer) = theirs.unwrap();
            assert_eq!(usize::from(peer.port()) % 4, core, "the port says whose it is");
            machine.echo(theirs, (core, ours), &pattern(9000));
        }
        assert_eq!(machine.sum(|counts| counts.handed_round), 0, "the first guess is right");
    }
}

#[test]
fn cores_talk_to_each_other_by_loopback() {
    for own in [Ipv4Addr::LOCALHOST, ip(SERVER)] {
        let mut machine = Machine::new(3, Card::OneQueue);
        let listener = machine.listen(2, 80);
        let client = machine.cores[1].tcp_connect(end(own, 80), machine.now_ns).unwrap();
        let mut server = None;
        machine.run_until(5 * SECOND_NS, |machine| {
            server = server.or_else(|| machine.cores[2].tcp_accept(listener).ok());
            machine.cores[1].tcp_connected(client) == Ok(()) && server.is_some()
        });
        machine.cores[1].tcp_write(client, b"over there").unwrap();
        let mut buffer = [0; 16];
        machine.run_until(5 * SECOND_NS, |machine| machine.cores[2].tcp_read(server.unwrap().0, &mut buffer) == Ok(10));
        assert_eq!(&buffer[..10], b"over there");
        assert_eq!(machine.sum(|counts| counts.resets_sent), 0);
    }
}

#[test]
fn nobody_is_disturbed_by_what_concerns_nobody() {
    let mut machine = Machine::new(4, Card::OneQueue);
    machine.listen(0, 80);
    // A question for somebody else, one for us, a request for a port that nobody has, and one that core 0 has.
    let stranger = (mac(CLIENT), ip(CLIENT));
    machine.provoke(&arp_frame(1, stranger, SERVER, Ipv4Addr::new(10, 0, 0, 99)));
    machine.provoke(&arp_frame(1, stranger, SERVER, ip(SERVER)));
    assert_eq!(
        machine.provoke(&Segment::between(CLIENT, 5, SERVER, 81).flags(Flags::SYN).frame()),
        [Flags::RST | Flags::ACK]
    );
    machine.provoke(&Segment::between(CLIENT, 5, SERVER, 80).flags(Flags::SYN).frame());
    assert_eq!(machine.carried, [0; 4]);
    // A segment of no connection is refused once, after each has looked.
    assert_eq!(machine.provoke(&Segment::between(CLIENT, 6, SERVER, 80).flags(Flags::ACK).frame()), [Flags::RST]);
    assert_eq!(machine.carried, [1, 1, 1, 2], "and the last one asks core 0 where the peer is");
    assert_eq!(machine.provoke(&Segment::between(CLIENT, 6, SERVER, 80).flags(Flags::RST).frame()), []);
}

#[test]
fn a_request_answered_by_two_cores_still_connects() {
    let mut machine = Machine::new(2, Card::OneQueue);
    let first = machine.listen(1, 80);
    let client = machine.client.tcp_connect(at(SERVER, 80), machine.now_ns).unwrap();
    let last = machine.cores.len();
    machine.client.flush(&mut machine.ports[last], machine.now_ns);
    machine.settle(); // the neighbours find each other, and core 1 answers
    let (ends, _) = machine.client.tcp_ends(client).unwrap();
    // The same request again, from a wire that repeats it, finds other listeners.
    let second = machine.listen(0, 80);
    machine.cores[1].tcp_close_listener(first);
    let again = machine.listen(1, 80);
    let syn = Segment::between(CLIENT, ends.port(), SERVER, 80).flags(Flags::SYN).sequence(77);
    machine.arrives(&syn.frame());
    machine.settle();
    machine.run_for(5 * SECOND_NS);
    let answered = [(0, second), (1, again)];
    // Whatever becomes of this one, the next is served.
    let (client, server) = machine.connect(80, &answered);
    machine.echo(client, server, b"hello");
}

#[test]
fn datagrams_find_their_socket() {
    for card in [Card::OneQueue, Card::Queues] {
        let mut machine = Machine::new(4, card);
        let any = |port| end(Ipv4Addr::UNSPECIFIED, port);
        let named = machine.cores[2].udp_bind(any(53)).unwrap();
        let chosen = machine.cores[3].udp_bind(any(0)).unwrap();
        let port = machine.cores[3].udp_address(chosen).unwrap().port();
        let client = machine.client.udp_bind(any(0)).unwrap();
        for (core, socket, port) in [(2, named, 53), (3, chosen, port)] {
            machine.client.udp_send(client, b"anyone?", at(SERVER, port)).unwrap();
            let mut buffer = [0; 16];
            machine.run_until(SECOND_NS, |machine| {
                let got = machine.cores[core].udp_receive(socket, &mut buffer, false);
                got.map(|(bytes, source)| machine.cores[core].udp_send(socket, &[7; 3], source).is_ok() && bytes == 7)
                    == Ok(true)
            });
            machine.run_until(SECOND_NS, |machine| machine.client.udp_receive(client, &mut buffer, false).is_ok());
        }
        // In pieces, which come to any core; 4 KiB are more than what lies about of them.
        let long = pattern(4096);
        machine.client.udp_send(client, &long, at(SERVER, 53)).unwrap();
        let mut buffer = vec![0; 5000];
        machine.run_until(SECOND_NS, |machine| machine.cores[2].udp_receive(named, &mut buffer, false).is_ok());
        assert!(buffer[..4096] == long);
        machine.cores[2].udp_close(named);
        machine.carried.fill(0);
        machine.arrives(&udp_frame((ip(CLIENT), 9), SERVER, 53, b"nobody"));
        machine.settle();
        assert!(card == Card::Queues || machine.carried == [0; 4], "nobody else has the port");
    }
}

#[test]
fn a_port_is_shared_by_cores_and_taken_on_one() {
    let mut machine = Machine::new(2, Card::OneQueue);
    let listener = machine.listen(0, 80);
    machine.listen(1, 80);
    let taken = machine.cores[0].tcp_listen(end(Ipv4Addr::UNSPECIFIED, 80), 1);
    assert_eq!(taken, Err(Error::AddressInUse));
    machine.cores[0].tcp_close_listener(listener);
    machine.listen(0, 80);
}

#[test]
fn what_is_said_once_is_not_lost_among_packets() {
    for family in FAMILIES {
        let mut machine = Machine::of(family, 3, Card::OneQueue);
        // Segments of no connection, which go round the cores; nobody carries anything.
        for number in 0..600 {
            let stray = Segment::between(CLIENT, 1000 + number, SERVER, 99).flags(Flags::ACK);
            machine.cores[0].receive(&stray.frame(), Received::Unverified, machine.now_ns);
        }
        let dropped = machine.cores[0].statistics().posts_dropped;
        assert!(dropped > 300, "{dropped}");
        let moved = |host| toro_netstack::Address { ip: Ipv4Addr::new(10, 0, 0, host), ..address(SERVER) };
        for host in 70..76 {
            assert!(machine.cores[0].set_address(0, moved(host)));
            machine.cores[0].set_link(0, host % 2 == 1, machine.now_ns);
            assert!(machine.cores[0].add_address6(0, Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, host.into()), 64, 1));
        }
        machine.settle();
        let known: Vec<_> = machine.cores[0].addresses6(0).map(|own| own.ip).collect();
        for core in &machine.cores {
            assert_eq!((core.address(), core.link_is_up(0)), (Some(moved(75)), true));
            assert!(core.addresses6(0).map(|own| own.ip).eq(known.iter().copied()));
        }
        assert_eq!(machine.cores[0].statistics().posts_dropped, dropped);
    }
}

#[test]
fn the_address_and_its_loss_are_told_to_all() {
    let mut machine = Machine::new(3, Card::OneQueue);
    let moved = toro_netstack::Address { ip: Ipv4Addr::new(10, 0, 0, 77), ..address(SERVER) };
    assert!(machine.cores[0].set_address(0, moved));
    machine.settle();
    for core in &machine.cores {
        assert_eq!(core.address(), Some(moved));
    }
    // A neighbour that never answers is given up by the core that asked, as on a machine with one.
    let nobody = end(Ipv4Addr::new(10, 0, 0, 200), 80);
    let waiting = machine.cores[2].tcp_connect(nobody, machine.now_ns).unwrap();
    machine.run_until(10 * SECOND_NS, |machine| machine.cores[2].tcp_connected(waiting) == Err(Error::HostUnreachable));
}
