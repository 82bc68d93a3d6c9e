//! The poller: takes what has arrived, wakes whom it concerns, sends what threads have written.

use super::exchange::{self, Letter};
use super::{Network, announce, with};
use crate::drivers::Verification;
use crate::sched::Poller;
use toro_netstack::{Event, Received};

/// The network, as the scheduler sees it.
pub(super) struct Link;

impl Poller for Link {
    fn poll(&self, now_ns: u64) {
        // One event at a time is told outside, because the log and the console are not the network's.
        let mut address = with(|network| network.poll(now_ns));
        while let Some(news) = address {
            announce(news);
            address = with(Network::tell);
        }
    }

    fn prepare_idle(&self) -> Option<u64> {
        with(|network| {
            let has_work = network.stack.has_work();
            if network.card.enable_interrupts(has_work) || network.several && exchange::is_waiting() {
                return Some(0);
            }
            network.stack.next_deadline()
        })
    }
}

impl Network {
    /// Receives and sends; returns the first change of address, if there was one.
    fn poll(&mut self, now_ns: u64) -> Option<Option<super::Address>> {
        self.card.disable_interrupts();
        if self.several {
            self.listen_to_cores(now_ns);
        }
        let Network { stack, card, .. } = self;
        if let Some(receiver) = &mut card.receiver {
            // A ring full at most; what comes meanwhile is seen before the core sleeps.
            receiver.receive(|frame, verification| {
                let checksum = match verification {
                    Verification::Verified => Received::Verified,
                    Verification::Unverified => Received::Unverified,
                };
                stack.receive(frame, checksum, now_ns);
            });
        }
        stack.flush(&mut card.sender, now_ns);
        card.sender.finish();
        if self.several && self.stack.has_messages() {
            self.tell_cores();
        }
        self.tell()
    }

    /// What other cores have to say, and the card about its queues.
    #[inline]
    fn listen_to_cores(&mut self, now_ns: u64) {
        if exchange::is_waiting() {
            self.read_letters(now_ns);
        }
        self.card.sender.tell_refused();
        if self.card.hear() {
            self.stack.set_own_queue(true);
        }
    }

    #[inline(never)]
    fn read_letters(&mut self, now_ns: u64) {
        let Network { stack, card, letters, .. } = self;
        let Some(letters) = letters else { return };
        letters.exchange();
        for letter in letters.read() {
            match letter {
                Letter::Stack(message) => stack.deliver(message, now_ns),
                Letter::Join { core, pair } => card.join(core, pair),
                Letter::Active => {
                    card.sender.own();
                    stack.set_own_queue(true);
                }
                Letter::Shared => card.sender.use_shared(),
            }
        }
    }

    #[inline(never)]
    fn tell_cores(&mut self) {
        let mut cores = 0;
        while let Some((core, message)) = self.stack.next_message() {
            exchange::put(core, Letter::Stack(message));
            cores |= 1 << core;
        }
        exchange::ring(cores);
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
                Event::Address(address) => {
                    self.sockets.address.wake_all();
                    return Some(address);
                }
                Event::Anything => self.sockets.wake_all(),
            }
        }
        None
    }
}
