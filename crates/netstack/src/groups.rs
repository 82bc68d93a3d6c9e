//! Groups of receivers (multicast): which of them this machine has joined, and what routers are told of it: by IGMP version 2 (RFC 2236), or, of
//! IPv6, by MLD (RFC 2710), which is the same in other clothes.
//!
//! A group is the machine's, on a link: what comes for it there goes to every socket that has the port, as on Linux. So all cores share the
//! list.

use crate::address6::{ALL_NODES, ALL_ROUTERS, Few, is_link_local};
use crate::shared::Shared;
use alloc::vec::Vec;
use core::net::Ipv4Addr;
use core::sync::atomic::Ordering::{Acquire, Relaxed, Release};
use core::sync::atomic::{AtomicBool, AtomicU32, AtomicU64};
use toro_tcp::packet::{self, ICMP6, Packet};
use toro_tcp::{Ip, Sum, ipv6};

/// Groups that a machine can be in.
const GROUPS_MAX: usize = 32;
/// Everybody is in this one, and no router is told.
const ALL_HOSTS: Ip = Ip::of_v4(Ipv4Addr::new(224, 0, 0, 1));
const ALL_ROUTERS_V4: Ip = Ip::of_v4(Ipv4Addr::new(224, 0, 0, 2));

pub(crate) const PROTOCOL: u8 = 2;
const QUERY: u8 = 0x11;
const REPORT: u8 = 0x16;
const LEAVE: u8 = 0x17;
/// The same of MLD.
pub(crate) const QUERY6: u8 = 130;
const REPORT6: u8 = 131;
const DONE6: u8 = 132;
/// Header with the option that has routers look into the packet.
const HEADER_BYTES: usize = 24;
const MESSAGE_BYTES: usize = 8;
/// A header that has routers look into the packet, before the message.
const ROUTER_ALERT: [u8; 8] = [ICMP6, 0, 5, 2, 0, 0, 1, 0];
const MESSAGE6_BYTES: usize = 24;
const MILLISECOND_NS: u64 = 1_000_000;
/// A report is repeated within this, should the first be lost.
const REPEAT_NS: u64 = 1_000_000_000;

/// What routers are told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Told {
    Joined,
    Left,
}

/// A group, and how many sockets have joined it; 0: the place is free.
#[derive(Debug)]
struct Entry {
    words: [AtomicU64; 2],
    sockets: AtomicU32,
}

/// The groups that a machine is in. Readers load; one that looks while another changes may miss a group, or find one that was left.
#[derive(Debug)]
pub(crate) struct Groups {
    entries: [Entry; GROUPS_MAX],
    changing: AtomicBool,
}

impl Entry {
    const fn free() -> Self {
        Entry { words: [const { AtomicU64::new(0) }; 2], sockets: AtomicU32::new(0) }
    }

    fn group(&self) -> Option<Ip> {
        let words = [&self.words[0], &self.words[1]].map(|word| word.load(Relaxed));
        (self.sockets.load(Relaxed) > 0).then(|| Ip::from_words(words))
    }
}

impl Groups {
    pub(crate) const fn new() -> Self {
        Groups { entries: [const { Entry::free() }; GROUPS_MAX], changing: AtomicBool::new(false) }
    }

    fn joined(&self) -> impl Iterator<Item = Ip> {
        self.entries.iter().filter_map(Entry::group)
    }

    pub(crate) fn has(&self, group: Ip) -> bool {
        group == ALL_HOSTS || group == ALL_NODES || self.joined().any(|joined| joined == group)
    }

    fn change<R>(&self, change: impl FnOnce(&[Entry]) -> R) -> R {
        while self.changing.swap(true, Acquire) {
            core::hint::spin_loop();
        }
        let result = change(&self.entries);
        self.changing.store(false, Release);
        result
    }

    /// One more socket is in the group. Whether it is the first; `None` when there are too many groups.
    fn add(&self, group: Ip) -> Option<bool> {
        self.change(|entries| {
            if let Some(entry) = entries.iter().find(|entry| entry.group() == Some(group)) {
                entry.sockets.fetch_add(1, Relaxed);
                return Some(false);
            }
            let free = entries.iter().find(|entry| entry.group().is_none())?;
            free.words.iter().zip(group.words()).for_each(|(place, word)| place.store(word, Relaxed));
            free.sockets.store(1, Release);
            Some(true)
        })
    }

