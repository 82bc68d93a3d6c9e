//! What every protocol of the stack needs: settings, addresses, ways to answer, ways to tell.

use crate::address::{Addresses, Way};
use crate::config::Config;
use crate::event::{Events, Statistics};
use crate::outbox::{Loopback, Outbox, PacketSink};
use crate::random::Random;
use core::net::Ipv4Addr;

/// Owned by the stack and lent to the protocol at work.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) config: Config,
    pub(crate) random: Random,
    pub(crate) addresses: Addresses,
    pub(crate) outbox: Outbox,
    pub(crate) loopback: Loopback,
    pub(crate) events: Events,
    pub(crate) statistics: Statistics,
    /// Bytes of `limits.memory_bytes` in use.
    pub(crate) memory_bytes: usize,
}

impl Shared {
    pub(crate) fn new(config: Config) -> Self {
        Shared {
            random: Random::new([config.secret[2], config.secret[3]]),
            addresses: Addresses::default(),
            outbox: Outbox::new(config.limits.outbox_max),
            loopback: Loopback::new(),
            events: Events::default(),
            statistics: Statistics::default(),
            memory_bytes: 0,
            config,
        }
    }

    /// Sends a complete IP packet when the link's turn comes, or to ourselves.
    pub(crate) fn send(&mut self, destination: Ipv4Addr, len_bytes: usize, fill: &mut dyn FnMut(&mut [u8])) {
        match self.addresses.way(destination) {
            Some(Way::Loopback) if self.loopback.ready() => self.loopback.packet(len_bytes, fill),
            Some(Way::Loopback) => self.loopback.dropped += 1,
            Some(_) => self.outbox.packet(len_bytes, fill),
            None => self.statistics.packets_dropped += 1,
        }
    }

    /// Takes memory from the network's share; `false` when it is used up.
    pub(crate) fn charge(&mut self, bytes: usize) -> bool {
        let fits = self.memory_bytes + bytes <= self.config.limits.memory_bytes;
        if fits {
            self.memory_bytes += bytes;
        } else {
            self.statistics.out_of_memory += 1;
        }
        fits
    }

    pub(crate) fn refund(&mut self, bytes: usize) {
        self.memory_bytes -= bytes;
    }
}
