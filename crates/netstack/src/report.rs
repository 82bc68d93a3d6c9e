//! What is told of the sockets to somebody who looks at them from outside.

use crate::address::Address;
use crate::shared::Shared;
use crate::stack::Stack;
use crate::steering::Protocol;
use core::net::SocketAddr;

/// How a socket stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SocketReport {
    /// What it is of.
    pub protocol: Protocol,
    /// In the words of RFC 9293: `listen`, `established` and so on; `open` or `connected` for datagrams.
    pub state: &'static str,
    /// Its own end.
    pub local: SocketAddr,
    /// The other end, if it has one.
    pub remote: Option<SocketAddr>,
    /// Bytes that its program has not read; of one that listens, connections that it has not accepted.
    pub unread: usize,
    /// Bytes that the other end has not acknowledged; of one that listens, how many may wait to be accepted.
    pub unsent: usize,
    /// Segments that were sent again.
    pub retransmitted: u32,
    /// How long an answer takes, smoothed; 0 before one was measured.
    pub round_trip_ns: u64,
    /// Bytes that may be under way for the network's sake.
    pub window_bytes: u32,
}

impl SocketReport {
    pub(crate) fn new(protocol: Protocol, state: &'static str, local: SocketAddr) -> Self {
        SocketReport {
            protocol,
            state,
            local,
            remote: None,
            unread: 0,
            unsent: 0,
            retransmitted: 0,
            round_trip_ns: 0,
            window_bytes: 0,
        }
    }
}

/// How a link stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LinkReport {
    /// This machine's hardware address.
    pub mac: [u8; 6],
    /// The longest IP packet that it carries.
    pub mtu_bytes: usize,
    /// It carries frames.
    pub up: bool,
    /// This machine's address there.
    pub address: Option<Address>,
}

impl Stack {
    /// Describes a link; `None` when there is none with that number.
    #[cold]
    pub fn report_link(&mut self, link: usize) -> Option<LinkReport> {
        self.enter(link, |stack| {
            let Shared { config, link_up, addresses, .. } = &stack.shared;
            let (mac, mtu_bytes) = (config.link.mac, config.link.mtu_bytes);
            LinkReport { mac, mtu_bytes, up: *link_up, address: addresses.own() }
        })
    }

    /// Describes every socket: those that listen first, connections last.
    #[cold]
    pub fn report_sockets(&self, tell: &mut dyn FnMut(SocketReport)) {
        self.tcp.report_listeners(tell);
        self.udp.report_sockets(tell);
        self.tcp.report_connections(tell);
    }
}