    /// One less is. Whether it was the last.
    fn remove(&self, group: Ip) -> bool {
        self.change(|entries| {
            let entry = entries.iter().find(|entry| entry.group() == Some(group));
            entry.is_some_and(|entry| entry.sockets.fetch_sub(1, Relaxed) == 1)
        })
    }
}

/// Whether routers are told of a group.
fn is_told(group: Ip) -> bool {
    // Of this machine alone, or of everybody.
    group != ALL_HOSTS && group != ALL_NODES && (group.is_v4() || group.octets()[1] & 0x0f > 1)
}

/// Reports that are to be sent.
#[derive(Debug)]
pub(crate) struct Memberships {
    /// The groups of a machine with one stack.
    own: Groups,
    /// Each with its time; 0: soon, once it is known what time it is.
    due: Vec<(Ip, u64)>,
}

impl Memberships {
    pub(crate) const fn new() -> Self {
        Memberships { own: Groups::new(), due: Vec::new() }
    }

    #[inline]
    pub(crate) fn next_deadline(&self) -> u64 {
        self.due.iter().map(|&(_, at_ns)| at_ns).min().unwrap_or(u64::MAX)
    }

    fn report_at(&mut self, group: Ip, at_ns: u64) {
        if let Some((_, due_ns)) = self.due.iter_mut().find(|(due, _)| *due == group) {
            *due_ns = at_ns.min(*due_ns);
        } else if self.due.len() < GROUPS_MAX && self.due.try_reserve(1).is_ok() {
            self.due.push((group, at_ns));
        }
    }
}

impl Shared {
    /// The groups that the machine is in.
    pub(crate) fn groups(&self) -> &Groups {
        self.seat.map_or(&self.memberships.own, |seat| seat.steering.groups(self.at()))
    }

    /// A socket joins; `false` when the machine is in too many groups.
    #[cold]
    pub(crate) fn join(&mut self, group: Ip) -> bool {
        match self.groups().add(group) {
            None => return false,
            Some(true) if is_told(group) => {
                self.tell_routers(Told::Joined, group);
                self.memberships.report_at(group, 0);
            }
            Some(_) => {}
        }
        true
    }

    /// A socket leaves.
    #[cold]
    pub(crate) fn leave(&mut self, group: Ip) {
        if self.groups().remove(group) && is_told(group) {
            self.tell_routers(Told::Left, group);
        }
    }

    fn tell_routers(&mut self, told: Told, group: Ip) {
        let Some(group4) = group.v4() else { return self.tell_routers6(told, group) };
        let Some(source) = self.addresses.own_v4() else { return };
        let (kind, destination) = if told == Told::Left { (LEAVE, ALL_ROUTERS_V4) } else { (REPORT, group) };
        self.send(destination, HEADER_BYTES + MESSAGE_BYTES, &mut |packet| {
            packet.fill(0);
            let (header, message) = packet.split_at_mut(HEADER_BYTES);
            message[0] = kind;
            message[4..8].copy_from_slice(&group4.octets());
            let sum = Sum::default().bytes(message).complement();
            message[2..4].copy_from_slice(&sum);
            header[..4].copy_from_slice(&[0x46, 0xc0, 0, (HEADER_BYTES + MESSAGE_BYTES) as u8]);
            header[8..10].copy_from_slice(&[1, PROTOCOL]); // not beyond this link
            header[12..16].copy_from_slice(&source.octets());
            header[16..20].copy_from_slice(&destination.low_v4().octets());
            header[20..24].copy_from_slice(&[0x94, 4, 0, 0]);
            let sum = Sum::default().bytes(header).complement();
            header[10..12].copy_from_slice(&sum);
        });
    }

