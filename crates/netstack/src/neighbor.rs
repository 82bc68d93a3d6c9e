//! Which hardware address a neighbour has, asked when it is needed: by ARP, or, of IPv6, as `discovery.rs` has it.
//!
//! Learned only from what concerns us: a request for our address, the answer to a question we asked, or what a router that we use
//! says of itself. Other announcements that nobody asked for change nothing. An entry is confirmed again, by a question to the known address, after a minute of use.
//!
//! Of several cores one asks the link; the others ask that core, in the same way and with the same patience.

use crate::address::Addresses;
use crate::address6::State6;
use crate::discovery;
use crate::ethernet::{self, Mac};
use crate::message::Content;
use crate::outbox::Outbox;
use crate::slab::Key;
use crate::steering::CONTROL;
use alloc::vec::Vec;
use core::net::Ipv4Addr;
use smoltcp::wire::{ArpOperation, ArpPacket, ArpRepr, EthernetAddress};
use toro_tcp::Ip;

const SECOND_NS: u64 = 1_000_000_000;
const FRESH_NS: u64 = 60 * SECOND_NS;
const CONFIRM_NS: u64 = 10 * SECOND_NS;
const TRIES_MAX: u8 = 3;
/// Packets that wait for one neighbour, and for all: enough for a burst of handshakes from behind a router.
const HELD_PACKETS_MAX: usize = 64;
const HELD_PACKETS_MAX_ALL: usize = 128;
const WAITING_MAX: usize = 64;
/// Neighbours that other cores ask for at the same time.
const QUESTIONS_MAX: usize = 64;
const ARP_BYTES: usize = 28;

#[derive(Debug)]
enum Entry {
    Known {
        mac: Mac,
        fresh_until_ns: u64,
        /// A question about an entry that is no longer fresh is out; the address is used until then.
        confirm_until_ns: Option<u64>,
    },
    Asked {
        again_at_ns: u64,
        tries: u8,
        held: Vec<Vec<u8>>,
        waiting: Vec<Key>,
    },
}

/// Our own side of the link.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Own<'a> {
    pub(crate) mac: Mac,
    pub(crate) addresses: &'a Addresses,
}

/// The neighbours of the link.
#[derive(Debug)]
pub(crate) struct Neighbors {
    /// A handful on any link; looked at only when a copy of an address is no longer certain.
    entries: Vec<(Ip, Entry)>,
    entries_max: usize,
    /// The core of these neighbours, unless it asks the link itself.
    asks_as: Option<u8>,
    /// Questions of other cores that are not answered.
    questions: Vec<(Ip, u64)>,
    /// Changes whenever an address that somebody may have copied is no longer certain.
    epoch: u32,
    /// Copies are certain until then.
    certain_until_ns: u64,
    asked: usize,
    /// Packets that wait.
    held: usize,
}

/// What became of a question.
#[derive(Debug)]
pub(crate) struct Answer {
    /// Whom it was about.
    pub(crate) neighbor: Ip,
    /// Packets that can go now (or, after a failure, never).
    pub(crate) held: Vec<Vec<u8>>,
    /// Connections that waited.
    pub(crate) waiting: Vec<Key>,
}

impl Answer {
    const fn none() -> Self {
        Answer { neighbor: Ip::UNSPECIFIED, held: Vec::new(), waiting: Vec::new() }
    }
}

impl Neighbors {
    /// No neighbours yet; `core` is the one they are for, of several.
    pub(crate) fn new(entries_max: usize, core: Option<u8>) -> Self {
        let asks_as = core.filter(|&core| core != CONTROL);
        Neighbors {
            entries: Vec::new(),
            entries_max,
            asks_as,
            questions: Vec::new(),
            epoch: 1,
            certain_until_ns: 0,
            asked: 0,
            held: 0,
        }
    }

    /// A token under which a copied address is still certain, if `epoch` is it.
    pub(crate) fn is_certain(&self, epoch: u32, now_ns: u64) -> bool {
        epoch == self.epoch && now_ns < self.certain_until_ns
    }

    pub(crate) fn epoch(&self) -> u32 {
        self.epoch
    }

    /// The address of a neighbour; asks for it when it is not known.
    pub(crate) fn resolve(&mut self, ip: Ip, now_ns: u64, own: Own<'_>, outbox: &mut Outbox) -> Option<Mac> {
        match self.find_mut(ip) {
            Some(Entry::Known { mac, fresh_until_ns, .. }) if now_ns < *fresh_until_ns => {
                let mac = *mac;
                if now_ns >= self.certain_until_ns {
                    self.recertify(now_ns);
                }
                Some(mac)
            }
            Some(Entry::Known { mac, confirm_until_ns, .. }) if confirm_until_ns.is_none_or(|until| now_ns < until) => {
                let mac = *mac;
                if confirm_until_ns.is_none() {
                    *confirm_until_ns = Some(now_ns + CONFIRM_NS);
                    request(self.asks_as, own, ip, mac, outbox);
                }
                Some(mac)
            }
            Some(Entry::Asked { .. }) => None,
            _ => {
                self.ask(ip, now_ns, own, outbox);
                None
            }
        }
    }

