//! A machine with two links in virtual time, each with a machine at its other end.

use crate::world::{MILLISECOND_NS, Port, SECOND_NS, config, pattern};
use core::net::{Ipv4Addr, SocketAddr};
use std::collections::VecDeque;
use toro_netstack::{Address, Config, ConnectionId, Devices, Flushed, LinkConfig, Received, Stack};

pub(crate) const MACS: [[u8; 6]; 2] = [[0x52, 0x54, 0, 0, 1, 1], [0x52, 0x54, 0, 0, 1, 2]];

/// The machine's addresses, and those of the others: 10.0.0.1 and 10.0.1.1, 10.0.0.2 and 10.0.1.2.
pub(crate) fn own(link: usize) -> Ipv4Addr {
    Ipv4Addr::new(10, 0, link as u8, 1)
}

pub(crate) fn peer(link: usize) -> Ipv4Addr {
    Ipv4Addr::new(10, 0, link as u8, 2)
}

pub(crate) fn at(ip: Ipv4Addr, port: u16) -> SocketAddr {
    SocketAddr::from((ip, port))
}

pub(crate) fn any(port: u16) -> SocketAddr {
    at(Ipv4Addr::UNSPECIFIED, port)
}

pub(crate) struct Ports(pub(crate) [Port; 2]);

impl Devices for Ports {
    type Device = Port;

    fn device(&mut self, link: usize) -> &mut Port {
        &mut self.0[link]
    }
}

/// The machine, the others, and two wires, of which one may be cut.
pub(crate) struct Net {
    pub(crate) machine: Stack,
    pub(crate) ports: Ports,
    pub(crate) others: [Stack; 2],
    pub(crate) other_ports: [Port; 2],
    pub(crate) cut: [bool; 2],
    /// Frames that the machine has sent.
    pub(crate) sent: [Vec<Vec<u8>>; 2],
    pub(crate) now_ns: u64,
}

pub(crate) fn port() -> Port {
    Port { sent: VecDeque::new(), room: 64, cut: 0 }
}

pub(crate) fn address(ip: Ipv4Addr, gateway: Option<Ipv4Addr>) -> Address {
    Address { ip, prefix_bits: 24, gateway, dns: [None; 3] }
}

impl Net {
    /// `gateways`: whether the other at each link is the machine's way to everywhere.
    pub(crate) fn new(gateways: [bool; 2]) -> Net {
        let mut machine = Stack::new(Config { link: LinkConfig::new(MACS[0]), ..config(0) });
        assert_eq!(machine.add_link(LinkConfig { mtu_bytes: 1400, ..LinkConfig::new(MACS[1]) }), 1);
        for (link, has_gateway) in gateways.into_iter().enumerate() {
            assert!(machine.set_address(link, address(own(link), has_gateway.then_some(peer(link)))));
        }
        let other = |link: usize| {
            let mut stack = Stack::new(Config { link: LinkConfig::new([2, 0, 0, 0, 0, link as u8]), ..config(1) });
            assert!(stack.set_address(0, address(peer(link), Some(own(link)))));
            stack
        };
        let mut net = Net {
            machine,
            ports: Ports([port(), port()]),
            others: [other(0), other(1)],
            other_ports: [port(), port()],
            cut: [false; 2],
            sent: [vec![], vec![]],
            now_ns: SECOND_NS,
        };
        while net.machine.next_event().is_some() {}
        net
    }

    pub(crate) fn turn(&mut self) -> bool {
        let mut moved = false;
        loop {
            let flushed = self.machine.flush(&mut self.ports, self.now_ns);
            for link in 0..2 {
                while let Some(frame) = self.ports.0[link].sent.pop_front() {
                    moved = true;
                    if !self.cut[link] {
                        self.others[link].receive(&frame, Received::Unverified, self.now_ns);
                    }
                    self.sent[link].push(frame);
                }
            }
            if flushed != Flushed::Partly {
                break;
            }
        }
        for link in 0..2 {
            self.others[link].flush(&mut self.other_ports[link], self.now_ns);
            while let Some(frame) = self.other_ports[link].sent.pop_front() {
                moved = true;
                if !self.cut[link] {
                    self.machine.receive_on(link, &frame, Received::Unverified, self.now_ns);
                }
            }
        }
        moved
    }

