//! The poller: takes what has arrived, wakes whom it concerns, sends what threads have written.

use super::{Network, announce, with};
use crate::arch::time;
use crate::drivers::{Checksum, NetDevice, Verification};
use crate::sched::Poller;
use toro_netstack::{self as netstack, Event, Full, Received};

/// The card, if there is one, and what it was last told.
pub(super) struct Card {
    device: Option<NetDevice>,
    interrupts: bool,
}

/// The network, as the scheduler sees it.
pub(super) struct Link;

impl Card {
    pub(super) fn new(device: Option<NetDevice>) -> Self {
        Card { device, interrupts: false }
    }
}

impl Poller for Link {
    fn poll(&self) {
        // One event at a time is told outside, because the log and the console are not the network's.
        let mut address = with(|network| network.poll(time::now_ns()));
        while let Some(news) = address {
            announce(news);
            address = with(Network::tell);
        }
    }

    fn prepare_idle(&self) -> bool {
        with(|network| {
            let Some(device) = &mut network.card.device else {
                return network.stack.has_work();
            };
            network.card.interrupts = true;
            device.enable_interrupts() || network.stack.has_work() && device.ready()
        })
    }

    fn next_deadline(&self) -> Option<u64> {
        with(|network| network.stack.next_deadline())
    }
}

impl Network {
    /// Receives and sends; returns the first change of address, if there was one.
    fn poll(&mut self, now_ns: u64) -> Option<Option<super::Address>> {
        let Network { stack, card, .. } = self;
        let Some(device) = &mut card.device else {
            // What is left is what this machine has still to say to itself: `prepare_idle` sees it.
            stack.flush(&mut netstack::NoDevice, now_ns);
            return self.tell();
        };
        if core::mem::take(&mut card.interrupts) {
            device.disable_interrupts();
        }
        // A ring full at most; what comes meanwhile is seen before the core sleeps.
        device.receive(|frame, verification| {
            let checksum = match verification {
                Verification::Verified => Received::Verified,
                Verification::Unverified => Received::Unverified,
            };
            stack.receive(frame, checksum, now_ns);
        });
        stack.flush(device, now_ns);
        device.flush();
        self.tell()
    }

    /// Wakes those whom events concern, up to a change of address, which is returned.
    #[inline]
    fn tell(&mut self) -> Option<Option<super::Address>> {
        if self.stack.has_events() { self.tell_all() } else { None }
    }

    fn tell_all(&mut self) -> Option<Option<super::Address>> {
        while let Some(event) = self.stack.next_event() {
            match event {
                Event::Readable(id) => self.sockets.connections.wake_readers(id.index()),
                Event::Writable(id) => self.sockets.connections.wake_writers(id.index()),
                Event::Acceptable(id) => self.sockets.listeners.wake_readers(id.index()),
                Event::Datagram(id) => self.sockets.datagrams.wake_readers(id.index()),
                Event::Address(address) => return Some(address),
                Event::Anything => self.sockets.wake_all(),
            }
        }
        None
    }
}

impl netstack::Device for NetDevice {
    #[inline]
    fn ready(&mut self) -> bool {
        NetDevice::ready(self)
    }

    #[inline]
    fn transmit(
        &mut self,
        len_bytes: usize,
        checksum: netstack::Checksum,
        fill: impl FnOnce(&mut [u8]),
    ) -> Result<(), Full> {
        let checksum = match checksum {
            netstack::Checksum::Complete => Checksum::Complete,
            netstack::Checksum::Partial { start_bytes, offset_bytes } => {
                Checksum::Partial { start_bytes, offset_bytes }
            }
        };
        let write = |buffer: &mut [u8]| {
            fill(&mut buffer[..len_bytes]);
            len_bytes
        };
        NetDevice::transmit(self, len_bytes, checksum, write).map_err(|_| Full)
    }
}
