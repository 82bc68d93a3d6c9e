//! Several links. One of them is at hand, the others wait aside.
//!
//! All protocols work on the link at hand as if there were no other: its addresses, its neighbours and its outbox stand where
//! everybody looks for them. Who has to do with another takes that in hand first ([`Stack::enter`]), and the first again
//! afterwards; between the stack's calls it is always the first. So a machine with one link pays nothing for others that it does
//! not have, and whatever a link needs to know needs one more line in [`Aside`] to be had by each.
//!
//! The rules are those of a strong host (RFC 1122, 3.3.4.2): a packet is taken from the link whose address it names, and leaves by
//! the link whose address it comes from. Where a program has not chosen its own end, the link is that with the longest prefix
//! that fits, or else the first with a router; links that are up come before those that are down.

use crate::address::{Addresses, Way};
use crate::autoconf::Autoconf;
use crate::config::LinkConfig;
use crate::dhcp::Dhcp;
use crate::groups::Memberships;
use crate::neighbor::Neighbors;
use crate::outbox::Outbox;
use crate::shared::Shared;
use crate::stack::Stack;
use core::mem::swap;
use toro_tcp::Ip;

/// Links that a machine can have.
pub const LINKS_MAX: usize = 4;

/// What a link has that is not at hand: all that is a link's alone.
#[derive(Debug)]
pub(crate) struct Aside {
    number: u8,
    config: LinkConfig,
    link_up: bool,
    addresses: Addresses,
    outbox: Outbox,
    memberships: Memberships,
    /// Of the stack, where the above is of [`Shared`].
    pub(crate) state: LinkState,
}

impl Aside {
    /// See [`Stack::assert_sound`].
    pub(crate) fn assert_sound(&self) {
        self.outbox.assert_sound();
        self.state.neighbors.assert_sound();
    }
}

/// What the stack keeps for a link.
#[derive(Debug)]
pub(crate) struct LinkState {
    pub(crate) neighbors: Neighbors,
    pub(crate) dhcp: Option<Dhcp>,
    pub(crate) autoconf: Autoconf,
}

impl Shared {
    /// The number of the link at hand.
    #[inline]
    pub(crate) fn at(&self) -> u8 {
        self.at
    }

    /// Whether there are several links.
    #[inline]
    pub(crate) fn has_several(&self) -> bool {
        !self.aside.is_empty()
    }

    /// Takes a link in hand, as far as this knows of links, and says which was before.
    #[inline]
    fn hold(&mut self, link: u8) -> u8 {
        let before = self.at;
        if before != link {
            self.exchange(before);
            self.exchange(link);
        }
        before
    }

    /// Exchanges the first link and another; one of them is at hand.
    #[cold]
    #[inline(never)]
    fn exchange(&mut self, link: u8) -> Option<&mut LinkState> {
        let aside = self.aside.get_mut(usize::from(link).checked_sub(1)?)?;
        swap(&mut self.at, &mut aside.number);
        swap(&mut self.config.link, &mut aside.config);
        swap(&mut self.link_up, &mut aside.link_up);
        swap(&mut self.addresses, &mut aside.addresses);
        swap(&mut self.outbox, &mut aside.outbox);
        swap(&mut self.memberships, &mut aside.memberships);
        Some(&mut aside.state)
    }

    /// Runs `f` with a link at hand, for what does without neighbours.
    #[inline]
    pub(crate) fn with_link<R>(&mut self, link: u8, f: impl FnOnce(&mut Shared) -> R) -> R {
        let before = self.hold(link);
        let result = f(self);
        self.hold(before);
        result
    }

    /// Whether `ip` is an address of this machine, on whatever link.
    #[inline]
    pub(crate) fn is_local(&self, ip: Ip) -> bool {
        self.addresses.is_local(ip) || self.is_aside(ip)
    }

    /// Whether `ip` is an address of this machine on a link that is not at hand.
    #[inline]
    pub(crate) fn is_aside(&self, ip: Ip) -> bool {
        self.has_several() && self.is_own_aside(ip)
    }

    #[cold]
    #[inline(never)]
    fn is_own_aside(&self, ip: Ip) -> bool {
        self.aside.iter().any(|aside| aside.addresses.is_own(ip))
    }

    /// Whether `ip` means every machine of a link.
    pub(crate) fn is_broadcast(&self, ip: Ip) -> bool {
        self.addresses.is_broadcast(ip) || self.aside.iter().any(|aside| aside.addresses.is_broadcast(ip))
    }

    /// The way from the link at hand.
    pub(crate) fn way(&self, destination: Ip) -> Option<Way> {
        if self.is_aside(destination) { Some(Way::Loopback) } else { self.addresses.way(destination) }
    }

    /// Whether a link is up.
    pub(crate) fn is_up(&self, link: usize) -> bool {
        self.each().any(|(number, _, up)| usize::from(number) == link && up)
    }

    fn each(&self) -> impl Iterator<Item = (u8, &Addresses, bool)> {
        let aside = self.aside.iter().map(|aside| (aside.number, &aside.addresses, aside.link_up));
        core::iter::once((self.at, &self.addresses, self.link_up)).chain(aside)
    }

    /// The link on which an address is this machine's.
    #[inline]
    pub(crate) fn link_of(&self, ip: Ip) -> Option<u8> {
        if self.has_several() { self.find(ip) } else { None }
    }

    #[cold]
    #[inline(never)]
    fn find(&self, ip: Ip) -> Option<u8> {
        self.each().find(|(_, addresses, _)| addresses.is_own(ip)).map(|(link, ..)| link)
    }

