//! A socket as a guest describes it when it is asked about its network: a control record for each, between the figures
//! of its network ([`crate::stats`]) and the record that ends the answer.

use crate::control::Protocol;
use crate::record::{field, number};
use alloc::borrow::Cow;
use core::fmt;
use core::net::SocketAddr;

/// One socket. `Display` writes the record without the line's end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Socket {
    /// The core that has it.
    pub core: u8,
    /// TCP or UDP.
    pub protocol: Protocol,
    /// In the words of RFC 9293: `listen`, `established` and so on; `open` or `connected` for datagrams.
    pub state: Cow<'static, str>,
    /// Its own end.
    pub local: SocketAddr,
    /// The other end, if it has one.
    pub remote: Option<SocketAddr>,
    /// Bytes that its program has not read; of one that listens, connections that it has not accepted.
    pub unread: u64,
    /// Bytes that the other end has not acknowledged; of one that listens, how many may wait to be accepted.
    pub unsent: u64,
    /// Segments that were sent again.
    pub retransmitted: u32,
    /// How long an answer takes, smoothed; 0 before one was measured.
    pub round_trip_ns: u64,
    /// Bytes that may be under way for the network's sake.
    pub window_bytes: u32,
}

impl Socket {
    /// Reads a record; `None` for one that is none of these.
    pub fn parse(line: &str) -> Option<Self> {
        if field(line, "event")?.encoded() != "socket" {
            return None;
        }
        let figure = |name| number(field(line, name)?);
        let end = |name| field(line, name)?.encoded().parse().ok();
        Some(Self {
            core: figure("core")?.try_into().ok()?,
            protocol: Protocol::parse(field(line, "proto")?.encoded())?,
            state: field(line, "state")?.to_text().into(),
            local: end("local")?,
            remote: end("remote"),
            unread: figure("unread")?,
            unsent: figure("unsent")?,
            retransmitted: figure("again")?.try_into().ok()?,
            round_trip_ns: figure("rtt_ns")?,
            window_bytes: figure("window")?.try_into().ok()?,
        })
    }
}

impl fmt::Display for Socket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { core, protocol, state, local, unread, unsent, retransmitted, round_trip_ns, window_bytes, .. } =
            self;
        write!(f, "event=socket core={core} proto={protocol} state={state} local={local}")?;
        if let Some(remote) = &self.remote {
            write!(f, " remote={remote}")?;
        }
        write!(f, " unread={unread} unsent={unsent} again={retransmitted} rtt_ns={round_trip_ns} window={window_bytes}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::ToString;

    fn socket() -> Socket {
        Socket {
            core: 3,
            protocol: Protocol::Tcp,
            state: "established".into(),
            local: ([10, 0, 2, 15], 80).into(),
            remote: Some(([10, 0, 2, 2], 40404).into()),
            unread: 7,
            unsent: 9000,
            retransmitted: 2,
            round_trip_ns: 300_000,
            window_bytes: 14600,
        }
    }

    #[test]
    fn a_socket_is_read_as_it_was_written() {
        let listener = Socket { remote: None, state: "listen".into(), local: ([0; 4], 80).into(), ..socket() };
        let other = Socket { protocol: Protocol::Udp, local: ([0; 8], 53).into(), ..socket() };
        for socket in [socket(), listener, other] {
            assert_eq!(Socket::parse(&socket.to_string()), Some(socket));
        }
    }

    #[test]
    fn what_is_no_socket_is_none() {
        let whole = socket().to_string();
        for cut in [" again=2", " local=10.0.2.15:80", " proto=tcp"] {
            assert_eq!(Socket::parse(&whole.replace(cut, "")), None, "{cut}");
        }
        assert_eq!(Socket::parse(&whole.replace("core=3", "core=300")), None);
        assert_eq!(Socket::parse("event=stats-end"), None);
    }
}