    pub(crate) fn run_until(&mut self, limit_ns: u64, mut done: impl FnMut(&mut Net) -> bool) {
        let end = self.now_ns + limit_ns;
        loop {
            while self.turn() {}
            if done(self) {
                return;
            }
            if self.turn() {
                continue;
            }
            let deadlines = self.others.iter_mut().chain([&mut self.machine]).filter_map(Stack::next_deadline);
            let next = deadlines.min().unwrap_or(u64::MAX).max(self.now_ns + MILLISECOND_NS / 10);
            assert!(next <= end, "still waiting at {} ns", self.now_ns);
            self.now_ns = next;
        }
    }

    pub(crate) fn run_for(&mut self, time_ns: u64) {
        let end = self.now_ns + time_ns;
        loop {
            while self.turn() {}
            let deadlines = self.others.iter_mut().chain([&mut self.machine]).filter_map(Stack::next_deadline);
            let next = deadlines.min().unwrap_or(u64::MAX).max(self.now_ns + MILLISECOND_NS / 10);
            if next > end {
                self.now_ns = end;
                return;
            }
            self.now_ns = next;
        }
    }

    /// The machine connects to a server at the other end of a link.
    pub(crate) fn connect(&mut self, link: usize, from: Option<SocketAddr>) -> (ConnectionId, ConnectionId) {
        let listener = self.others[link].tcp_listen(any(80), 4).unwrap();
        let to = at(peer(link), 80);
        let client = self.machine.tcp_connect_from(from, to, &|_| false, self.now_ns).unwrap();
        let mut server = None;
        self.run_until(10 * SECOND_NS, |net| {
            server = server.or(net.others[link].tcp_accept(listener).ok().map(|(id, _)| id));
            net.machine.tcp_connected(client) == Ok(()) && server.is_some()
        });
        (client, server.unwrap())
    }

    /// Sends so much from the machine to the other end, and all of it back.
    pub(crate) fn echo(&mut self, link: usize, (client, server): (ConnectionId, ConnectionId), bytes: usize) {
        let (data, mut written, mut back) = (pattern(bytes), 0, Vec::new());
        self.run_until(100 * SECOND_NS, |net| {
            written += net.machine.tcp_write(client, &data[written..]).unwrap_or(0);
            let mut buffer = [0; 1000];
            while let Ok(count @ 1..) = net.others[link].tcp_read(server, &mut buffer) {
                assert_eq!(net.others[link].tcp_write(server, &buffer[..count]), Ok(count), "there is room");
            }
            while let Ok(count @ 1..) = net.machine.tcp_read(client, &mut buffer) {
                back.extend_from_slice(&buffer[..count]);
            }
            back.len() == bytes
        });
        assert!(back == data);
    }
}

/// Source and destination of an IPv4 packet in a frame.
pub(crate) fn ends(frame: &[u8]) -> Option<(Ipv4Addr, Ipv4Addr)> {
    let ip = |at: usize| Ipv4Addr::from(<[u8; 4]>::try_from(&frame[at..at + 4]).unwrap());
    (frame[12..14] == [8, 0]).then(|| (ip(26), ip(30)))
}

impl Net {
    /// The other end sends, the machine's end echoes.
    pub(crate) fn echo_back(&mut self, link: usize, client: ConnectionId, server: ConnectionId) {
        let data = pattern(3000);
        assert_eq!(self.others[link].tcp_write(client, &data), Ok(3000));
        let mut back = Vec::new();
        self.run_until(10 * SECOND_NS, |net| {
            let mut buffer = [0; 3000];
            while let Ok(count @ 1..) = net.machine.tcp_read(server, &mut buffer) {
                assert_eq!(net.machine.tcp_write(server, &buffer[..count]), Ok(count));
            }
            while let Ok(count @ 1..) = net.others[link].tcp_read(client, &mut buffer) {
                back.extend_from_slice(&buffer[..count]);
            }
            back.len() == 3000
        });
        assert!(back == data);
    }
}
