//! What a stack gives to the stacks of other cores, and takes from them.

use crate::autoconf::Change;
use crate::device::Received;
use crate::dhcp;
use crate::message::{Content, Message, Origin};
use crate::stack::{From, Stack};
use crate::steering::{CONTROL, Protocol};
use crate::tcp::{Tuple, flow};
use alloc::vec::Vec;
use toro_tcp::packet::{self, Packet};

impl Stack {
    /// Gives the packet at hand to another core, which may know whose it is.
    pub(crate) fn hand_over(&mut self, core: u8, bytes: Vec<u8>, origin: Origin, checksum: Received) {
        let Some(seat) = self.shared.seat else { return };
        self.shared.statistics.handed_round += u64::from(self.shared.seen != 0);
        let seen = self.shared.seen | 1 << seat.core;
        self.shared.outbox.messages.send(core, Content::Packet { bytes, origin, checksum, seen });
    }

    /// Whether a datagram belongs to another core.
    #[cold]
    pub(crate) fn steer_datagram(&mut self, packet: &Packet<'_>, for_us: bool) -> bool {
        let (Some(seat), Some(ports)) = (self.shared.seat, packet.payload.first_chunk::<4>()) else { return false };
        let [remote_port, local_port] = [0, 2].map(|at| u16::from_be_bytes([ports[at], ports[at + 1]]));
        let keeps = self.udp.has(local_port);
        let seen = self.shared.seen;
        self.shared.elsewhere = if local_port == dhcp::CLIENT_PORT && !keeps {
            (seat.core != CONTROL && seen == 0).then_some(CONTROL)
        } else if for_us {
            let tuple = Tuple { local: packet.destination, remote: packet.source, local_port, remote_port };
            let prefers = self.shared.own_queue || self.shared.is_local(packet.source);
            seat.opening(Protocol::Udp, local_port, flow(&tuple, &self.shared.config), seen, keeps, prefers)
        } else {
            None
        };
        self.shared.elsewhere.is_some()
    }

    /// Whether news about a packet of ours concern another core.
    #[cold]
    pub(crate) fn steer_report(&mut self, protocol: u8, tuple: &Tuple) -> bool {
        let Some(seat) = self.shared.seat else { return false };
        let (port, flow, seen) = (tuple.local_port, flow(tuple, &self.shared.config), self.shared.seen);
        self.shared.elsewhere = match protocol {
            packet::TCP if !self.tcp.knows(tuple) => seat.stray(port, flow, seen),
            packet::UDP if !self.udp.has(port) => seat.opening(Protocol::Udp, port, flow, seen, false, false),
            _ => None,
        };
        self.shared.elsewhere.is_some()
    }

    /// This core has a receive queue of its own from now on: whoever opens a connection there is best served there.
    pub fn set_own_queue(&mut self, own: bool) {
        self.shared.own_queue = own;
    }

    /// Whether there is something to tell another core.
    #[inline]
    #[must_use]
    pub fn has_messages(&self) -> bool {
        self.shared.outboxes().any(|outbox| !outbox.messages.is_empty())
    }

    /// The next message for another core, and which.
    pub fn next_message(&mut self) -> Option<(usize, Message)> {
        let message = self.shared.outbox.messages.pop();
        let message = message.or_else(|| self.shared.outbox_aside()?.messages.pop());
        message.map(|(core, message)| (usize::from(core), message))
    }

    /// Takes a message of another core's stack.
    #[cold]
    pub fn deliver(&mut self, message: Message, now_ns: u64) {
        self.enter(message.link.into(), |stack| stack.take_message(message.content, now_ns));
    }

    fn take_message(&mut self, content: Content, now_ns: u64) {
        match content {
            Content::Packet { bytes, origin, checksum, seen } => {
                self.shared.statistics.taken_over += 1;
                self.shared.seen = seen;
                match origin {
                    Origin::Link => self.take(&bytes, checksum, now_ns),
                    Origin::Loopback => self.receive_packet(&bytes, From::Loopback, checksum, now_ns),
                    Origin::Pieces { to_everybody } => {
                        self.receive_packet(&bytes, From::Link { to_everybody }, checksum, now_ns);
                    }
                }
                match self.shared.elsewhere.take() {
                    Some(core) => self.hand_over(core, bytes, origin, checksum),
                    None => self.shared.outbox.recycle(bytes),
                }
                self.shared.seen = 0;
            }
            Content::Join { core } => {
                for link in 0..self.links() {
                    self.enter(link, |stack| {
                        let (address, up) = (stack.shared.addresses.own(), stack.shared.link_up);
                        stack.shared.outbox.messages.send(core, Content::Address(address));
                        stack.shared.outbox.messages.send(core, Content::Link(up));
                        stack.tell_link6(1 << core);
                    });
                }
            }
            Content::Address(address) => self.readdress(address),
            Content::Link(up) => self.set_carrier(up, now_ns),
            Content::Link6(link) => {
                if let Some(link) = link.first() {
                    let before = core::mem::replace(&mut self.shared.addresses.six, *link);
                    let lost = before.own.iter().any(|own| !link.is_own(own.ip));
                    self.changed6(if lost { Change::Lost } else { Change::Gained });
                }
            }
            Content::Resolve { ip, core } => {
                let (own, outbox) = self.shared.own();
                self.neighbors.asked(ip, core, now_ns, own, outbox);
            }
            Content::Neighbor { ip, mac, fresh_until_ns } => {
                let answer = self.neighbors.told(ip, mac, fresh_until_ns, now_ns, &mut self.shared.outbox);
                self.answered(answer);
            }
        }
    }
}
