//! What a program may ask of a connection beyond the usual.

/// When a silent peer is asked whether it is there, and when it is given up (RFC 1122, 4.2.3.6).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeepAlive {
    /// Silence before the first question, in nanoseconds.
    pub idle_ns: u64,
    /// From one question to the next, in nanoseconds.
    pub interval_ns: u64,
    /// Questions that may stay without an answer.
    pub count: u32,
}

impl KeepAlive {
    /// As Linux, when a program does not say more: after two hours, nine times, every 75 seconds.
    pub const USUAL: KeepAlive = KeepAlive { idle_ns: 7_200_000_000_000, interval_ns: 75_000_000_000, count: 9 };

    /// A peer that is silent for so long is given up.
    pub fn patience_ns(&self) -> u64 {
        self.idle_ns.saturating_add(self.interval_ns.saturating_mul(self.count.into()))
    }

    /// Whether all three are more than 0.
    pub fn is_sound(&self) -> bool {
        self.idle_ns > 0 && self.interval_ns > 0 && self.count > 0
    }
}

/// An option of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TcpOption {
    /// Small pieces are sent at once instead of being gathered while others are under way (Nagle's rule, RFC 1122, 4.2.3.4).
    NoDelay(bool),
    /// Only full segments are sent, for 200 ms at most.
    Cork(bool),
    /// What arrives is acknowledged at once, instead of with the answer or a little later.
    QuickAck(bool),
    /// A silent peer is asked whether it is there; `None`: never.
    KeepAlive(Option<KeepAlive>),
    /// What was written may stay unacknowledged for so many nanoseconds, and then the connection is over (RFC 5482); `None`:
    /// five minutes of a silent peer, for any time of one that answers.
    UserTimeout(Option<u64>),
    /// How many routers a packet may pass (time to live).
    Hops(u8),
    /// The class of service that packets are marked with.
    Service(u8),
    /// How many bytes may wait to be sent and acknowledged.
    SendBuffer(usize),
    /// How many bytes may wait to be read: the largest window.
    ReceiveBuffer(usize),
}
