//! One stack by itself that speaks IPv6, and what it sends.

use crate::frames6::{Packet, ROUTER_MAC, advertisement, neighbor, prefix, taken_apart};
use crate::world::{Port, SECOND_NS, SERVER, config};
use core::net::Ipv6Addr;
use std::collections::VecDeque;
use toro_netstack::{Received, Stack, State6};

pub(crate) const OWN: Ipv6Addr = Ipv6Addr::new(0xfe80, 0, 0, 0, 0x5054, 0xff, 0xfe00, 2);
pub(crate) const PREFIX: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0, 1, 0, 0, 0, 0);
pub(crate) const GLOBAL: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0, 1, 0x5054, 0xff, 0xfe00, 2);
pub(crate) const AWAY: Ipv6Addr = Ipv6Addr::new(0x2a00, 0, 0, 0, 0, 0, 0, 1);
pub(crate) const SOLICITATION: u8 = 135;
pub(crate) const ADVERTISEMENT: u8 = 136;

/// A stack, by itself, and what it sends.
pub(crate) struct Host {
    pub(crate) stack: Stack,
    pub(crate) now_ns: u64,
    pub(crate) port: Port,
}

impl Host {
    pub(crate) fn new() -> Self {
        Host {
            stack: Stack::new(config(SERVER)),
            now_ns: SECOND_NS,
            port: Port { sent: VecDeque::new(), room: 1000, cut: 0 },
        }
    }

    /// One whose addresses nobody objects to, with a router that has told it of a network.
    pub(crate) fn settled() -> Self {
        let mut host = Host::new();
        assert!(host.stack.start_ipv6(0, host.now_ns));
        host.run_for(SECOND_NS);
        host.hear(&advertisement(1800, &prefix(PREFIX, 86_400, 14_400)));
        host.run_for(5 * SECOND_NS);
        while host.stack.next_event().is_some() {}
        host
    }

    pub(crate) fn hear(&mut self, packet: &Packet) {
        self.stack.receive(&packet.frame(SERVER), Received::Unverified, self.now_ns);
    }

    /// What it sends now.
    pub(crate) fn say(&mut self) -> Vec<Packet> {
        self.stack.flush(&mut self.port, self.now_ns);
        self.port.sent.drain(..).filter_map(|frame| taken_apart(&frame)).collect()
    }

    /// What it sends within that time.
    pub(crate) fn run_for(&mut self, time_ns: u64) -> Vec<Packet> {
        let end_ns = self.now_ns + time_ns;
        let mut said = self.say();
        while let Some(next_ns) = self.stack.next_deadline().filter(|next_ns| *next_ns <= end_ns) {
            self.now_ns = self.now_ns.max(next_ns);
            said.extend(self.say());
        }
        self.now_ns = end_ns;
        said.extend(self.say());
        said
    }

    /// The same, and what of it is a message of that kind.
    pub(crate) fn messages(&mut self, kind: u8, time_ns: u64) -> Vec<Packet> {
        let mut said = self.run_for(time_ns);
        said.retain(|packet| packet.protocol == 58 && packet.payload[0] == kind);
        said
    }

    /// Its addresses.
    pub(crate) fn states(&self) -> Vec<(Ipv6Addr, State6)> {
        self.stack.addresses6(0).map(|address| (address.ip, address.state)).collect()
    }

    /// The router's frame says that somebody has that address.
    pub(crate) fn neighbor_says(&mut self, from: Ipv6Addr, flags: u8) {
        let option = [&[2, 1][..], &ROUTER_MAC].concat();
        self.hear(&Packet::message(from, OWN, &neighbor(ADVERTISEMENT, flags, from, &option)));
    }
}
