//! What the stacks of different cores tell each other. Whoever runs them carries it: [`Stack::next_message`] and
//! [`Stack::deliver`]. Messages may be lost, as frames may: TCP and ARP ask again. Only what is said once is not
//! ([`Message::is_said_once`]): when there is no room, it takes the place of what was said of the same thing before.

#[cfg(doc)]
use crate::Stack;
use crate::address::Address;
use crate::address6::Link6;
use crate::device::Received;
use crate::ethernet::Mac;
use alloc::collections::VecDeque;
use alloc::vec::Vec;
use toro_tcp::Ip;

/// Messages that may wait to be carried; past it they are lost and counted.
const MESSAGES_MAX: usize = 256;

/// Where a packet came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Origin {
    /// The link: the bytes are a frame.
    Link,
    /// This machine: the bytes are an IP packet.
    Loopback,
    /// The link, in pieces: the bytes are the IP packet.
    Pieces { to_everybody: bool },
}

/// A message to the stack of another core.
#[derive(Debug)]
pub struct Message {
    /// The link that it is about.
    pub(crate) link: u8,
    pub(crate) content: Content,
}

impl Message {
    /// Whether nobody says it again, so that it must not be lost.
    #[must_use]
    pub fn is_said_once(&self) -> bool {
        self.content.is_said_once()
    }

    /// Whether nobody needs `before`, which the same core was told, any more.
    #[must_use]
    pub fn replaces(&self, before: &Message) -> bool {
        let kind = |message: &Message| core::mem::discriminant(&message.content);
        self.is_said_once() && self.link == before.link && kind(self) == kind(before)
    }
}

impl Content {
    fn is_said_once(&self) -> bool {
        matches!(self, Content::Join { .. } | Content::Address(_) | Content::Link(_) | Content::Link6(_))
    }
}

#[derive(Debug)]
pub(crate) enum Content {
    /// A packet that belongs there, or may.
    Packet { bytes: Vec<u8>, origin: Origin, checksum: Received, seen: u64 },
    /// A core that has just begun wants to know the address.
    Join { core: u8 },
    /// What this machine is called.
    Address(Option<Address>),
    /// Whether the link is up.
    Link(bool),
    /// What is known of IPv6: one, in memory that can be refused.
    Link6(Vec<Link6>),
    /// A core wants to know a neighbour's hardware address.
    Resolve { ip: Ip, core: u8 },
    /// It is this one.
    Neighbor { ip: Ip, mac: Mac, fresh_until_ns: u64 },
}

/// Messages that nobody took yet, each with its core.
#[derive(Debug)]
pub(crate) struct Messages {
    /// They are all about this link.
    link: u8,
    queue: VecDeque<(u8, Message)>,
    /// Packets sent to other cores, and lost for want of room.
    pub(crate) posted: u64,
    pub(crate) dropped: u64,
}

impl Messages {
    pub(crate) fn about(link: u8) -> Self {
        Messages { link, queue: VecDeque::new(), posted: 0, dropped: 0 }
    }

    pub(crate) fn send(&mut self, core: u8, content: Content) {
        let message = Message { link: self.link, content };
        let packet = matches!(message.content, Content::Packet { .. });
        let full = self.queue.len() >= MESSAGES_MAX;
        let place = if full && message.is_said_once() { self.place_for(core, &message) } else { None };
        if let Some(before) = place {
            *before = message;
        } else if (!full || message.is_said_once()) && self.queue.try_reserve(1).is_ok() {
            self.queue.push_back((core, message));
            self.posted += u64::from(packet);
        } else {
            self.dropped += 1;
        }
    }

    /// What the core was told of the same thing before.
    #[cold]
    fn place_for(&mut self, core: u8, message: &Message) -> Option<&mut Message> {
        let found = self.queue.iter_mut().find(|(to, before)| *to == core && message.replaces(before));
        found.map(|(_, before)| before)
    }

    pub(crate) fn send_to_all(&mut self, mut cores: u64, content: impl Fn() -> Content) {
        while cores != 0 {
            self.send(cores.trailing_zeros() as u8, content());
            cores &= cores - 1;
        }
    }

    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    pub(crate) fn pop(&mut self) -> Option<(u8, Message)> {
        self.queue.pop_front()
    }
}
