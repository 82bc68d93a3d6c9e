//! What happened, for whoever waits: the kernel turns these into wake-ups.

use crate::address::Address;
use crate::slab::Key;
use alloc::collections::VecDeque;

macro_rules! handle {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub struct $name(pub(crate) Key);

        impl $name {
            /// A small number that no other living socket of this kind has.
            #[must_use]
            pub fn index(self) -> usize {
                self.0.index as usize
            }
        }
    };
}

handle!(
    /// Names a TCP connection.
    ConnectionId
);
handle!(
    /// Names a TCP listener.
    ListenerId
);
handle!(
    /// Names a UDP socket.
    UdpId
);

/// What can be done with a socket now, without waiting.
///
/// Whoever asks is armed: the next arrival, end or error is reported, even if there is something to read already; and when
/// there was no room for writing, the next time that there is, which is when a quarter of the buffer is free.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Readiness {
    /// A read does not say `WouldBlock`: there is data, the end, or an error; a listener has somebody to accept.
    pub readable: bool,
    /// A write finds room, or will never find any.
    pub writable: bool,
    /// The peer will send no more.
    pub peer_ended: bool,
    /// There is an error that nobody has taken.
    pub error: bool,
    /// Both directions have ended.
    pub hung_up: bool,
}

impl Readiness {
    /// Of what is no more.
    pub(crate) const GONE: Readiness =
        Readiness { readable: true, writable: true, peer_ended: true, error: false, hung_up: true };
}

/// Something that somebody may have waited for. A connection or socket is reported only after a call on it said
/// [`WouldBlock`](crate::Error::WouldBlock), took less than it was offered, or asked for its [`Readiness`], and then once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// A read will not say `WouldBlock` now: data, the end, or an error.
    Readable(ConnectionId),
    /// A write, or the wait for a connection to open, will not say `WouldBlock` now.
    Writable(ConnectionId),
    /// A connection waits to be accepted.
    Acceptable(ListenerId),
    /// A datagram or an error waits.
    Datagram(UdpId),
    /// A datagram finds room to be sent.
    Room(UdpId),
    /// Our address on a link changed; `None` when it was lost.
    Address(usize, Option<Address>),
    /// Our addresses of IPv6 changed, or the routers.
    Addresses6,
    /// A link went down, or came up.
    Link(usize, bool),
    /// There was no memory to say what happened: whoever waits, for anything, has to ask again.
    Anything,
}

/// Events that nobody took yet.
#[derive(Debug, Default)]
pub(crate) struct Events {
    queue: VecDeque<Event>,
    /// Some could not be kept.
    lost: bool,
}

impl Events {
    pub(crate) fn push(&mut self, event: Event) {
        if self.queue.try_reserve(1).is_ok() {
            self.queue.push_back(event);
        } else {
            self.lost = true;
        }
    }

    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.queue.is_empty() && !self.lost
    }

    #[inline]
    pub(crate) fn pop(&mut self) -> Option<Event> {
        self.queue.pop_front().or_else(|| core::mem::take(&mut self.lost).then_some(Event::Anything))
    }
}

/// Counts of what was refused or lost, and of what went through.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Statistics {
    /// Frames that arrived.
    pub frames_received: u64,
    /// Packets with a broken header, length or checksum.
    pub malformed: u64,
    /// Packets in pieces that were given up: some were missing, contradicted each other or found no room.
    pub fragments: u64,
    /// Packets that were put together from pieces.
    pub reassembled: u64,
    /// Frames and packets for somebody else, or of an unknown kind.
    pub not_for_us: u64,
    /// Connection requests dropped because the listener's queue was full.
    pub backlog_full: u64,
    /// Handshakes that were answered and not remembered, because there were too many, and those of them that were completed.
    pub cookies_sent: u64,
    /// As above.
    pub cookies_accepted: u64,
    /// Connections and datagrams refused because the memory set aside was used up.
    pub out_of_memory: u64,
    /// Datagrams dropped because the socket's queue was full.
    pub datagrams_dropped: u64,
    /// Packets dropped because the device or loopback was too slow.
    pub packets_dropped: u64,
    /// Packets dropped, and those that waited for a neighbour, because the link was down.
    pub link_dropped: u64,
    /// Packets handed to another core.
    pub posted: u64,
    /// Packets that had come from another core and were handed on: nobody knew at once whose they are.
    pub handed_round: u64,
    /// Packets taken from other cores.
    pub taken_over: u64,
    /// Packets and questions for other cores lost for want of room.
    pub posts_dropped: u64,
    /// Resets sent in answer to segments of no connection.
    pub resets_sent: u64,
    /// Connections that were opened, by either side.
    pub connections_opened: u64,
    /// Segments that went out again.
    pub segments_retransmitted: u64,
    /// Connections that exist now.
    pub connections: u64,
    /// Handshakes under way now.
    pub handshakes: u64,
    /// Ended connections that are remembered now, so that their late segments do no harm.
    pub remembered: u64,
    /// Bytes of the network's memory in use now.
    pub memory_bytes: u64,
}

impl Statistics {
    /// All of them, by name.
    #[must_use]
    pub fn named(&self) -> [(&'static str, u64); 23] {
        [
            ("frames_received", self.frames_received),
            ("malformed", self.malformed),
            ("fragments", self.fragments),
            ("reassembled", self.reassembled),
            ("not_for_us", self.not_for_us),
            ("backlog_full", self.backlog_full),
            ("cookies_sent", self.cookies_sent),
            ("cookies_accepted", self.cookies_accepted),
            ("out_of_memory", self.out_of_memory),
            ("datagrams_dropped", self.datagrams_dropped),
            ("packets_dropped", self.packets_dropped),
            ("link_dropped", self.link_dropped),
            ("posted", self.posted),
            ("handed_round", self.handed_round),
            ("taken_over", self.taken_over),
            ("posts_dropped", self.posts_dropped),
            ("resets_sent", self.resets_sent),
            ("connections_opened", self.connections_opened),
            ("segments_retransmitted", self.segments_retransmitted),
            ("connections", self.connections),
            ("handshakes", self.handshakes),
            ("remembered", self.remembered),
            ("memory_bytes", self.memory_bytes),
        ]
    }
}
