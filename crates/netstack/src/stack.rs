//! The stack: links, one machine, everything in between.
//!
//! [`receive`](Stack::receive) takes a frame and [`flush`](Stack::flush) hands frames to the device, after timers that are
//! due. What is IPv6 alone is in `stack6.rs`. Calls of programs never send by themselves, so that one flush, and one notification of the device, serves them all.

use crate::address::Address;
use crate::autoconf::Autoconf;
use crate::config::Config;
use crate::datagram;
use crate::device::Received;
use crate::dhcp::{self, Dhcp};
use crate::error::Error;
use crate::ethernet;
use crate::event::{Event, Statistics};
use crate::fragments::{self, Reassembly};
use crate::groups;
use crate::icmp::{Icmp, News, Report};
use crate::message::{Content, Origin};
use crate::neighbor::{self, Answer, Neighbors};
use crate::shared::Shared;
use crate::steering::CONTROL;
use crate::tcp::{Tcp, Tuple};
use crate::udp::Udp;
use alloc::string::String;
use toro_tcp::Ip;
use toro_tcp::packet::{self, Packet, Refused};

/// A network stack.
#[derive(Debug)]
pub struct Stack {
    pub(crate) shared: Shared,
    pub(crate) neighbors: Neighbors,
    pub(crate) tcp: Tcp,
    pub(crate) udp: Udp,
    pub(crate) icmp: Icmp,
    pub(crate) reassembly: Reassembly,
    pub(crate) dhcp: Option<Dhcp>,
    pub(crate) autoconf: Autoconf,
}

/// Where a packet came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum From {
    Link { to_everybody: bool },
    Loopback,
}

impl Stack {
    /// A stack without an address; loopback works at once.
    #[must_use]
    pub fn new(config: Config) -> Self {
        let mut stack = Stack {
            neighbors: Neighbors::new(config.limits.neighbors_max, config.seat.map(|seat| seat.core)),
            tcp: Tcp::new(&config),
            udp: Udp::new(),
            icmp: Icmp::default(),
            reassembly: Reassembly::default(),
            dhcp: None,
            autoconf: Autoconf::new(),
            shared: Shared::new(config),
        };
        if let Some(seat) = stack.shared.seat {
            seat.take();
            if seat.core != CONTROL {
                stack.shared.outbox.messages.send(CONTROL, Content::Join { core: seat.core });
            }
        }
        stack
    }

    /// Takes an address on a link that somebody chose; ends DHCP there. `false` when it cannot be the address of a machine.
    pub fn set_address(&mut self, link: usize, address: Address) -> bool {
        let usable = address.is_usable();
        if usable {
            self.enter(link, |stack| {
                stack.dhcp = None;
                stack.readdress(Some(address));
            });
        }
        usable
    }

    /// Asks for an address on a link by DHCP, from the next flush on.
    pub fn start_dhcp(&mut self, link: usize, now_ns: u64) {
        self.enter(link, |stack| stack.dhcp = Some(Dhcp::new(now_ns)));
    }

    /// Domains in which short names are looked for, as DHCP has named them.
    pub fn search_domains(&self) -> impl Iterator<Item = &str> {
        self.dhcps().flat_map(Dhcp::domains).map(String::as_str)
    }

    /// The address in use, of the first link that has one.
    #[must_use]
    pub fn address(&self) -> Option<Address> {
        (0..self.links()).find_map(|link| self.address_on(link))
    }

    /// The address on a link.
    #[must_use]
    pub fn address_on(&self, link: usize) -> Option<Address> {
        self.shared.addresses_of(link as u8)?.own()
    }

    pub(crate) fn readdress(&mut self, address: Option<Address>) {
        if self.shared.addresses.own() == address {
            return;
        }
        self.shared.addresses.set_own(address);
        self.shared.statistics.packets_dropped += self.neighbors.clear();
        self.tcp.readdress(&mut self.shared);
        self.shared.events.push(Event::Address(self.shared.at().into(), address));
        self.shared.tell_others(|| Content::Address(address));
    }

    /// Takes a frame from a link.
    pub fn receive_on(&mut self, link: usize, frame: &[u8], checksum: Received, now_ns: u64) {
        self.enter(link, |stack| stack.receive(frame, checksum, now_ns));
    }

    /// Takes a frame from the first link.
    #[inline]
    pub fn receive(&mut self, frame: &[u8], checksum: Received, now_ns: u64) {
        self.shared.statistics.frames_received += 1;
        self.take(frame, checksum, now_ns);
        if let Some(core) = self.shared.elsewhere.take() {
            match self.shared.outbox.copy(frame) {
                Some(bytes) => self.hand_over(core, bytes, Origin::Link, checksum),
                None => self.shared.outbox.messages.dropped += 1,
            }
        }
    }