    fn ask(&mut self, ip: Ip, now_ns: u64, own: Own<'_>, outbox: &mut Outbox) {
        let asked = Entry::Asked { again_at_ns: now_ns + SECOND_NS, tries: 1, held: Vec::new(), waiting: Vec::new() };
        if let Some(known) = self.find_mut(ip) {
            *known = asked; // an address that nobody has confirmed
        } else if self.make_room() {
            self.entries.push((ip, asked));
        } else {
            return; // whoever waits looks again by its own clock
        }
        self.asked += 1;
        self.epoch = self.epoch.wrapping_add(1);
        request(self.asks_as, own, ip, ethernet::BROADCAST, outbox);
    }

    fn find(&self, ip: Ip) -> Option<&Entry> {
        self.entries.iter().find(|(known, _)| *known == ip).map(|(_, entry)| entry)
    }

    fn find_mut(&mut self, ip: Ip) -> Option<&mut Entry> {
        self.entries.iter_mut().find(|(known, _)| *known == ip).map(|(_, entry)| entry)
    }

    /// Makes sure that one more entry fits; `false` when there is no memory.
    fn make_room(&mut self) -> bool {
        while self.entries.len() >= self.entries_max {
            // The one that was confirmed longest ago; unanswered questions before any answer.
            let oldest = self.entries.iter().enumerate().min_by_key(|(_, (_, entry))| match entry {
                Entry::Known { fresh_until_ns, .. } => *fresh_until_ns,
                Entry::Asked { .. } => 0,
            });
            let Some((index, _)) = oldest else { return false };
            self.forget(index);
        }
        self.entries.try_reserve(1).is_ok()
    }

    /// Takes out an entry; what waited for its answer, if one was awaited.
    fn forget(&mut self, index: usize) -> Answer {
        self.epoch = self.epoch.wrapping_add(1);
        let (ip, entry) = self.entries.swap_remove(index);
        self.questions.retain(|(asked, _)| *asked != ip);
        self.settle(ip, entry)
    }

    fn settle(&mut self, neighbor: Ip, before: Entry) -> Answer {
        let Entry::Asked { held, waiting, .. } = before else { return Answer::none() };
        self.asked -= 1;
        self.held -= held.len();
        Answer { neighbor, held, waiting }
    }

    /// Keeps a packet until its neighbour answers; gives it back when no question is out or too many wait.
    pub(crate) fn hold(&mut self, ip: Ip, packet: Vec<u8>) -> Result<(), Vec<u8>> {
        let held_all = self.held;
        let Some(Entry::Asked { held, .. }) = self.find_mut(ip) else { return Err(packet) };
        let room = held.len() < HELD_PACKETS_MAX && held_all < HELD_PACKETS_MAX_ALL;
        if !room || held.try_reserve(1).is_err() {
            return Err(packet);
        }
        held.push(packet);
        self.held += 1;
        Ok(())
    }

    /// Notes that a connection waits for a neighbour. Should it not be noted, its own clock brings it back.
    pub(crate) fn wait(&mut self, ip: Ip, connection: Key) {
        if let Some(Entry::Asked { waiting, .. }) = self.find_mut(ip)
            && waiting.len() < WAITING_MAX
            && !waiting.contains(&connection)
            && waiting.try_reserve(1).is_ok()
        {
            waiting.push(connection);
        }
    }

    /// Takes an ARP packet; returns what its answer sets free.
    pub(crate) fn receive(
        &mut self,
        data: &[u8],
        now_ns: u64,
        own: Own<'_>,
        outbox: &mut Outbox,
    ) -> Result<Answer, ()> {
        let packet = ArpPacket::new_checked(data).map_err(drop)?;
        let Ok(ArpRepr::EthernetIpv4 {
            operation,
            source_hardware_addr: EthernetAddress(mac),
            source_protocol_addr: ip,
            target_protocol_addr: target,
            ..
        }) = ArpRepr::parse(&packet)
        else {
            return Err(());
        };
        let own_ip = own.addresses.own_v4();
        if Some(target) != own_ip
            || Some(ip) == own_ip
            || ip.is_unspecified()
            || ip.is_multicast()
            || !ethernet::is_unicast(mac)
        {
            return Ok(Answer::none());
        }
        match operation {
            ArpOperation::Request => {
                let answer = self.learn(ip.into(), mac, now_ns + FRESH_NS, now_ns, outbox);
                write(own, ArpOperation::Reply, ip, mac, outbox);
                Ok(answer)
            }
            ArpOperation::Reply => match self.find(ip.into()) {
                Some(Entry::Asked { .. } | Entry::Known { confirm_until_ns: Some(_), .. }) => {
                    Ok(self.learn(ip.into(), mac, now_ns + FRESH_NS, now_ns, outbox))
                }
                _ => Ok(Answer::none()),
            },
            ArpOperation::Unknown(_) => Ok(Answer::none()),
        }
    }

