//! What every protocol of the stack needs: settings, addresses, ways to answer, ways to tell.

use crate::address::{Addresses, Way};
use crate::config::{Config, Limits};
use crate::event::{Events, Statistics};
use crate::outbox::{Loopback, Outbox, PacketSink};
use crate::random::Random;
use crate::steering::{Protocol, Seat};
use alloc::boxed::Box;
use alloc::vec::Vec;
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
    pub(crate) seat: Option<Seat>,
    /// This core has a receive queue of its own.
    pub(crate) own_queue: bool,
    /// The cores that had the packet at hand before.
    pub(crate) seen: u64,
    /// Where the packet at hand belongs, if not here.
    pub(crate) elsewhere: Option<u8>,
    /// Bytes of `limits.memory_bytes` in use, spare buffers included.
    pub(crate) memory_bytes: usize,
    /// Buffers of streams that have nothing in them, by direction.
    spares: [Vec<Box<[u8]>>; 2],
}

/// Which half of a connection a buffer is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Direction {
    Receive,
    Send,
}

impl Shared {
    pub(crate) fn new(config: Config) -> Self {
        Shared {
            random: Random::new([config.secret[2], config.secret[3]]),
            addresses: Addresses::default(),
            outbox: Outbox::new(config.limits.outbox_max),
            loopback: Loopback::default(),
            events: Events::default(),
            statistics: Statistics::default(),
            seat: config.seat,
            own_queue: false,
            seen: 0,
            elsewhere: None,
            memory_bytes: 0,
            spares: [Vec::new(), Vec::new()],
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

    /// Size of the buffer for what a connection receives.
    pub(crate) fn receive_bytes(&self) -> usize {
        self.config.limits.receive_buffer_bytes.clamp(256, Limits::RECEIVE_BUFFER_BYTES_MAX)
    }

    /// Size of the buffer for what a connection sends.
    pub(crate) fn send_bytes(&self) -> usize {
        self.config.limits.send_buffer_bytes.max(256)
    }

    /// A buffer for a stream; `None` when the network's share of memory is used up.
    #[inline]
    pub(crate) fn take_buffer(&mut self, direction: Direction) -> Option<Box<[u8]>> {
        match self.spares[direction as usize].pop() {
            None => self.new_buffer(direction),
            spare => spare,
        }
    }

    #[cold]
    fn new_buffer(&mut self, direction: Direction) -> Option<Box<[u8]>> {
        let bytes = match direction {
            Direction::Receive => self.receive_bytes(),
            Direction::Send => self.send_bytes(),
        };
        if !self.charge(bytes) {
            return None;
        }
        let mut buffer = Vec::new();
        if buffer.try_reserve_exact(bytes).is_err() {
            self.refund(bytes);
            self.statistics.out_of_memory += 1;
            return None;
        }
        buffer.resize(bytes, 0);
        Some(buffer.into_boxed_slice())
    }

    /// Takes a buffer back; nothing for one that is none.
    #[inline]
    pub(crate) fn put_buffer(&mut self, direction: Direction, buffer: Box<[u8]>) {
        if buffer.is_empty() {
            return;
        }
        let spares = &mut self.spares[direction as usize];
        if spares.len() < spares.capacity() || spares.try_reserve(1).is_ok() {
            spares.push(buffer);
        } else {
            self.refund(buffer.len());
        }
    }

    /// Takes memory from the network's share; `false` when it is used up.
    pub(crate) fn charge(&mut self, bytes: usize) -> bool {
        while self.memory_bytes + bytes > self.config.limits.memory_bytes
            && let Some(spare) = self.spares.iter_mut().find_map(Vec::pop)
        {
            self.refund(spare.len());
        }
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
