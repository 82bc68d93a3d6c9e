//! What the stack does for IPv6 alone: messages about neighbours and routers, and what programs and kernel say and ask about addresses.

use crate::address6::{Address6, Link6, NEVER, Network, Router};
use crate::autoconf::{Autoconf, Change, note_network, note_router};
use crate::discovery::{self, Message};
use crate::event::Event;
use crate::groups;
use crate::icmp6;
use crate::message::Content;
use crate::stack::{From, Stack};
use crate::steering::CONTROL;
use alloc::vec::Vec;
use core::net::Ipv6Addr;
use toro_tcp::packet::{Packet, Problem};
use toro_tcp::{Ip, ipv6};

impl Stack {
    /// Begins with IPv6 on a link, soon: an address of the link's own, and what its routers have to say. Of several cores, the one that
    /// speaks for all. `false` when the link carries less than IPv6 needs.
    pub fn start_ipv6(&mut self, link: usize, now_ns: u64) -> bool {
        self.enter(link, |stack| {
            let carried = stack.carries_ipv6();
            if carried {
                stack.autoconf.start(now_ns, &mut stack.shared);
            }
            carried
        })
        .unwrap_or(false)
    }

    fn carries_ipv6(&self) -> bool {
        self.shared.config.link.mtu_bytes >= icmp6::PACKET_BYTES_MIN
    }

    /// Takes an address of IPv6 on a link that somebody chose, and its network; `false` when it cannot be one, or there is no room.
    pub fn add_address6(&mut self, link: usize, ip: Ipv6Addr, prefix_bits: u8, now_ns: u64) -> bool {
        let own = Ip::of_v6(ip);
        let usable = !(own.is_v4() || own.is_multicast() || own.is_unspecified() || own.is_loopback());
        let added = self.enter(link, |stack| {
            if !usable || prefix_bits > 128 || !stack.carries_ipv6() {
                return false;
            }
            let network = Network { ip: own, bits: prefix_bits, until_ns: NEVER };
            let change = note_network(network, now_ns, &mut stack.shared);
            let added = stack.autoconf.add(own, prefix_bits, (NEVER, NEVER), now_ns, &mut stack.shared);
            stack.changed6(change.max(added));
            stack.shared.addresses.six.is_own(own)
        });
        added.unwrap_or(false)
    }

    /// Takes a router of IPv6 on a link that somebody chose; `false` when there is no room.
    pub fn add_router6(&mut self, link: usize, ip: Ipv6Addr, now_ns: u64) -> bool {
        self.enter(link, |stack| {
            let router = Router { ip: Ip::of_v6(ip), until_ns: NEVER };
            let change = note_router(router, now_ns, &mut stack.shared);
            stack.changed6(change);
        });
        self.routers6(link).any(|known| known == ip)
    }

    /// The addresses of IPv6 on a link.
    pub fn addresses6(&self, link: usize) -> impl Iterator<Item = Address6> {
        let own = self.six_of(link).into_iter().flat_map(|six| six.own.iter());
        own.map(|own| Address6 { ip: own.ip.v6(), prefix_bits: own.prefix_bits, state: own.state })
    }

    /// The routers of IPv6 on a link, the one in use first.
    pub fn routers6(&self, link: usize) -> impl Iterator<Item = Ipv6Addr> {
        let routers = self.six_of(link).into_iter().flat_map(|six| six.routers.iter());
        routers.map(|router| router.ip.v6())
    }

    fn six_of(&self, link: usize) -> Option<&Link6> {
        self.shared.addresses_of(link as u8).map(|addresses| &addresses.six)
    }

    /// The name servers that routers have named: on the core that speaks with them.
    pub fn name_servers6(&self) -> impl Iterator<Item = Ipv6Addr> {
        self.autoconfs().flat_map(Autoconf::servers)
    }

    /// The domains in which short names are looked for, as routers have said: on the core that speaks with them.
    pub fn domains6(&self) -> impl Iterator<Item = &str> {
        self.autoconfs().flat_map(Autoconf::domains)
    }

    #[cold]
    pub(crate) fn run_autoconf(&mut self, now_ns: u64) {
        let change = self.autoconf.run(now_ns, &mut self.shared);
        self.changed6(change);
    }

    /// Addresses or routers have changed: others are told.
    #[cold]
    pub(crate) fn changed6(&mut self, change: Change) {
        if change == Change::None {
            return;
        }
        if change == Change::Lost {
            self.tcp.readdress(&mut self.shared);
        }
        self.neighbors.doubt();
        self.shared.events.push(Event::Addresses6);
        if let Some(seat) = self.shared.seat
            && seat.core == CONTROL
        {
            self.tell_link6(seat.others());
        }
    }

    /// Tells these cores what is known of IPv6; without memory they hear it the next time.
    pub(crate) fn tell_link6(&mut self, mut cores: u64) {
        while cores != 0 {
            let mut link = Vec::new();
            if link.try_reserve_exact(1).is_ok() {
                link.push(self.shared.addresses.six);
                self.shared.outbox.messages.send(cores.trailing_zeros() as u8, Content::Link6(link));
            }
            cores &= cores - 1;
        }
    }

