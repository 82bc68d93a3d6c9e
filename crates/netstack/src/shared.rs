//! What every protocol of the stack needs: settings, addresses, ways to answer, ways to tell.

use crate::address::{Addresses, Way};
use crate::config::Config;
use crate::event::{Events, Statistics};
use crate::fragments::{self, Ways};
use crate::groups::Memberships;
use crate::links::Aside;
use crate::message::Content;
use crate::neighbor::Own;
use crate::outbox::{Loopback, Outbox};
use crate::random::Random;
use crate::steering::{CONTROL, Protocol, Seat};
use alloc::vec::Vec;
use toro_tcp::{Ip, Memory, PacketSink, Terms};

/// Owned by the stack and lent to the protocol at work.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) config: Config,
    /// The number of the link at hand.
    pub(crate) at: u8,
    /// The other links.
    pub(crate) aside: Vec<Aside>,
    pub(crate) random: Random,
    pub(crate) addresses: Addresses,
    pub(crate) outbox: Outbox,
    pub(crate) loopback: Loopback,
    pub(crate) events: Events,
    pub(crate) statistics: Statistics,
    pub(crate) seat: Option<Seat>,
    /// This core has a receive queue of its own.
    pub(crate) own_queue: bool,
    /// The link carries something.
    pub(crate) link_up: bool,
    /// The cores that had the packet at hand before.
    pub(crate) seen: u64,
    /// Where the packet at hand belongs, if not here.
    pub(crate) elsewhere: Option<u8>,
    pub(crate) memory: Memory,
    pub(crate) ways: Ways,
    pub(crate) memberships: Memberships,
}

impl Shared {
    pub(crate) fn new(config: Config) -> Self {
        Shared {
            random: Random::new([config.secret[2], config.secret[3]]),
            addresses: Addresses::new(),
            at: 0,
            aside: Vec::new(),
            outbox: Outbox::new(0, config.limits.outbox_max),
            loopback: Loopback::default(),
            events: Events::default(),
            statistics: Statistics::default(),
            seat: config.seat,
            own_queue: false,
            link_up: true,
            seen: 0,
            elsewhere: None,
            memory: Memory::new(config.limits.memory_bytes),
            ways: Ways::default(),
            memberships: Memberships::new(),
            config,
        }
    }

    /// Our side of the link, and where questions and answers about neighbours go.
    pub(crate) fn own(&mut self) -> (Own<'_>, &mut Outbox) {
        (Own { mac: self.config.link.mac, addresses: &self.addresses }, &mut self.outbox)
    }

    /// The longest packet to an address that the link carries.
    pub(crate) fn link_bytes(&self, destination: Ip) -> usize {
        let link_bytes = self.config.link.mtu_bytes;
        let said = self.addresses.six.mtu_bytes.filter(|_| !destination.is_v4());
        said.map_or(link_bytes, |bytes| link_bytes.min(bytes as usize))
    }

    /// Sends a complete IP packet when the turn of the link at hand comes, or to ourselves.
    pub(crate) fn send(&mut self, destination: Ip, len_bytes: usize, fill: &mut dyn FnMut(&mut [u8])) {
        match self.way(destination) {
            Some(Way::Loopback) if self.loopback.ready() => self.loopback.packet(len_bytes, fill),
            Some(Way::Loopback) => self.loopback.dropped += 1,
            Some(_) => {
                let carried = self.ways.carry(destination, self.link_bytes(destination));
                if len_bytes <= carried {
                    self.outbox.packet(len_bytes, fill)
                } else {
                    self.send_pieces(len_bytes, carried, fill)
                }
            }
            None => self.statistics.packets_dropped += 1,
        }
    }

    /// Sends a packet in pieces. Once it has a place in the outbox, all of them have.
    #[cold]
    fn send_pieces(&mut self, len_bytes: usize, carried: usize, fill: &mut dyn FnMut(&mut [u8])) {
        let mut whole = Vec::new();
        if !self.outbox.ready() || whole.try_reserve_exact(len_bytes).is_err() {
            self.outbox.dropped += 1;
            return;
        }
        whole.resize(len_bytes, 0);
        fill(&mut whole);
        let identification = self.random.draw() as u32;
        fragments::cut(&whole, identification, carried, |bytes, write| self.outbox.piece(bytes, write));
    }

    /// Whether this core answers the link, and asks it, for all.
    pub(crate) fn speaks_for_all(&self) -> bool {
        self.seat.is_none_or(|seat| seat.core == CONTROL)
    }

    /// Tells the stacks of all other cores, if this one speaks for them.
    pub(crate) fn tell_others(&mut self, content: impl Fn() -> Content) {
        if let Some(seat) = self.seat.filter(|seat| seat.core == CONTROL) {
            self.outbox.messages.send_to_all(seat.others(), content);
        }
    }

    /// Whether this stack may choose the port, of which nobody else knows.
    pub(crate) fn may_choose(&self, protocol: Protocol, port: u16) -> bool {
        self.seat.is_none_or(|seat| seat.may_choose(protocol, port))
    }

    /// Tells the other cores who listens. Whether none of them does; `None` when there is no room for another port.
    pub(crate) fn listen(&self, protocol: Protocol, port: u16) -> Option<bool> {
        self.seat.map_or(Some(true), |seat| seat.listen(protocol, port))
    }

    pub(crate) fn unlisten(&self, protocol: Protocol, port: u16) {
        if let Some(seat) = self.seat {
            seat.unlisten(protocol, port);
        }
    }

    /// What every connection to such an address is offered.
    pub(crate) fn terms(&self, remote: Ip) -> Terms {
        let limits = &self.config.limits;
        Terms {
            mtu_bytes: self.link_bytes(remote),
            send_bytes: limits.send_buffer_bytes,
            send_max_bytes: limits.send_buffer_max_bytes.max(limits.send_buffer_bytes),
            receive_bytes: limits.receive_buffer_bytes,
            receive_max_bytes: limits.receive_buffer_max_bytes.max(limits.receive_buffer_bytes),
        }
    }
}