    /// The link by which to speak to `destination`, from `source` if that is an address of ours.
    #[inline]
    pub(crate) fn link_for(&self, source: Ip, destination: Ip) -> u8 {
        if self.has_several() { self.choose(source, destination) } else { 0 }
    }

    #[cold]
    #[inline(never)]
    fn choose(&self, source: Ip, destination: Ip) -> u8 {
        // What is for many stays with its link, whether that is up or not.
        let for_many = destination.is_multicast() || destination == Ip::BROADCAST_V4;
        let fits = |&(link, addresses, up): &(u8, &Addresses, bool)| {
            let fit = addresses.fit(destination)?;
            Some((fit, up || for_many, core::cmp::Reverse(link)))
        };
        self.link_of(source)
            .or_else(|| self.link_of(destination))
            .or_else(|| self.each().filter_map(|link| fits(&link)).max().map(|(.., link)| link.0))
            .unwrap_or(0)
    }

    /// The addresses on a link.
    pub(crate) fn addresses_of(&self, link: u8) -> Option<&Addresses> {
        self.each().find(|(number, ..)| *number == link).map(|(_, addresses, _)| addresses)
    }

    /// The outbox of a link.
    pub(crate) fn outbox_of(&self, link: u8) -> Option<&Outbox> {
        if link == self.at {
            return Some(&self.outbox);
        }
        self.aside.iter().find(|aside| aside.number == link).map(|aside| &aside.outbox)
    }

    /// All links' outboxes.
    pub(crate) fn outboxes(&self) -> impl Iterator<Item = &Outbox> {
        core::iter::once(&self.outbox).chain(self.aside.iter().map(|aside| &aside.outbox))
    }

    /// Whether a link that is not at hand has something to send.
    #[inline]
    pub(crate) fn has_work_aside(&self) -> bool {
        self.has_several() && self.aside.iter().any(|aside| !aside.outbox.is_empty())
    }

    /// The messages for other cores of a link that is not at hand and has some.
    pub(crate) fn outbox_aside(&mut self) -> Option<&mut Outbox> {
        self.aside.iter_mut().map(|aside| &mut aside.outbox).find(|outbox| !outbox.messages.is_empty())
    }
}

impl Stack {
    /// Adds a link beside those that there are, and tells its number.
    ///
    /// # Panics
    /// When there are [`LINKS_MAX`].
    pub fn add_link(&mut self, config: LinkConfig) -> usize {
        assert!(self.links() < LINKS_MAX, "more than {LINKS_MAX} links");
        let number = self.shared.aside.len() as u8 + 1;
        let limits = &self.shared.config.limits;
        let neighbors = Neighbors::new(limits.neighbors_max, self.shared.seat.map(|seat| seat.core));
        self.shared.aside.push(Aside {
            number,
            config,
            link_up: true,
            addresses: Addresses::new(),
            outbox: Outbox::new(number, limits.outbox_max),
            memberships: Memberships::new(),
            state: LinkState { neighbors, dhcp: None, autoconf: Autoconf::new() },
        });
        number.into()
    }

    /// How many links there are.
    #[must_use]
    pub fn links(&self) -> usize {
        self.shared.aside.len() + 1
    }

    /// Takes a link in hand, and says which was before.
    #[inline]
    fn hold_link(&mut self, link: u8) -> u8 {
        let before = self.shared.at;
        if before != link {
            self.take_in_hand(before);
            self.take_in_hand(link);
        }
        before
    }

    /// Exchanges the first link and another; one of them is at hand.
    #[cold]
    #[inline(never)]
    fn take_in_hand(&mut self, link: u8) {
        if let Some(state) = self.shared.exchange(link) {
            swap(&mut self.neighbors, &mut state.neighbors);
            swap(&mut self.dhcp, &mut state.dhcp);
            swap(&mut self.autoconf, &mut state.autoconf);
        }
    }

    /// Runs `f` with a link at hand, which all that it calls is about; `None` when there is no such link. To exchange links costs
    /// more than to take in a frame: it is done once for all that has come.
    #[inline]
    pub fn enter<R>(&mut self, link: usize, f: impl FnOnce(&mut Stack) -> R) -> Option<R> {
        if link >= self.links() {
            return None;
        }
        let before = self.hold_link(link as u8);
        let result = f(self);
        self.hold_link(before);
        Some(result)
    }

    /// The DHCP clients of all links, in order.
    pub(crate) fn dhcps(&self) -> impl Iterator<Item = &Dhcp> {
        self.dhcp.iter().chain(self.shared.aside.iter().filter_map(|aside| aside.state.dhcp.as_ref()))
    }

    /// What all links know of routers, in order.
    pub(crate) fn autoconfs(&self) -> impl Iterator<Item = &Autoconf> {
        core::iter::once(&self.autoconf).chain(self.shared.aside.iter().map(|aside| &aside.state.autoconf))
    }

    /// Whether a link that is not at hand has something to do.
    #[cold]
    pub(crate) fn is_due_aside(&self, now_ns: u64) -> bool {
        self.deadline_aside() <= now_ns || self.shared.aside.iter().any(|aside| aside.state.autoconf.is_due(now_ns))
    }

    /// When a link that is not at hand has something to do.
    #[cold]
    pub(crate) fn deadline_aside(&self) -> u64 {
        let next = |aside: &Aside| {
            let LinkState { neighbors, dhcp, autoconf } = &aside.state;
            let dhcp = dhcp.as_ref().map_or(u64::MAX, Dhcp::next_deadline);
            let due_ns = neighbors.next_deadline().min(autoconf.next_deadline());
            dhcp.min(due_ns).min(aside.memberships.next_deadline())
        };
        self.shared.aside.iter().map(next).min().unwrap_or(u64::MAX)
    }
}