    #[inline]
    pub(crate) fn take(&mut self, frame: &[u8], checksum: Received, now_ns: u64) {
        let Some((header, body)) = frame.split_first_chunk::<{ ethernet::HEADER_BYTES }>() else {
            self.shared.statistics.malformed += 1;
            return;
        };
        let [d0, d1, d2, d3, d4, d5, .., kind0, kind1] = *header;
        let to_everybody = d0 & 1 != 0;
        if !to_everybody && [d0, d1, d2, d3, d4, d5] != self.shared.config.link.mac {
            self.shared.statistics.not_for_us += 1;
            return;
        }
        match u16::from_be_bytes([kind0, kind1]) {
            kind @ (ethernet::IPV4 | ethernet::IPV6) if packet::is_v6(body) == (kind == ethernet::IPV6) => {
                self.receive_packet(body, From::Link { to_everybody }, checksum, now_ns);
            }
            ethernet::IPV4 | ethernet::IPV6 => self.shared.statistics.malformed += 1,
            ethernet::ARP => self.receive_arp(body, now_ns),
            _ => self.shared.statistics.not_for_us += 1,
        }
    }

    pub(crate) fn receive_packet(&mut self, data: &[u8], from: From, checksum: Received, now_ns: u64) {
        let packet = match Packet::parse(data) {
            Ok(packet) => packet,
            Err(Refused::Malformed) => return self.shared.statistics.malformed += 1,
            Err(Refused::Fragment) => return self.receive_piece(data, from, now_ns),
            Err(Refused::Problem(problem)) => return self.receive_problem(data, problem, from, now_ns),
        };
        let addresses = &self.shared.addresses;
        let own = addresses.is_own(packet.destination);
        let for_us = match from {
            From::Loopback => true,
            From::Link { .. } if !addresses.is_from_outside(packet.source, packet.destination) => false,
            From::Link { .. } if self.shared.is_aside(packet.source) => false,
            From::Link { to_everybody } => own || (to_everybody && self.is_of_many(packet.destination)),
        };
        // By IPv6 nobody speaks only to ask about neighbours.
        let for_us = for_us && (packet.source != Ip::UNSPECIFIED || packet.protocol == packet::ICMP6);
        let to_everybody = from == From::Link { to_everybody: true } || packet.destination.is_multicast();
        match packet.protocol {
            packet::TCP if for_us && !to_everybody && !packet.source.is_unspecified() => {
                self.tcp.receive(&packet, checksum, now_ns, &mut self.shared);
            }
            packet::UDP => self.receive_datagram(&packet, for_us, to_everybody, checksum, now_ns),
            packet::ICMP if for_us && packet.source.is_v4() => {
                if let Some(report) = self.icmp.receive(&packet, to_everybody, &mut self.shared) {
                    self.receive_report(&report);
                }
            }
            packet::ICMP6 if for_us && !packet.source.is_v4() => self.receive_icmp6(&packet, now_ns),
            groups::PROTOCOL if for_us && to_everybody && packet.source.is_v4() => {
                // The core that answers for all hears of it, wherever the card puts it.
                if !self.shared.speaks_for_all() {
                    self.shared.elsewhere = Some(CONTROL);
                } else {
                    self.shared.asked_for_groups(&packet, now_ns);
                }
            }
            _ => self.shared.statistics.not_for_us += 1,
        }
    }

    /// Whether an address is that of several machines, of which this is one.
    pub(crate) fn is_of_many(&self, ip: Ip) -> bool {
        self.shared.addresses.is_broadcast(ip) || ip.is_multicast() && self.shared.groups().has(ip)
    }

    /// A piece of a packet. They come together on one core, wherever the card puts them.
    #[cold]
    fn receive_piece(&mut self, data: &[u8], from: From, now_ns: u64) {
        let to_everybody = from == From::Link { to_everybody: true };
        let addresses = &self.shared.addresses;
        let concerns_us = fragments::destination(data).is_some_and(|(source, destination)| {
            let own = addresses.is_own(destination) || to_everybody && self.is_of_many(destination);
            own && from != From::Loopback && addresses.is_from_outside(source, destination)
        });
        if !concerns_us {
            self.shared.statistics.not_for_us += 1;
        } else if !self.shared.speaks_for_all() {
            self.shared.elsewhere = Some(CONTROL);
        } else if let Some(whole) = self.reassembly.receive(data, now_ns, &mut self.shared) {
            if matches!(Packet::parse(&whole), Err(Refused::Fragment)) {
                // A piece again, which is nobody's honest work: a frame has room for hundreds of them, one in another.
                return self.shared.statistics.malformed += 1;
            }
            self.shared.seen = 0; // who passed a piece on has not seen the whole
            self.receive_packet(&whole, from, Received::Unverified, now_ns);
            if let Some(core) = self.shared.elsewhere.take() {
                self.hand_over(core, whole, Origin::Pieces { to_everybody }, Received::Unverified);
            }
        }
    }