    fn tell_routers6(&mut self, told: Told, group: Ip) {
        let (kind, destination) = if told == Told::Left { (DONE6, ALL_ROUTERS) } else { (REPORT6, group) };
        let own = self.addresses.six.own.iter().find(|own| is_link_local(own.ip)).map(|own| own.ip);
        // Before its address is certain it speaks as nobody (RFC 3590).
        let source = own.filter(|ip| !self.addresses.six.is_optimistic(*ip)).unwrap_or(Ip::UNSPECIFIED);
        let len_bytes = ipv6::HEADER_BYTES + ROUTER_ALERT.len() + MESSAGE6_BYTES;
        self.send(destination, len_bytes, &mut |packet| {
            let (alert, message) = packet[ipv6::HEADER_BYTES..].split_at_mut(ROUTER_ALERT.len());
            alert.copy_from_slice(&ROUTER_ALERT);
            message.fill(0);
            message[0] = kind;
            message[8..].copy_from_slice(&group.octets());
            let sum = Sum::pseudo_header(source, destination, ICMP6, MESSAGE6_BYTES).bytes(message).complement();
            message[2..4].copy_from_slice(&sum);
            ipv6::write_header(packet, source, destination, 0);
            packet::mark(packet, 1, 0); // not beyond this link
        });
    }

    /// A router asks who is in a group, or in any.
    #[cold]
    pub(crate) fn asked_for_groups(&mut self, packet: &Packet<'_>, now_ns: u64) {
        let Some(message) = packet.payload.first_chunk::<MESSAGE_BYTES>() else {
            self.statistics.malformed += 1;
            return;
        };
        if message[0] != QUERY || !Sum::default().bytes(packet.payload).is_intact() {
            return;
        }
        let wanted = Ipv4Addr::new(message[4], message[5], message[6], message[7]);
        // The first version says nothing of time, and means 10 seconds.
        let tenths = u64::from(if message[1] == 0 { 100 } else { message[1] });
        self.answer_about(wanted.into(), tenths * 100 * MILLISECOND_NS, now_ns);
    }

    /// The same of MLD; the message is intact. What the second version says beyond that is not looked at.
    #[cold]
    pub(crate) fn asked_for_groups6(&mut self, packet: &Packet<'_>, now_ns: u64) {
        let Some(message) = packet.payload.first_chunk::<MESSAGE6_BYTES>() else {
            self.statistics.malformed += 1;
            return;
        };
        if packet.bytes[7] != 1 || !is_link_local(packet.source) {
            return;
        }
        let group = core::array::from_fn(|at| message[8 + at]);
        let limit_ms = u16::from_be_bytes([message[4], message[5]]).min(0x7fff);
        self.answer_about(Ip::from_octets(group), (u64::from(limit_ms) * MILLISECOND_NS).max(1), now_ns);
    }

    /// The answer comes at a time by chance, so that not all answer at once.
    fn answer_about(&mut self, wanted: Ip, limit_ns: u64, now_ns: u64) {
        for &group in self.told_groups().iter() {
            if wanted == group || wanted.is_unspecified() && wanted.is_v4() == group.is_v4() {
                let at_ns = now_ns + 1 + self.random.draw() % limit_ns;
                self.memberships.report_at(group, at_ns);
            }
        }
    }

    /// Those of which routers are told.
    fn told_groups(&self) -> Few<Ip, GROUPS_MAX> {
        let mut told = Few::new();
        for group in self.groups().joined().filter(|group| is_told(*group)) {
            told.push(group);
        }
        told
    }

    /// Routers may have forgotten, or be others: each group is reported anew.
    #[cold]
    pub(crate) fn report_all_groups(&mut self) {
        for group in self.told_groups().iter() {
            self.tell_routers(Told::Joined, *group);
            self.memberships.report_at(*group, 0);
        }
    }

    /// Sends the reports that are due.
    #[cold]
    pub(crate) fn report_groups(&mut self, now_ns: u64) {
        let mut place = 0;
        while let Some(&(group, at_ns)) = self.memberships.due.get(place) {
            if at_ns == 0 {
                self.memberships.due[place].1 = now_ns + 1 + self.random.draw() % REPEAT_NS;
            }
            if at_ns == 0 || at_ns > now_ns {
                place += 1;
                continue;
            }
            self.memberships.due.swap_remove(place);
            if self.groups().has(group) {
                self.tell_routers(Told::Joined, group);
            }
        }
    }
}