    /// A neighbour of IPv6 has asked for us, and told its address.
    pub(crate) fn heard(&mut self, ip: Ip, mac: Mac, now_ns: u64, outbox: &mut Outbox) -> Answer {
        self.learn(ip, mac, now_ns + FRESH_NS, now_ns, outbox)
    }

    /// A neighbour of IPv6 says that it is there: what was known of its address is still so, if it does not say otherwise.
    pub(crate) fn advertised(
        &mut self,
        ip: Ip,
        mac: Option<Mac>,
        solicited: bool,
        now_ns: u64,
        outbox: &mut Outbox,
    ) -> Answer {
        let mac = match self.find(ip) {
            Some(Entry::Asked { .. }) => mac,
            Some(Entry::Known { mac: known, confirm_until_ns: Some(_), .. }) if solicited => mac.or(Some(*known)),
            _ => None,
        };
        mac.map_or(Answer::none(), |mac| self.learn(ip, mac, now_ns + FRESH_NS, now_ns, outbox))
    }

    /// Ways have changed: every copy is to be looked up once more.
    pub(crate) fn doubt(&mut self) {
        self.epoch = self.epoch.wrapping_add(1);
    }

    /// Another core wants to know a neighbour.
    pub(crate) fn asked(&mut self, ip: Ip, core: u8, now_ns: u64, own: Own<'_>, outbox: &mut Outbox) {
        let found = self.resolve(ip, now_ns, own, outbox);
        if let (Some(mac), Some(Entry::Known { fresh_until_ns, .. })) = (found, self.find(ip))
            && now_ns < *fresh_until_ns
        {
            outbox.messages.send(core, Content::Neighbor { ip, mac, fresh_until_ns: *fresh_until_ns });
            return;
        }
        // The answer of the link is passed on. Without room the core asks again, as it does when nobody answers.
        if let Some((_, cores)) = self.questions.iter_mut().find(|(asked, _)| *asked == ip) {
            *cores |= 1 << core;
        } else if self.questions.len() < QUESTIONS_MAX && self.questions.try_reserve(1).is_ok() {
            self.questions.push((ip, 1 << core));
        }
    }

    /// The core that asks the link says what it knows; news about nobody we asked for is no news.
    pub(crate) fn told(&mut self, ip: Ip, mac: Mac, fresh_until_ns: u64, now_ns: u64, outbox: &mut Outbox) -> Answer {
        if self.find(ip).is_none() {
            return Answer::none();
        }
        self.learn(ip, mac, fresh_until_ns, now_ns, outbox)
    }

    fn learn(&mut self, ip: Ip, mac: Mac, fresh_until_ns: u64, now_ns: u64, outbox: &mut Outbox) -> Answer {
        if let Some(place) = self.questions.iter().position(|(asked, _)| *asked == ip) {
            let (_, cores) = self.questions.swap_remove(place);
            outbox.messages.send_to_all(cores, || Content::Neighbor { ip, mac, fresh_until_ns });
        }
        let known = Entry::Known { mac, fresh_until_ns, confirm_until_ns: None };
        let answer = if let Some(entry) = self.find_mut(ip) {
            let before = core::mem::replace(entry, known);
            self.settle(ip, before)
        } else {
            if self.make_room() {
                self.entries.push((ip, known));
            }
            Answer::none()
        };
        self.recertify(now_ns);
        answer
    }

    /// Makes every copy be looked up once more, and new copies good until the next entry needs confirmation.
    fn recertify(&mut self, now_ns: u64) {
        self.epoch = self.epoch.wrapping_add(1);
        let fresh = self.entries.iter().filter_map(|(_, entry)| match entry {
            Entry::Known { fresh_until_ns, .. } if *fresh_until_ns > now_ns => Some(*fresh_until_ns),
            _ => None,
        });
        self.certain_until_ns = fresh.min().unwrap_or(0);
    }

    /// Whether a question is out.
    #[inline]
    pub(crate) fn is_asking(&self) -> bool {
        self.asked > 0
    }

