//! The stack: one link, one machine, everything in between.
//!
//! [`receive`](Stack::receive) takes a frame and [`flush`](Stack::flush) hands frames to the device, after timers that are
//! due. Calls of programs never send by themselves, so that one flush, and one notification of the device, serves them all.

use crate::address::{Address, Way};
use crate::config::Config;
use crate::device::{Checksum, Device, Received};
use crate::dhcp::{self, Dhcp};
use crate::error::Error;
use crate::ethernet;
use crate::event::{Event, Statistics};
use crate::icmp::{Icmp, News, Report};
use crate::ipv4::{self, Refused};
use crate::message::{Content, Origin};
use crate::neighbor::{self, Answer, Neighbors, Own};
use crate::outbox::Parcel;
use crate::shared::Shared;
use crate::steering::CONTROL;
use crate::tcp::{Tcp, Tuple};
use crate::udp::{self, Udp};
use core::net::{Ipv4Addr, SocketAddrV4};

/// Packets of this machine to itself that one flush takes in, before it says that there is more.
const LOOPBACK_BATCH: usize = 512;

/// A network stack.
#[derive(Debug)]
pub struct Stack {
    pub(crate) shared: Shared,
    pub(crate) neighbors: Neighbors,
    pub(crate) tcp: Tcp,
    pub(crate) udp: Udp,
    icmp: Icmp,
    dhcp: Option<Dhcp>,
}