    /// A packet in which something must be understood, and is not.
    #[cold]
    pub(crate) fn receive_problem(&mut self, data: &[u8], problem: Problem, from: From, now_ns: u64) {
        let concerns_us = ipv6::parse_ends(data).is_some_and(|packet| {
            let many = from == From::Link { to_everybody: true } && self.is_of_many(packet.destination);
            let addresses = &self.shared.addresses;
            (addresses.is_own(packet.destination) || many)
                && addresses.is_from_outside(packet.source, packet.destination)
        });
        if concerns_us {
            self.shared.statistics.malformed += 1;
            self.icmp.problem(data, problem, now_ns, &mut self.shared);
        } else {
            self.shared.statistics.not_for_us += 1;
        }
    }

    /// A message of ICMP for us.
    #[cold]
    pub(crate) fn receive_icmp6(&mut self, packet: &Packet<'_>, now_ns: u64) {
        let kind = packet.payload.first().copied().unwrap_or_default();
        let is_for_control = matches!(
            kind,
            groups::QUERY6 | discovery::ROUTER_ADVERTISEMENT | discovery::SOLICITATION | discovery::ADVERTISEMENT
        );
        if !icmp6::is_intact(packet) {
            self.shared.statistics.malformed += 1;
        } else if is_for_control && !self.shared.speaks_for_all() {
            // Of the many questions only those that ask for us disturb the core that answers.
            let ours = discovery::target(packet).is_some_and(|target| self.shared.addresses.is_own(target));
            self.shared.elsewhere = (kind != discovery::SOLICITATION || ours).then_some(CONTROL);
        } else if !is_for_control {
            let sound = !packet.source.is_unspecified();
            if let Some(report) = sound.then(|| self.icmp.receive6(packet, &mut self.shared)).flatten() {
                self.receive_report(&report);
            }
        } else if kind == groups::QUERY6 {
            self.shared.asked_for_groups6(packet, now_ns);
        } else {
            self.receive_discovery(packet, kind, now_ns);
        }
    }

    fn receive_discovery(&mut self, packet: &Packet<'_>, kind: u8, now_ns: u64) {
        if kind == discovery::ROUTER_ADVERTISEMENT {
            match self.autoconf.advertised(packet, now_ns, &mut self.shared) {
                Some(change) => {
                    self.changed6(change);
                    self.hear_router(packet, now_ns);
                }
                None => self.shared.statistics.malformed += 1,
            }
            return;
        }
        match discovery::parse(packet) {
            Some(Message::Solicitation { from, target, mac, nonce }) if self.shared.addresses.six.is_own(target) => {
                let is_sure = !self.shared.addresses.six.is_optimistic(target);
                if !from.is_unspecified() {
                    self.answer_neighbor(from, target, mac, is_sure, now_ns);
                } else if is_sure {
                    discovery::advertise(&mut self.shared.outbox, self.shared.config.link.mac, target, None, true);
                } else if !self.autoconf.is_own(nonce) {
                    self.collide(target);
                }
            }
            Some(Message::Advertisement { target, .. }) if self.shared.addresses.six.is_own(target) => {
                self.collide(target);
            }
            Some(Message::Advertisement { target, mac, solicited, is_router }) => {
                let outbox = &mut self.shared.outbox;
                let answer = self.neighbors.advertised(target, mac, solicited, now_ns, outbox);
                self.answered(answer);
                let chosen = |known: &Router| known.ip == target && known.until_ns == NEVER;
                if !is_router && !self.shared.addresses.six.routers.iter().any(chosen) {
                    // Who says that it is none is none any more, unless somebody knows better.
                    let change = note_router(Router { ip: target, until_ns: 0 }, now_ns, &mut self.shared);
                    self.changed6(change);
                }
            }
            Some(Message::Solicitation { .. }) => {}
            None => self.shared.statistics.malformed += 1,
        }
    }

    /// A router may say where it is, which need not be asked then.
    fn hear_router(&mut self, packet: &Packet<'_>, now_ns: u64) {
        let is_router = self.shared.addresses.six.routers.iter().any(|router| router.ip == packet.source);
        let mac = packet.payload.get(16..).and_then(discovery::source_mac);
        if let Some(mac) = mac.filter(|_| is_router) {
            let answer = self.neighbors.heard(packet.source, mac, now_ns, &mut self.shared.outbox);
            self.answered(answer);
        }
    }

    /// A neighbour asks for us.
    fn answer_neighbor(&mut self, from: Ip, target: Ip, told: Option<[u8; 6]>, is_sure: bool, now_ns: u64) {
        if let Some(mac) = told {
            let answer = self.neighbors.heard(from, mac, now_ns, &mut self.shared.outbox);
            self.answered(answer);
        }
        // Who did not say where it is hears it with all others: it may wait for our address to tell us its own.
        let to = told.map(|mac| (from, mac));
        discovery::advertise(&mut self.shared.outbox, self.shared.config.link.mac, target, to, is_sure);
    }

    fn collide(&mut self, target: Ip) {
        let change = self.autoconf.collide(target, &mut self.shared);
        self.changed6(change);
    }
}