    fn receive_datagram(
        &mut self,
        packet: &Packet<'_>,
        for_us: bool,
        to_everybody: bool,
        checksum: Received,
        now_ns: u64,
    ) {
        if let Some(dhcp) = &mut self.dhcp
            && packet.source.is_v4()
            && let Some(((_, dhcp::CLIENT_PORT), data)) = datagram::parse(packet, checksum)
        {
            // Before it has an address, the client is spoken to at the one it will have.
            if let Some(address) = dhcp.receive(data, now_ns, &mut self.shared) {
                self.readdress(address);
            }
        } else if self.shared.seat.is_some() && self.steer_datagram(packet, for_us) {
            // Another core's.
        } else if !for_us {
            self.shared.statistics.not_for_us += 1;
        } else if !self.udp.receive(packet, to_everybody, checksum, &mut self.shared) && !to_everybody {
            self.icmp.port_unreachable(packet, now_ns, &mut self.shared);
        }
    }

    pub(crate) fn receive_report(&mut self, report: &Report) {
        let (local, remote) = (report.local, report.remote);
        let tuple = Tuple { local: local.ip, remote: remote.ip, local_port: local.port, remote_port: remote.port };
        if self.shared.seat.is_some() && self.steer_report(report.protocol, &tuple) {
            return;
        }
        match report.protocol {
            packet::TCP => match report.news {
                News::Unreachable(error) => {
                    self.tcp.unreachable(&tuple, report.sequence, error, &mut self.shared);
                }
                News::TooLong { packet_bytes } => self.tcp.too_long(&tuple, report.sequence, packet_bytes),
            },
            packet::UDP => {
                let error = match report.news {
                    News::Unreachable(error) => error,
                    News::TooLong { packet_bytes } => {
                        // Only of what was sent from here: others could make us slow.
                        if self.udp.has(local.port) && self.shared.addresses.is_own(local.ip) {
                            self.shared.ways.learn(remote.ip, packet_bytes);
                        }
                        Error::MessageTooLong
                    }
                };
                self.udp.unreachable(local, remote, error, &mut self.shared);
            }
            _ => {}
        }
    }

    fn receive_arp(&mut self, data: &[u8], now_ns: u64) {
        let Some(own_ip) = self.shared.addresses.own_v4() else { return };
        if !self.shared.speaks_for_all() {
            // Of the many that go to everybody only those that ask for us disturb the core that answers.
            let concerns_us = neighbor::target(data) == Some(own_ip);
            self.shared.elsewhere = concerns_us.then_some(CONTROL);
            return;
        }
        let (own, outbox) = self.shared.own();
        match self.neighbors.receive(data, now_ns, own, outbox) {
            Ok(answer) => self.answered(answer),
            Err(()) => self.shared.statistics.malformed += 1,
        }
    }

    /// Lets go on what waited for a neighbour.
    pub(crate) fn answered(&mut self, answer: Answer) {
        for packet in answer.held {
            self.shared.outbox.queue(packet);
        }
        self.tcp.reachable(&answer.waiting);
    }

    /// Whether something happened that nobody took yet.
    #[inline]
    #[must_use]
    pub fn has_events(&self) -> bool {
        !self.shared.events.is_empty()
    }

    /// The next thing that happened.
    pub fn next_event(&mut self) -> Option<Event> {
        self.shared.events.pop()
    }

    /// Counts since the start.
    #[must_use]
    pub fn statistics(&self) -> Statistics {
        let mut statistics = self.shared.statistics;
        for outbox in self.shared.outboxes() {
            statistics.posted += outbox.messages.posted;
            statistics.posts_dropped += outbox.messages.dropped;
            statistics.packets_dropped += outbox.dropped;
        }
        statistics.packets_dropped += self.shared.loopback.dropped;
        self.tcp.count(&mut statistics);
        statistics.out_of_memory += self.shared.memory.refused;
        statistics.memory_bytes = self.shared.memory.used_bytes() as u64;
        statistics
    }
}