    /// When the next question must be repeated; `u64::MAX` when none is out.
    pub(crate) fn next_deadline(&self) -> u64 {
        let due = self.entries.iter().map(|(_, entry)| match entry {
            Entry::Asked { again_at_ns, .. } => *again_at_ns,
            Entry::Known { .. } => u64::MAX,
        });
        due.min().unwrap_or(u64::MAX)
    }

    /// Repeats questions that are due; what waited for a neighbour that never answered. Call it until there is none.
    pub(crate) fn run(&mut self, now_ns: u64, own: Own<'_>, outbox: &mut Outbox) -> Option<Answer> {
        let mut given_up = None;
        for (index, (ip, entry)) in self.entries.iter_mut().enumerate() {
            if let Entry::Asked { again_at_ns, tries, .. } = entry
                && *again_at_ns <= now_ns
            {
                if *tries == TRIES_MAX {
                    given_up = Some(index);
                } else {
                    *tries += 1;
                    *again_at_ns = now_ns + SECOND_NS;
                    request(self.asks_as, own, *ip, ethernet::BROADCAST, outbox);
                }
            }
        }
        given_up.map(|index| self.forget(index))
    }

    /// Forgets everything: our own address changed, or what is at the other end of the link. How many packets waited.
    pub(crate) fn clear(&mut self) -> u64 {
        let held = self.held as u64;
        self.entries.clear();
        self.questions.clear();
        self.asked = 0;
        self.held = 0;
        self.epoch = self.epoch.wrapping_add(1);
        held
    }

    /// See [`Stack::assert_sound`](crate::Stack::assert_sound).
    pub(crate) fn assert_sound(&self) {
        assert!(self.entries.len() <= self.entries_max && self.questions.len() <= QUESTIONS_MAX);
        let (mut asked, mut held_all) = (0, 0);
        for (place, (ip, entry)) in self.entries.iter().enumerate() {
            assert!(self.entries[..place].iter().all(|(other, _)| other != ip), "{ip} is there twice");
            if let Entry::Asked { held, waiting, .. } = entry {
                assert!(held.len() <= HELD_PACKETS_MAX && waiting.len() <= WAITING_MAX);
                (asked, held_all) = (asked + 1, held_all + held.len());
            }
        }
        assert_eq!((self.asked, self.held), (asked, held_all));
        assert!(self.held <= HELD_PACKETS_MAX_ALL);
    }

    /// Tells everybody our hardware address, unasked (RFC 5227, 3).
    pub(crate) fn announce(&self, own: Own<'_>, outbox: &mut Outbox) {
        if let Some(ip) = own.addresses.own_v4() {
            write(own, ArpOperation::Request, ip, ethernet::BROADCAST, outbox);
        }
        // What is not certain is asked about, and said then (RFC 4861, 7.2.6).
        for own6 in own.addresses.six.own.iter().filter(|own6| own6.state != State6::Optimistic) {
            discovery::advertise(outbox, own.mac, own6.ip, None, true);
        }
    }
}

/// Whom an ARP packet asks for.
pub(crate) fn target(data: &[u8]) -> Option<Ipv4Addr> {
    Some(Ipv4Addr::from(*data.get(24..)?.first_chunk::<4>()?))
}

fn request(asks_as: Option<u8>, own: Own<'_>, ip: Ip, destination: Mac, outbox: &mut Outbox) {
    match asks_as {
        Some(core) => outbox.messages.send(CONTROL, Content::Resolve { ip, core }),
        None if ip.is_v4() => write(own, ArpOperation::Request, ip.low_v4(), destination, outbox),
        None => {
            // Who is not sure of its address leaves it to others to ask for its hardware address (RFC 4429, 3.2).
            let Some(from) = own.addresses.source_for(ip) else { return };
            let known = Some(destination).filter(|_| destination != ethernet::BROADCAST);
            discovery::solicit(outbox, own.mac, from, ip, known, !own.addresses.six.is_optimistic(from));
        }
    }
}

fn write(own: Own<'_>, operation: ArpOperation, ip: Ipv4Addr, destination: Mac, outbox: &mut Outbox) {
    let Some(own_ip) = own.addresses.own_v4() else { return };
    let target = if operation == ArpOperation::Request { [0; 6] } else { destination };
    let arp = ArpRepr::EthernetIpv4 {
        operation,
        source_hardware_addr: EthernetAddress(own.mac),
        source_protocol_addr: own_ip,
        target_hardware_addr: EthernetAddress(target),
        target_protocol_addr: ip,
    };
    outbox.frame(ethernet::HEADER_BYTES + ARP_BYTES, |frame| {
        let (header, body) = frame.split_at_mut(ethernet::HEADER_BYTES);
        header.copy_from_slice(&ethernet::header(destination, own.mac, ethernet::ARP));
        arp.emit(&mut ArpPacket::new_unchecked(body));
    });
}