/// What a flush has achieved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flushed {
    /// There is nothing more to send.
    Whole,
    /// The rest has to wait until the device has room.
    DeviceFull,
    /// This machine has more to say to itself: flush again before sleeping.
    Partly,
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
            dhcp: None,
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

    /// Takes an address that somebody chose; ends DHCP. `false` when it cannot be the address of a machine.
    pub fn set_address(&mut self, address: Address) -> bool {
        let usable = address.is_usable();
        if usable {
            self.dhcp = None;
            self.readdress(Some(address));
        }
        usable
    }

    /// Asks for an address by DHCP, from the next flush on.
    pub fn start_dhcp(&mut self, now_ns: u64) {
        self.dhcp = Some(Dhcp::new(now_ns));
    }

    /// The address in use.
    #[must_use]
    pub fn address(&self) -> Option<Address> {
        self.shared.addresses.own
    }

    pub(crate) fn readdress(&mut self, address: Option<Address>) {
        if self.shared.addresses.own == address {
            return;
        }
        self.shared.addresses.own = address;
        self.neighbors.clear();
        self.tcp.readdress(&mut self.shared);
        self.shared.events.push(Event::Address(address));
        if let Some(seat) = self.shared.seat
            && seat.core == CONTROL
        {
            self.shared.outbox.messages.send_to_all(seat.others(), || Content::Address(address));
        }
    }

    /// Takes a frame from the link.
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
        if !to_everybody && [d0, d1, d2, d3, d4, d5] != self.shared.config.mac {
            self.shared.statistics.not_for_us += 1;
            return;
        }
        match u16::from_be_bytes([kind0, kind1]) {
            ethernet::IPV4 => self.receive_packet(body, From::Link { to_everybody }, checksum, now_ns),
            ethernet::ARP => self.receive_arp(body, now_ns),
            _ => self.shared.statistics.not_for_us += 1,
        }
    }

    pub(crate) fn receive_packet(&mut self, data: &[u8], from: From, checksum: Received, now_ns: u64) {
        let packet = match ipv4::Packet::parse(data) {
            Ok(packet) => packet,
            Err(Refused::Malformed) => return self.shared.statistics.malformed += 1,
            Err(Refused::Fragment) => return self.shared.statistics.fragments += 1,
        };
        let addresses = &self.shared.addresses;
        let own = addresses.own_ip() == Some(packet.destination);
        let for_us = match from {
            From::Loopback => true,
            From::Link { .. } if !addresses.is_from_outside(packet.source, packet.destination) => false,
            From::Link { to_everybody } => own || (to_everybody && addresses.is_broadcast(packet.destination)),
        };
        let to_everybody = from == From::Link { to_everybody: true };
        match packet.protocol {
            ipv4::TCP if for_us && !to_everybody && !packet.source.is_unspecified() => {
                self.tcp.receive(&packet, checksum, now_ns, &mut self.shared);
            }
            ipv4::UDP => self.receive_datagram(&packet, for_us, to_everybody, checksum, now_ns),
            ipv4::ICMP if for_us => {
                if let Some(report) = self.icmp.receive(&packet, to_everybody, &mut self.shared) {
                    self.receive_report(&report);
                }
            }
            _ => self.shared.statistics.not_for_us += 1,
        }
    }

    fn receive_datagram(
        &mut self,
        packet: &ipv4::Packet<'_>,
        for_us: bool,
        to_everybody: bool,
        checksum: Received,
        now_ns: u64,
    ) {
        if let Some(dhcp) = &mut self.dhcp
            && let Some(((_, dhcp::CLIENT_PORT), data)) = udp::parse(packet, checksum)
        {
            // Before it has an address, the client is spoken to at the one it will have.
            if let Some(address) = dhcp.receive(data, now_ns, &mut self.shared) {
                self.readdress(address);
            }
        } else if self.shared.seat.is_some() && self.steer_datagram(packet, for_us) {
            // Another core's.
        } else if !for_us {
            self.shared.statistics.not_for_us += 1;
        } else if !self.udp.receive(packet, checksum, &mut self.shared) && !to_everybody {
            self.icmp.port_unreachable(packet, now_ns, &mut self.shared);
        }
    }

    fn receive_report(&mut self, report: &Report) {
        let (remote, remote_port) = report.remote;
        let (local, local_port) = report.local;
        let tuple = Tuple { local, remote, local_port, remote_port };
        if self.shared.seat.is_some() && self.steer_report(report.protocol, &tuple) {
            return;
        }
        match report.protocol {
            ipv4::TCP => match report.news {
                News::Unreachable(error) => {
                    self.tcp.unreachable(&tuple, report.sequence, error, &mut self.shared);
                }
                News::TooLong { packet_bytes } => self.tcp.too_long(&tuple, report.sequence, packet_bytes),
            },
            ipv4::UDP => {
                let error = match report.news {
                    News::Unreachable(error) => error,
                    News::TooLong { .. } => Error::MessageTooLong,
                };
                let remote = SocketAddrV4::new(remote, remote_port);
                self.udp.unreachable(local_port, remote, error, &mut self.shared);
            }
            _ => {}
        }
    }

    fn receive_arp(&mut self, data: &[u8], now_ns: u64) {
        let Some(own) = self.own() else { return };
        if self.shared.seat.is_some_and(|seat| seat.core != CONTROL) {
            // Of the many that go to everybody only those that ask for us disturb the core that answers.
            let concerns_us = neighbor::target(data) == Some(own.ip);
            self.shared.elsewhere = concerns_us.then_some(CONTROL);
            return;
        }
        match self.neighbors.receive(data, now_ns, own, &mut self.shared.outbox) {
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

    pub(crate) fn own(&self) -> Option<Own> {
        Some(Own { mac: self.shared.config.mac, ip: self.shared.addresses.own_ip()? })
    }

    /// Runs what is due and hands the device what is to be sent.
    pub fn flush<D: Device>(&mut self, device: &mut D, now_ns: u64) -> Flushed {
        self.run(now_ns);
        loop {
            // Answers first: they are older than what programs have written since.
            let mut sent = self.shared.outbox.is_empty() || self.send_outbox(device, now_ns);
            // A full device holds up nobody who talks to this machine.
            if self.tcp.has_turns() {
                sent &= self.tcp.flush(device, &mut self.neighbors, now_ns, &mut self.shared);
                sent = sent && (self.shared.outbox.is_empty() || self.send_outbox(device, now_ns));
            }
            if !self.shared.loopback.is_empty() {
                if !self.receive_loopback(now_ns) {
                    return Flushed::Partly;
                }
            } else if !sent {
                return Flushed::DeviceFull;
            }
            if !self.has_work() {
                return Flushed::Whole;
            }
        }
    }

    #[inline]
    fn run(&mut self, now_ns: u64) {
        if let Some(dhcp) = &mut self.dhcp
            && dhcp.next_deadline() <= now_ns
            && dhcp.run(now_ns, &mut self.shared)
        {
            self.readdress(None);
        }
        if self.neighbors.is_asking() {
            self.run_neighbors(now_ns);
        }
        self.tcp.run(now_ns, &mut self.shared);
    }

    #[cold]
    fn run_neighbors(&mut self, now_ns: u64) {
        if let Some(own) = self.own() {
            while let Some(failed) = self.neighbors.run(now_ns, own, &mut self.shared.outbox) {
                self.shared.statistics.packets_dropped += failed.held.len() as u64;
                self.tcp.abandoned(&failed.waiting, &mut self.shared);
            }
        }
    }

    /// Sends what waits in the outbox; `false` when the device was full first.
    fn send_outbox<D: Device>(&mut self, device: &mut D, now_ns: u64) -> bool {
        while !self.shared.outbox.is_empty() {
            if !device.ready() {
                return false;
            }
            let Some(parcel) = self.shared.outbox.pop() else { return true };
            let sent = match &parcel {
                Parcel::Frame(frame) => {
                    device.transmit(frame.len(), Checksum::Complete, |place| place.copy_from_slice(frame))
                }
                Parcel::Packet(packet) => match self.header_for(packet, now_ns) {
                    Some(Ok(header)) => device.transmit(header.len() + packet.len(), Checksum::Complete, |place| {
                        let (start, rest) = place.split_at_mut(header.len());
                        start.copy_from_slice(&header);
                        rest.copy_from_slice(packet);
                    }),
                    Some(Err(hop)) => {
                        self.hold(hop, parcel);
                        continue;
                    }
                    None => {
                        self.shared.statistics.packets_dropped += 1;
                        Ok(())
                    }
                },
            };
            if sent.is_err() {
                self.shared.outbox.unpop(parcel);
                return false;
            }
            let (Parcel::Frame(buffer) | Parcel::Packet(buffer)) = parcel;
            self.shared.outbox.recycle(buffer);
        }
        true
    }

    /// The Ethernet header for a packet; the neighbour to wait for, if it has yet to answer.
    fn header_for(&mut self, packet: &[u8], now_ns: u64) -> Option<Result<[u8; ethernet::HEADER_BYTES], Ipv4Addr>> {
        let mac = self.shared.config.mac;
        let destination = match self.shared.addresses.way(ipv4::destination(packet))? {
            Way::Loopback => return None,
            Way::Broadcast => ethernet::BROADCAST,
            Way::Neighbor(hop) => {
                let own = self.own()?;
                match self.neighbors.resolve(hop, now_ns, own, &mut self.shared.outbox) {
                    Some(found) => found,
                    None => return Some(Err(hop)),
                }
            }
        };
        Some(Ok(ethernet::header(destination, mac, ethernet::IPV4)))
    }

    fn hold(&mut self, hop: Ipv4Addr, parcel: Parcel) {
        if let Parcel::Packet(packet) = parcel
            && let Err(packet) = self.neighbors.hold(hop, packet)
        {
            self.shared.statistics.packets_dropped += 1;
            self.shared.outbox.recycle(packet);
        }
    }

    /// Takes in what this machine sent itself; `false` when it is too much for one go.
    fn receive_loopback(&mut self, now_ns: u64) -> bool {
        for _ in 0..LOOPBACK_BATCH {
            let Some(packet) = self.shared.loopback.pop() else { return true };
            self.receive_packet(&packet, From::Loopback, Received::Verified, now_ns);
            match self.shared.elsewhere.take() {
                Some(core) => self.hand_over(core, packet, Origin::Loopback, Received::Verified),
                None => self.shared.loopback.recycle(packet),
            }
        }
        self.shared.loopback.is_empty()
    }

    /// Whether there is something that a flush has not sent.
    #[must_use]
    pub fn has_work(&self) -> bool {
        self.tcp.has_turns() || !self.shared.outbox.is_empty() || !self.shared.loopback.is_empty()
    }

    /// When the stack wants a flush even if nothing happens.
    #[must_use]
    pub fn next_deadline(&mut self) -> Option<u64> {
        let dhcp = self.dhcp.as_ref().map_or(u64::MAX, Dhcp::next_deadline);
        let neighbors = if self.neighbors.is_asking() { self.neighbors.next_deadline() } else { u64::MAX };
        let next_ns = dhcp.min(neighbors).min(self.tcp.next_deadline());
        (next_ns != u64::MAX).then_some(next_ns)
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
        let messages = &self.shared.outbox.messages;
        statistics.posted = messages.posted;
        statistics.posts_dropped = messages.dropped;
        statistics.packets_dropped += self.shared.outbox.dropped + self.shared.loopback.dropped;
        self.tcp.count(&mut statistics);
        statistics.memory_bytes = self.shared.memory_bytes as u64;
        statistics
    }
}
