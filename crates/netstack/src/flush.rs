//! What the stack sends: what is due, what waits, and what connections have to say, link by link.
//!
//! A full device holds up its own link alone, and nobody who talks to this machine.

use crate::address::Way;
use crate::address6::NEVER;
use crate::device::{Checksum, Device, Devices, Received};
use crate::dhcp::Dhcp;
use crate::ethernet;
use crate::message::Origin;
use crate::outbox::Parcel;
use crate::stack::{From, Stack};
use toro_tcp::Ip;
use toro_tcp::packet;

/// Packets of this machine to itself that one flush takes in, before it says that there is more.
const LOOPBACK_BATCH: usize = 512;

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

impl Stack {
    /// Runs what is due and hands the device what is to be sent.
    #[inline]
    pub fn flush<D: Devices>(&mut self, devices: &mut D, now_ns: u64) -> Flushed {
        self.run(now_ns);
        if self.shared.has_several() {
            self.flush_all(devices, now_ns)
        } else {
            self.flush_link(devices.device(0), now_ns)
        }
    }

    /// Hands the devices of several links what is to be sent.
    #[cold]
    #[inline(never)]
    fn flush_all<D: Devices>(&mut self, devices: &mut D, now_ns: u64) -> Flushed {
        let links = 0..self.links();
        loop {
            let mut full = 0;
            for link in links.clone() {
                if link > 0 && !self.waits_for(link) {
                    continue; // to take it in hand costs more than to look
                }
                match self.enter(link, |stack| stack.flush_link(devices.device(link), now_ns)) {
                    Some(Flushed::Partly) => return Flushed::Partly,
                    Some(Flushed::DeviceFull) => full |= 1 << link,
                    _ => {}
                }
            }
            // What one link has sent to this machine itself may have given others something to say.
            if !links.clone().any(|link| full & 1 << link == 0 && self.waits_for(link)) {
                return if full == 0 { Flushed::Whole } else { Flushed::DeviceFull };
            }
        }
    }

    /// Hands the device of the link at hand what is to be sent there.
    #[inline(never)] // there once, whoever calls it, so that all that it calls is part of it
    fn flush_link<D: Device>(&mut self, device: &mut D, now_ns: u64) -> Flushed {
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
            self.udp.tell_room(&mut self.shared);
            if !self.has_work_here() {
                return Flushed::Whole;
            }
        }
    }

    #[inline]
    fn run(&mut self, now_ns: u64) {
        self.run_link(now_ns);
        if self.shared.has_several() && self.is_due_aside(now_ns) {
            for link in 1..self.links() {
                self.enter(link, |stack| stack.run_other(now_ns));
            }
        }
        if self.reassembly.next_deadline() <= now_ns {
            self.reassembly.run(now_ns, &mut self.shared);
        }
        self.tcp.run(now_ns, &mut self.shared);
    }

    #[cold]
    #[inline(never)]
    fn run_other(&mut self, now_ns: u64) {
        self.run_link(now_ns);
    }

    #[inline(always)] // for the only link, and once for all others
    fn run_link(&mut self, now_ns: u64) {
        if let Some(dhcp) = &mut self.dhcp
            && dhcp.next_deadline() <= now_ns
            && dhcp.run(now_ns, &mut self.shared)
        {
            self.readdress(None);
        }
        if self.neighbors.is_asking() {
            self.run_neighbors(now_ns);
        }
        if self.autoconf.is_due(now_ns) {
            self.run_autoconf(now_ns);
        }
        if self.shared.memberships.next_deadline() <= now_ns {
            self.shared.report_groups(now_ns);
        }
    }

    #[cold]
    fn run_neighbors(&mut self, now_ns: u64) {
        loop {
            let (own, outbox) = self.shared.own();
            let Some(failed) = self.neighbors.run(now_ns, own, outbox) else { return };
            self.shared.statistics.packets_dropped += failed.held.len() as u64;
            self.tcp.abandoned(&failed.waiting, &mut self.shared);
            if self.shared.addresses.six.put_last(failed.neighbor) {
                self.neighbors.doubt();
            }
        }
    }

    /// Sends what waits in the outbox; `false` when the device was full first.
    fn send_outbox<D: Device>(&mut self, device: &mut D, now_ns: u64) -> bool {
        if !self.shared.link_up {
            self.drop_outbox();
        }
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
            self.shared.outbox.recycle(parcel.into_bytes());
        }
        true
    }

    /// The Ethernet header for a packet; the neighbour to wait for, if it has yet to answer.
    fn header_for(&mut self, packet: &[u8], now_ns: u64) -> Option<Result<[u8; ethernet::HEADER_BYTES], Ip>> {
        let mac = self.shared.config.link.mac;
        let ip = packet::destination(packet);
        let destination = match self.shared.way(ip)? {
            Way::Loopback => return None,
            Way::Broadcast if ip.is_multicast() => ethernet::group(ip),
            Way::Broadcast => ethernet::BROADCAST,
            Way::Neighbor(hop) => {
                let (own, outbox) = self.shared.own();
                match self.neighbors.resolve(hop, now_ns, own, outbox) {
                    Some(found) => found,
                    None => return Some(Err(hop)),
                }
            }
        };
        Some(Ok(ethernet::header(destination, mac, ethernet::kind(ip))))
    }

    fn hold(&mut self, hop: Ip, parcel: Parcel) {
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
    #[inline]
    #[must_use]
    pub fn has_work(&self) -> bool {
        self.tcp.has_turns()
            || !self.shared.outbox.is_empty()
            || !self.shared.loopback.is_empty()
            || self.shared.has_work_aside()
    }

    /// Whether there is something that a flush has not sent, by this link or to this machine itself.
    #[inline]
    #[must_use]
    pub fn waits_for(&self, link: usize) -> bool {
        if self.shared.has_several() { self.waits_for_one(link) } else { link == 0 && self.has_work() }
    }

    #[cold]
    #[inline(never)]
    fn waits_for_one(&self, link: usize) -> bool {
        let outbox = self.shared.outbox_of(link as u8);
        self.tcp.has_turns_on(link as u8) || !self.shared.loopback.is_empty() || outbox.is_some_and(|it| !it.is_empty())
    }

    #[inline]
    fn has_work_here(&self) -> bool {
        if self.shared.has_several() { self.waits_for(self.shared.at().into()) } else { self.has_work() }
    }

    /// When the stack wants a flush even if nothing happens.
    #[must_use]
    pub fn next_deadline(&mut self) -> Option<u64> {
        let aside = if self.shared.has_several() { self.deadline_aside() } else { u64::MAX };
        let dhcp = self.dhcp.as_ref().map_or(u64::MAX, Dhcp::next_deadline);
        let neighbors = if self.neighbors.is_asking() { self.neighbors.next_deadline() } else { u64::MAX };
        let pieces = self.reassembly.next_deadline().min(self.shared.memberships.next_deadline());
        let autoconf = self.autoconf.next_deadline();
        let next_ns = dhcp.min(neighbors).min(pieces).min(autoconf).min(aside).min(self.tcp.next_deadline());
        (next_ns != NEVER).then_some(next_ns)
    }
}
